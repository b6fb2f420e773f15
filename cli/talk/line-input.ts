/**
 * Messages typed at a terminal: edited line by line with a history, of one line or several (a paste, a
 * block between triple quotes, a backslash at the end of a line). Runs in the CLI process. What is typed
 * while nobody asks waits until somebody does, but for Ctrl-C, which is told at once. What was typed is kept
 * in memory only, and the terminal is given back as it was.
 */
import { type Completer, createInterface, type Interface } from 'node:readline';
import { PassThrough, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { plainLines } from '../print.js';

/** The keys of a terminal. */
export interface KeySource extends NodeJS.ReadableStream {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
}

/** Where the lines are drawn. */
export type LineScreen = NodeJS.WritableStream & {
  readonly columns?: number;
  readonly rows?: number;
};

/** What was typed. `end`: nothing more will come; `interrupt`: Ctrl-C where nothing was typed yet. */
export type Entry =
  | {
      readonly type: 'message';
      readonly text: string;
      /** It is one line as it was typed, which may be a command. */
      readonly isLine: boolean;
    }
  | { readonly type: 'interrupt' }
  | { readonly type: 'end' };

export interface LineInputOptions {
  readonly input: KeySource;
  readonly output: LineScreen;
  /** Before the first line of a message, and before the others. */
  readonly prompts: { readonly first: string; readonly more: string };
  readonly completer: Completer;
}

const HISTORY = 1000;
/** More than this, typed ahead or pasted at once, is no message. */
const MOST_CHARACTERS = 4 * 1024 * 1024;
const CTRL_C = '\u0003';
const CTRL_Z = '\u001a';
const FENCE = '"""';
/** What a terminal is told, and what it then puts around a paste. */
const BRACKETED_PASTE = { on: '\u001b[?2004h', off: '\u001b[?2004l' } as const;
const PASTE = { begin: '\u001b[200~', end: '\u001b[201~' } as const;

export class LineInput {
  readonly #options: LineInputOptions;
  readonly #keys: PassThrough & KeySource;
  readonly #lines: Interface;
  readonly #decoder = new StringDecoder('utf8');
  readonly #take = (chunk: Buffer | string): void =>
    this.#onKeys(this.#decoder.write(Buffer.from(chunk)));
  readonly #endKeys = (): void => void this.#keys.end();
  readonly #giveBack = (): void => this.#restore();
  readonly #drawn: Writable;
  /** An answer is no place to draw a line again. */
  readonly #redraw = (): void => {
    if (this.#onInterrupt === null) this.#drawn.emit('resize');
  };
  /** What Ctrl-C does while nobody asks for a message; null while somebody does. */
  #onInterrupt: (() => void) | null = () => {};
  #ahead = '';
  /** What has come of a paste, or of the mark that begins one. */
  #pending = '';
  /** The lines of the message so far. */
  #message: string[] = [];
  #isPasting = false;
  #isFenced = false;
  /** Messages that nobody has asked for yet: several came at once. */
  #ready: Entry[] = [];
  #settle: ((entry: Entry) => void) | null = null;
  /** The editor takes no more keys. */
  #isEnded = false;
  #isClosed = false;

  constructor(options: LineInputOptions) {
    const { input, output, completer } = options;
    this.#options = options;
    const keys = new PassThrough();
    // The keys pass through here, so that they can be held back; the terminal's mode is still the terminal's.
    this.#keys = Object.assign(keys, {
      isTTY: true,
      setRawMode: (raw: boolean) => input.setRawMode?.(raw),
    });
    this.#drawn = screenOn(output);
    this.#lines = createInterface({
      ...{ input: this.#keys, output: this.#drawn, completer, terminal: true },
      ...{ historySize: HISTORY, removeHistoryDuplicates: true },
      // A paste may end its lines in either way, or in both.
      crlfDelay: Number.POSITIVE_INFINITY,
    });
    this.#lines.on('line', (line) => this.#onLine(line));
    this.#lines.on('SIGINT', () => this.#onCtrlC());
    this.#lines.on('SIGCONT', () => this.#lines.prompt(true));
    this.#lines.on('close', () => this.#finish({ type: 'end' }));
    input.on('data', this.#take);
    input.once('end', this.#endKeys);
    input.once('error', this.#endKeys);
    output.on('resize', this.#redraw);
    output.write(BRACKETED_PASTE.on);
    process.once('exit', this.#giveBack);
  }

  /** The next message. The signal ends the input. */
  async next(signal: AbortSignal): Promise<Entry> {
    const ready = this.#ready.shift();
    if (ready) return ready;
    if (this.#isEnded || signal.aborted) return { type: 'end' };
    const leave = (): void => this.#finish({ type: 'end' });
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await new Promise<Entry>((resolve) => {
        this.#settle = resolve;
        this.#prompt(this.#options.prompts.first);
        this.#release();
      });
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** From now on, until the next message is asked for, Ctrl-C does this. */
  onInterrupt(work: () => void): void {
    this.#onInterrupt = work;
  }

  /** Gives the terminal back. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { input, output } = this.#options;
    output.off('resize', this.#redraw);
    input.off('data', this.#take);
    input.off('end', this.#endKeys);
    input.off('error', this.#endKeys);
    input.pause();
    this.#lines.close();
    this.#restore();
    process.off('exit', this.#giveBack);
  }

  #restore(): void {
    this.#options.output.write(BRACKETED_PASTE.off);
    this.#options.input.setRawMode?.(false);
  }

  #onKeys(keys: string): void {
    // A paste, or an escape, that never came to its end swallows no Ctrl-C.
    if (keys === CTRL_C) this.#pending = '';
    if (this.#onInterrupt === null) this.#feed(keys);
    else if (keys.includes(CTRL_C)) {
      // As a terminal does: what was typed before it is forgotten.
      this.#ahead = '';
      this.#onInterrupt();
    } else {
      // Suspending is not to be done later.
      const typed = keys.replaceAll(CTRL_Z, '');
      this.#ahead = (this.#ahead + typed).slice(0, MOST_CHARACTERS);
    }
  }

  /** Lets the editor have the keys, first those that were pressed before. */
  #release(): void {
    this.#onInterrupt = null;
    const ahead = this.#ahead;
    this.#ahead = '';
    this.#feed(ahead);
  }

  /** Gives keys to the editor one by one, and each paste as a whole. */
  #feed(keys: string): void {
    let rest = this.#pending + keys;
    this.#pending = '';
    for (;;) {
      const begin = rest.indexOf(PASTE.begin);
      const typed = begin < 0 ? withoutPart(rest, PASTE.begin) : rest.slice(0, begin);
      // Several characters at once are put at the end of the line by it, wherever the cursor is.
      for (const character of typed) this.#keys.write(character);
      if (begin < 0) {
        this.#pending = rest.slice(typed.length);
        return;
      }
      const end = rest.indexOf(PASTE.end, begin);
      if (end < 0) {
        this.#pending = rest.slice(begin, begin + MOST_CHARACTERS);
        return;
      }
      this.#paste(rest.slice(begin + PASTE.begin.length, end));
      rest = rest.slice(end + PASTE.end.length);
    }
  }

  /** A line that ends within a paste ends no message. */
  #paste(text: string): void {
    this.#isPasting = true;
    // What steers a terminal is no part of a message.
    this.#lines.write(plainLines(text));
    this.#isPasting = false;
  }

  #prompt(text: string): void {
    this.#lines.setPrompt(text);
    this.#lines.prompt();
  }

  #onLine(line: string): void {
    const isFirst = this.#message.length === 0;
    if (this.#isPasting) this.#more(line);
    else if (this.#isFenced) this.#onFenced(line);
    else if (isFirst && line.trimStart().startsWith(FENCE)) {
      this.#isFenced = true;
      this.#onFenced(line.trimStart().slice(FENCE.length));
    } else if (line.endsWith('\\')) this.#more(line.slice(0, -1));
    else {
      this.#message.push(line);
      this.#complete(isFirst);
    }
  }

  /** A line within a block, which may end it. */
  #onFenced(line: string): void {
    const end = line.trimEnd();
    const text = end.endsWith(FENCE) ? end.slice(0, -FENCE.length) : line;
    const isEdge = end.endsWith(FENCE) || this.#message.length === 0;
    // The quotes may stand on lines of their own.
    if (text !== '' || !isEdge) this.#message.push(text);
    if (end.endsWith(FENCE)) this.#complete(false);
    else this.#prompt(this.#options.prompts.more);
  }

  #more(line: string): void {
    this.#message.push(line);
    this.#prompt(this.#options.prompts.more);
  }

  #complete(isLine: boolean): void {
    const text = this.#message.join('\n');
    this.#startOver();
    if (text.trim() === '') this.#prompt(this.#options.prompts.first);
    else this.#finish({ type: 'message', text, isLine });
  }

  #startOver(): void {
    this.#message = [];
    this.#isFenced = false;
  }

  #onCtrlC(): void {
    if (this.#settle === null) {
      this.#onInterrupt?.();
      return;
    }
    const isEmpty = this.#lines.line === '' && this.#message.length === 0 && !this.#isFenced;
    if (isEmpty) {
      this.#finish({ type: 'interrupt' });
      return;
    }
    this.#startOver();
    this.#lines.write(null, { ctrl: true, name: 'e' });
    this.#lines.write(null, { ctrl: true, name: 'u' });
    this.#prompt(this.#options.prompts.first);
  }

  #finish(entry: Entry): void {
    const settle = this.#settle;
    this.#settle = null;
    this.#onInterrupt ??= () => {};
    if (settle) settle(entry);
    else if (entry.type === 'message') this.#ready.push(entry);
    if (entry.type === 'end') this.#isEnded = true;
  }
}

/** The same terminal, which says that its size has changed only when it is told to. */
function screenOn(output: LineScreen): Writable {
  const screen = new Writable({
    write: (chunk: Buffer, _, done) => {
      output.write(chunk);
      done();
    },
  });
  return Object.defineProperties(screen, {
    isTTY: { value: true },
    columns: { get: () => output.columns },
    rows: { get: () => output.rows },
  });
}

/** The text without what may be the beginning of `mark` at its end. */
function withoutPart(text: string, mark: string): string {
  for (let length = Math.min(mark.length - 1, text.length); length > 0; length -= 1) {
    if (text.endsWith(mark.slice(0, length))) return text.slice(0, -length);
  }
  return text;
}
