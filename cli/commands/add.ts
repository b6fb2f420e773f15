/**
 * `hoshikage add PATH ALIAS [STOP…]`: gives a GGUF file a name. Runs in the CLI process. The file is
 * checked here before anything is asked or written.
 */
import type { ExitCode } from '../fail.js';
import { print } from '../print.js';
import { register, usageLine } from '../register.js';
import { type Command, literal, type Shell } from '../shell.js';

/** Registers the command. */
export const addCommand: Command = (parser, shell) =>
  parser.command(
    'add <path> <alias> [stop..]',
    shell.say({ ja: 'モデルを登録する', en: 'Add a model' }),
    (add) =>
      add
        .positional('path', {
          type: 'string',
          demandOption: true,
          describe: shell.say({ ja: 'GGUF ファイル', en: 'The GGUF file' }),
        })
        .positional('alias', {
          type: 'string',
          demandOption: true,
          describe: shell.say({
            ja: '呼び出すときの名前(/ や空白、日本語も可)',
            en: 'The name to ask for it by (may have /, spaces, any script)',
          }),
        })
        .positional('stop', {
          type: 'string',
          array: true,
          describe: shell.say({
            ja: '出力を止める文字列(- で始まるものは -- の後に)',
            en: 'Strings that end an answer (those that begin with - after --)',
          }),
        })
        .option('force', {
          type: 'boolean',
          describe: shell.say({
            ja: '同じ名前の登録を置き換える',
            en: 'Replace an entry of that name',
          }),
        }),
    ({ path, alias, stop, force = false }) =>
      shell.run(() => {
        const wanted = { path: literal(path), alias: literal(alias), force };
        return add({ ...wanted, stop: (stop ?? []).map(literal) }, shell);
      }),
  );

interface Wanted {
  readonly path: string;
  readonly alias: string;
  readonly stop: readonly string[];
  readonly force: boolean;
}

async function add({ path, ...wanted }: Wanted, shell: Shell): Promise<ExitCode> {
  const { loadConfig } = await import('../../src/config.js');
  const { readGguf } = await import('../../src/models/gguf.js');
  const { toAbsolute } = await import('../../src/models/registry.js');
  const config = loadConfig({ flags: { lang: shell.language } });
  const file = toAbsolute(path, process.cwd());
  await readGguf(file);
  const { alias } = wanted;
  const { outcome } = await register(config, { ...wanted, path: file }, shell);
  const added = { ja: `登録しました: ${alias}`, en: `Added model: ${alias}` };
  const same = {
    ja: `同じ内容で登録済みです(何も変えていません): ${alias}`,
    en: `Already added like this, nothing changed: ${alias}`,
  };
  print(shell.say(outcome === 'unchanged' ? same : added));
  print(usageLine(alias, shell));
  return 0;
}
