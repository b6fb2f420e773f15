/**
 * The canary's evidence: what went wrong in one line, and the last words of an engine.
 * Any process. It must never decide whether a check has passed.
 */
import { HoshikageError } from '../errors.js';
import type { Log, LogLevel } from '../log.js';

const MOST_LINES = 40;
const LAST_WORDS = 3;
const LONGEST_TEXT = 160;

interface Line {
  /** A complaint, or something written past the log. */
  readonly loud: boolean;
  readonly text: string;
}

/** A log that passes everything on at debug level, and remembers the last lines. */
export class TailLog implements Log {
  readonly #log: Log;
  readonly #lines: Line[];

  constructor(log: Log, lines: Line[] = []) {
    this.#log = log;
    this.#lines = lines;
  }

  error(message: string, fields?: object): void {
    this.#add('error', message, fields);
  }
  warn(message: string, fields?: object): void {
    this.#add('warn', message, fields);
  }
  info(message: string, fields?: object): void {
    this.#add('info', message, fields);
  }
  debug(message: string, fields?: object): void {
    this.#add('debug', message, fields);
  }
  start(message: string, fields?: object): void {
    this.#add('info', message, fields);
  }
  child(fields: object): Log {
    return new TailLog(this.#log.child(fields), this.#lines);
  }
  /** The log belongs to whoever gave it. */
  async close(): Promise<void> {}

  /** Forgets the lines so far: they belong to something else. */
  forget(): void {
    this.#lines.length = 0;
  }

  /** The last complaints. */
  complaints(): readonly string[] {
    return wordsOf(this.#lines.filter(({ loud }) => loud));
  }

  /** The last lines of all. */
  lastLines(): readonly string[] {
    return wordsOf(this.#lines);
  }

  #add(level: LogLevel, message: string, fields: object = {}): void {
    const loud = level === 'error' || level === 'warn' || Object.values(fields).includes('stderr');
    this.#lines.push({ loud, text: message.trim() });
    if (this.#lines.length > MOST_LINES) this.#lines.shift();
    this.#log.debug(message, fields);
  }
}

function wordsOf(lines: readonly Line[]): readonly string[] {
  return lines.slice(-LAST_WORDS).map(({ text }) => text);
}

/** A thrown value in one line, with its causes. */
export function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause === undefined ? [] : [reasonOf(thrown.cause)];
  const code = thrown instanceof HoshikageError ? [thrown.code] : [];
  return [...code, thrown.message, ...cause].filter(isNew).join(': ').replace(/\s+/g, ' ');
}

/** Our own words often are the cause's already. */
function isNew(text: string, index: number, all: readonly string[]): boolean {
  return text !== '' && !all.slice(0, index).some((one) => one.includes(text));
}

/** What a check that passed has seen, for people. */
export interface Seen {
  readonly en: string;
  readonly ja: string;
}

/** A text as evidence: quoted, and not too long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}...` : text);
}
