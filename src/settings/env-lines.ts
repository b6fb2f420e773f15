/**
 * The lines of a .env file: which of them set something, and which say nothing. Any thread; pure. It must
 * see assignments where dotenv sees them.
 */

/** One thing in the file: a setting, a remark, an empty line, or a line that is none of these. */
export interface EnvLine {
  /** Its first line, from 0. */
  readonly at: number;
  /** How many lines it takes: a quoted value may go on. */
  readonly count: number;
  /** The name it sets; null where it sets none. */
  readonly key: string | null;
  /** Neither a setting nor empty nor a remark. */
  readonly isStray: boolean;
}

/** What ends a line, all of them. */
export const LINE_END = /\r\n|\r|\n/g;

/** The lines of a text, however they end. */
export function splitLines(text: string): string[] {
  return text.split(LINE_END);
}

/** What the lines of a .env file are. */
export function envLines(text: string): readonly EnvLine[] {
  const lines = splitLines(text);
  const found: EnvLine[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = (lines[at] ?? '').trim();
    const [, key, value] = /^(?:export\s+)?([\w.-]+)(?:\s*=\s*|:\s+)(.*)$/.exec(line) ?? [];
    const isEmpty = line === '' || line.startsWith('#');
    const count = key === undefined ? 1 : 1 + linesMore(value ?? '', lines.slice(at + 1));
    found.push({ at, count, key: key ?? null, isStray: key === undefined && !isEmpty });
    at += count;
  }
  return found;
}

/** How many of the lines that follow still belong to a quoted value. */
function linesMore(value: string, following: readonly string[]): number {
  const quote = /^["'`]/.exec(value)?.[0];
  if (quote === undefined) return 0;
  const closes = (line: string) => line.replaceAll(`\\${quote}`, '').includes(quote);
  // A quote that is never closed is part of a value of one line.
  return closes(value.slice(1)) ? 0 : following.findIndex(closes) + 1;
}
