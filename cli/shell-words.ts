/**
 * A command line as the words a POSIX shell makes of it, the last of which may not be finished. Runs in the
 * CLI process; pure. Nothing is expanded.
 */

/** The words so far. */
export interface SplitLine {
  /** Without quotes and escapes; the last one is empty where a space stands at the end. */
  readonly words: readonly string[];
  /** The last word as it was typed. */
  readonly raw: string;
  /** The quote that is open at the end; null where none is. */
  readonly quote: "'" | '"' | null;
}

/** Splits a line that ends where the cursor stands. */
export function splitWords(line: string): SplitLine {
  const words: string[] = [];
  let word = '';
  let raw = '';
  let quote: SplitLine['quote'] = null;
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at] ?? '';
    if (quote === null && /\s/.test(char)) {
      if (raw !== '') words.push(word);
      word = '';
      raw = '';
      continue;
    }
    raw += char;
    if (quote === null && (char === "'" || char === '"')) quote = char;
    else if (char === quote) quote = null;
    else if (char === '\\' && quote !== "'" && at + 1 < line.length) {
      at += 1;
      raw += line[at];
      const isKept = quote === '"' && !/["\\$`]/.test(line[at] ?? '');
      word += (isKept ? '\\' : '') + line[at];
    } else word += char;
  }
  return { words: [...words, word], raw, quote };
}

/** As one word of a line that is shown or completed: what a shell would read otherwise gets a backslash. */
export function escapeWord(text: string): string {
  return text.replace(/[^\p{L}\p{N}\p{M}_@%+=:,./-]/gu, '\\$&');
}
