/**
 * What can stand at the end of a command line that is being typed: called by the shells' completion scripts
 * at every TAB. Runs in the CLI process. It must be quick: no parser is loaded; it starts nothing, writes
 * nothing, and says nothing where it cannot know.
 */
import { readdir } from 'node:fs/promises';
import { print } from './print.js';
import { escapeWord, splitWords } from './shell-words.js';
import { commandNames, commandOf, optionsIn, syntaxOf, takesValue } from './usage.js';

/** Prints the candidates, one a line. */
export async function complete(args: readonly string[]): Promise<void> {
  for (const one of await completions(args)) print(one);
}

/**
 * The candidates for `bash LINE CURRENT` (the line up to the cursor, and the last word as bash cuts it) or
 * `zsh|fish WORD…` (the words up to the cursor).
 */
export async function completions([shell, ...rest]: readonly string[]): Promise<readonly string[]> {
  if (shell !== 'bash') return candidates(rest.slice(1));
  const [line = '', current = ''] = rest;
  return forBash(line, current);
}

/** As bash wants them: escaped, without what it does not count as part of the word. */
async function forBash(line: string, current: string): Promise<readonly string[]> {
  const { words, raw, quote } = splitWords(line);
  const at = words.findIndex((word) => !/^\w+=/.test(word));
  const found = await candidates(words.slice(at + 1));
  // A word ends for bash at each of these, and it stands there as a word of its own.
  const cut = current === ':' || current === '=' ? '' : current;
  const before = quote === null && raw.endsWith(cut) ? raw.slice(0, raw.length - cut.length) : '';
  const wanted = words.at(-1) ?? '';
  return found
    .filter((one) => one.startsWith(wanted))
    .map((one) => (quote === null ? escapeWord(one) : one))
    .map((one) => (one.startsWith(before) ? one.slice(before.length) : one));
}

/** What may take the place of the last of the words behind `hoshikage`; none where a file may. */
async function candidates(words: readonly string[]): Promise<readonly string[]> {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  if (before.includes('--')) return [];
  const command = commandOf(before);
  const previous = before.at(-1) ?? '';
  if (takesValue(previous)) return valuesOf(previous, command);
  const [, option] = /^(--[a-z0-9-]+)=/.exec(current) ?? [];
  if (option) return (await valuesOf(option, command)).map((value) => `${option}=${value}`);
  if (current.startsWith('-')) return optionsIn(syntaxOf(command));
  const given = positionals(before);
  if (given.length === 0) return commandNames().filter((name) => !name.includes(' '));
  return placesOf(command, given);
}

function positionals(words: readonly string[]): readonly string[] {
  return words.filter((word, at) => !word.startsWith('-') && !takesValue(words[at - 1] ?? ''));
}

/** The values of an option that its usage lists. */
async function valuesOf(option: string, command: string | undefined): Promise<readonly string[]> {
  const [, place = ''] = new RegExp(`${option} <([^>]*)>`).exec(syntaxOf(command)) ?? [];
  return fill(place);
}

/** What may stand at the next place of a command, by its usage. */
async function placesOf(
  command: string | undefined,
  given: readonly string[],
): Promise<readonly string[]> {
  const syntax = syntaxOf(command).replace(/\[-[^\]]*\]/g, '');
  const places = [...syntax.matchAll(/<([^>]*)>|\[([^\]]*)\]/g)].map(
    ([, needed, possible]) => needed ?? possible ?? '',
  );
  const at = given.length - (command?.split(' ').length ?? 1);
  const place = places[at] ?? '';
  // There it is the name of something new.
  if (command === 'add') return [];
  const others = await fill(place);
  return others.filter((one) => !given.includes(one));
}

/** A place of a usage (`ID | PATH | default`) as what can stand there. */
async function fill(place: string): Promise<readonly string[]> {
  const parts = place.split('|').map((part) => part.trim());
  const found = await Promise.all(
    parts.map(async (part) => {
      if (part === 'ALIAS') return (await import('./names.js')).modelNames();
      if (part === 'KEY') return (await import('./names.js')).settingNames();
      if (part === 'ID') return libraryIds();
      if (part === 'SHORT-NAME') return shortNames();
      return /^[a-z][a-z.-]*$/.test(part) ? [part] : [];
    }),
  );
  return found.flat();
}

/** The models that can be downloaded by a short name. */
async function shortNames(): Promise<readonly string[]> {
  const { KNOWN_MODELS } = await import('../src/pull/known.js');
  return KNOWN_MODELS.map(({ name }) => name);
}

/** The directories that libraries are installed in. */
async function libraryIds(): Promise<readonly string[]> {
  const { configPaths } = await import('../src/config.js');
  const found = await readdir(configPaths().libDir, { withFileTypes: true }).catch(() => []);
  return found
    .filter((one) => !one.isFile() && !one.name.startsWith('.'))
    .map(({ name }) => name)
    .sort();
}
