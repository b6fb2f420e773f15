/**
 * Reads the arguments of a `serve` that is written the plain way, so that the parser need not be
 * loaded for it. Runs in the CLI process; pure. It must understand nothing that the parser would
 * understand otherwise: in doubt it leaves the arguments to it.
 */

/** The options of `serve`; what was not given is undefined. */
export interface ServeFlags {
  readonly port: string | undefined;
  readonly host: string | undefined;
  readonly lang: string | undefined;
}

const OPTIONS = new Map<string, keyof ServeFlags>([
  ['-p', 'port'],
  ['--port', 'port'],
  ['--host', 'host'],
  ['--lang', 'lang'],
]);
const LANGUAGES = ['ja', 'en'];

/** The options in `[serve] (--option VALUE | --option=VALUE)…`; null for anything else. */
export function plainServe(args: readonly string[]): ServeFlags | null {
  const flags = new Map<keyof ServeFlags, string>();
  const words = (args[0] === 'serve' ? args.slice(1) : args).flatMap(apart);
  for (let i = 0; i < words.length; i += 2) {
    const option = OPTIONS.get(words[i] ?? '');
    const value = words[i + 1] ?? '';
    // The parser has words for an option twice, one without a value, and what looks like an option;
    // quotes around a value it takes away.
    if (!option || flags.has(option) || /^(?:-|["']|$)/.test(value)) return null;
    flags.set(option, value);
  }
  const lang = flags.get('lang');
  if (lang !== undefined && !LANGUAGES.includes(lang)) return null;
  return { port: flags.get('port'), host: flags.get('host'), lang };
}

/** `--port=1` as `--port`, `1`. */
function apart(word: string): string[] {
  const at = word.startsWith('--') ? word.indexOf('=') : -1;
  return at < 0 ? [word] : [word.slice(0, at), word.slice(at + 1)];
}
