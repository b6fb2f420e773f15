/**
 * `hoshikage completion bash|zsh|fish`: a script for the shell that completes this command at TAB. Runs in
 * the CLI process; it only prints. The script calls this very program, by absolute paths, so that it works
 * under any name and with an alias.
 */
import { fileURLToPath } from 'node:url';
import { print } from '../print.js';
import type { Command } from '../shell.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** Registers the command. */
export const completionCommand: Command = (parser, shell) =>
  parser.command(
    'completion <shell>',
    shell.say({
      ja: 'シェルの補完スクリプトを出す',
      en: 'Print a completion script for a shell',
    }),
    (completion) =>
      completion.positional('shell', {
        choices: SHELLS,
        demandOption: true,
        describe: shell.say({ ja: 'シェル', en: 'The shell' }),
      }),
    (given) =>
      shell.run(async () => {
        const { entryBeside } = await import('../../src/engine/fork.js');
        const main = fileURLToPath(entryBeside(import.meta.url, '../main'));
        print(scriptOf(given.shell, process.execPath, main).trimEnd());
        return 0;
      }),
  );

/** The script; both paths are absolute. */
export function scriptOf(shell: (typeof SHELLS)[number], node: string, main: string): string {
  if (shell === 'fish') return fish([node, main].map(fishQuoted).join(' '));
  const program = [node, main].map(quoted).join(' ');
  return shell === 'bash' ? bash(program) : zsh(program);
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const fishQuoted = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`;

const bash = (program: string): string => `# hoshikage: completion for bash
_hoshikage() {
  local one
  COMPREPLY=()
  while IFS= read -r one; do
    COMPREPLY+=("$one")
  done < <(${program} __complete bash "\${COMP_LINE:0:COMP_POINT}" "\${COMP_WORDS[COMP_CWORD]}" 2>/dev/null)
}
complete -o default -F _hoshikage hoshikage
`;

const zsh = (program: string): string => `#compdef hoshikage
# hoshikage: completion for zsh
_hoshikage() {
  local -a found
  found=("\${(@f)$(${program} __complete zsh "\${(@Q)words[1,CURRENT]}" 2>/dev/null)}")
  found=("\${(@)found:#}")
  if (( \${#found} )); then
    compadd -a found
  else
    _files
  fi
}
if [ "\${funcstack[1]}" = "_hoshikage" ]; then
  _hoshikage "$@"
else
  compdef _hoshikage hoshikage
fi
`;

const fish = (program: string): string => `# hoshikage: completion for fish
function __hoshikage_complete
  set -l found (${program} __complete fish (commandline -opc) (commandline -ct) 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c hoshikage -f -a '(__hoshikage_complete)'
`;
