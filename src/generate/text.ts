/**
 * Turns the pieces of generated tokens into text: joins UTF-8 characters that were split over tokens,
 * marks what control tokens say, and holds back what may still become a stop string.
 * Runs in the server, once per completion, on its main thread. It must never let a stop string, or a
 * part of one, through, and must give the same text however the pieces were cut.
 */
import { TOKEN_CONTROL, TOKEN_EOG, type TokenBatch, type TokenLogprob } from '../engine/engine.js';

/** Always-on stop strings: chat markup that a model may write as plain text. */
export const DEFAULT_STOPS: readonly string[] = [
  '<|im_start|>',
  '<|im_end|>',
  '</s>',
  '<|eot_id|>',
  '<|endoftext|>',
];

/** Half a character: no text can hold it, and a match on it would cut a character in two. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** The default list, the model's and the request's stop strings, without doubles and impossible ones. */
export function stopList(...more: readonly (readonly string[])[]): readonly string[] {
  const all = new Set([...DEFAULT_STOPS, ...more.flat()]);
  return [...all].filter((stop) => stop !== '' && !LONE_SURROGATE.test(stop));
}

/** Up to so many letters it is quicker to make them one by one than to call a decoder. */
const MOST_LETTERS = 24;

/** A stretch of a model's words; `control`: of a control token, which nobody is to see as text. */
export interface TextRun {
  readonly text: string;
  readonly control: boolean;
}

/** A generated token; its text is that from `from` to `to` of all that was said, in UTF-16 units. */
export interface SaidToken {
  readonly token: number;
  readonly bytes: Uint8Array;
  readonly from: number;
  /** As `from` where the token ends inside a character. */
  readonly to: number;
  /** A control token, whose text nobody is to see. */
  readonly control?: true;
  /** Present where log-probabilities were asked for. */
  readonly logprob?: TokenLogprob;
}

/** What became sayable, and the tokens that arrived, whose text may still be held back. */
export interface Spoken {
  readonly runs: readonly TextRun[];
  readonly tokens: readonly SaidToken[];
}

/** The text of runs without that of control tokens. */
export function visibleText(runs: readonly TextRun[]): string {
  let text = '';
  for (const run of runs) if (!run.control) text += run.text;
  return text;
}

/** Finds stop strings in a text that arrives in parts. The stop string that is complete first wins. */
export class StopMatcher {
  readonly #stops: readonly string[];
  readonly #firstUnits: ReadonlySet<string>;
  readonly #longest: number;
  #held: TextRun[] = [];

  constructor(stops: readonly string[]) {
    this.#stops = stops;
    this.#firstUnits = new Set(stops.map((stop) => stop.charAt(0)));
    this.#longest = Math.max(0, ...stops.map((stop) => stop.length));
  }

  /** Text that is safe to show now; after `stopped` nothing more may be pushed. */
  push(text: string, control: boolean): { readonly runs: TextRun[]; readonly stopped: boolean } {
    if (text === '') return { runs: [], stopped: false };
    if (this.#held.length === 0 && this.#isHarmless(text)) {
      return { runs: [{ text, control }], stopped: false };
    }
    this.#held.push({ text, control });
    const full = this.#held.map((run) => run.text).join('');
    const visible = this.#visible(full.length);
    const cut = this.#match(full, visible);
    if (cut !== null) return { runs: this.#release(cut), stopped: true };
    return { runs: this.#release(this.#holdFrom(full, visible)), stopped: false };
  }

  /** All that was held back, when no more text comes. */
  end(): TextRun[] {
    return this.#release(Number.POSITIVE_INFINITY);
  }

  /**
   * Where the first complete stop string begins, or null without one. Control text counts as a part of
   * the stream, and what would be left without it counts too: neither reading may leak.
   */
  #match(full: string, visible: string): number | null {
    const inFull = firstComplete(this.#stops, full);
    const cut = inFull ? inFull.start : null;
    const inVisible = visible === full ? null : firstComplete(this.#stops, visible);
    if (inVisible && (cut === null || inVisible.start < this.#visible(cut).length)) {
      return this.#placeOfVisible(inVisible.start);
    }
    return cut;
  }

  /** Whether no stop string begins in it. */
  #isHarmless(text: string): boolean {
    for (let at = 0; at < text.length; at++) {
      if (this.#firstUnits.has(text.charAt(at))) return false;
    }
    return true;
  }

  /** The place in `full` from which text may still become a stop string. */
  #holdFrom(full: string, visible: string): number {
    const fromFull = this.#openFrom(full);
    if (visible === full) return fromFull;
    return Math.min(fromFull, this.#placeOfVisible(this.#openFrom(visible)));
  }

  #openFrom(text: string): number {
    for (let at = Math.max(0, text.length - this.#longest + 1); at < text.length; at++) {
      if (!this.#firstUnits.has(text.charAt(at))) continue;
      const tail = text.slice(at);
      if (this.#stops.some((stop) => stop.startsWith(tail))) return at;
    }
    return text.length;
  }

  /** Visible text of the first `length` units held. */
  #visible(length: number): string {
    let text = '';
    let at = 0;
    for (const run of this.#held) {
      if (at >= length) break;
      if (!run.control) text += run.text.slice(0, length - at);
      at += run.text.length;
    }
    return text;
  }

  #placeOfVisible(place: number): number {
    let at = 0;
    let seen = 0;
    for (const run of this.#held) {
      if (!run.control) {
        if (seen + run.text.length > place) return at + (place - seen);
        seen += run.text.length;
      }
      at += run.text.length;
    }
    return at;
  }

  #release(length: number): TextRun[] {
    const released: TextRun[] = [];
    const rest: TextRun[] = [];
    let at = 0;
    for (const { text, control } of this.#held) {
      const share = Math.max(0, Math.min(text.length, length - at));
      if (share > 0) released.push({ text: text.slice(0, share), control });
      if (share < text.length) rest.push({ text: text.slice(share), control });
      at += text.length;
    }
    this.#held = rest;
    return released;
  }
}

/** The stop string that ends first in `text`; of several that end there, the longest. */
function firstComplete(
  stops: readonly string[],
  text: string,
): { readonly start: number; readonly end: number } | null {
  let best: { start: number; end: number } | null = null;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    if (start < 0) continue;
    const end = start + stop.length;
    if (best === null || end < best.end || (end === best.end && start < best.start)) {
      best = { start, end };
    }
  }
  return best;
}

/** The text of bytes that all are ASCII; null where one is not, or where there are many. */
function asciiOf(bytes: Uint8Array): string | null {
  if (bytes.length > MOST_LETTERS) return null;
  let text = '';
  for (const byte of bytes) {
    if (byte >= 0x80) return null;
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Pieces in, text out. Once `stopped`, the rest of what the engine sends must not be pushed. */
export class TextAssembler {
  readonly #matcher: StopMatcher;
  // A byte order mark inside a text is a character like any other.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #runs: TextRun[] = [];
  #tokens = 0;
  /** Whether the decoder holds no part of a character. */
  #isWhole = true;
  /** UTF-16 units of all that was said, held back or not. */
  #length = 0;
  #stopped = false;

  constructor(stops: readonly string[]) {
    this.#matcher = new StopMatcher(stops);
  }

  /** Tokens taken in, the one that completed a stop string being the last. */
  get tokens(): number {
    return this.#tokens;
  }

  /** True once a stop string is complete. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** What may be shown after these tokens; no runs where all of it is still held back. */
  push({ tokens: ids, bytes, ends, flags, logprobs }: TokenBatch): Spoken {
    const tokens: SaidToken[] = [];
    let start = 0;
    for (let index = 0; index < ends.length; index++) {
      const end = ends[index] ?? start;
      if (this.#stopped) break;
      this.#tokens += 1;
      const control = ((flags[index] ?? 0) & (TOKEN_CONTROL | TOKEN_EOG)) !== 0;
      const piece = bytes.subarray(start, end);
      const from = this.#length;
      this.#take(piece, control);
      const logprob = logprobs?.[index];
      tokens.push({
        ...{ token: ids[index] ?? -1, bytes: piece, from, to: this.#length },
        ...(control && { control }),
        ...(logprob && { logprob }),
      });
      start = end;
    }
    return { runs: this.#released(), tokens };
  }

  /** Takes in text that no token said, and that no stop string ends: the model goes on behind it. */
  interject(text: string): readonly TextRun[] {
    this.#feed(this.#rest(), false);
    if (this.#stopped) return this.#released();
    this.#runs.push(...this.#matcher.end(), { text, control: false });
    this.#length += text.length;
    return this.#released();
  }

  /** The rest, when the generation has ended: an unfinished character becomes U+FFFD. */
  end(): readonly TextRun[] {
    if (this.#stopped) return [];
    this.#feed(this.#rest(), false);
    if (!this.#stopped) this.#runs.push(...this.#matcher.end());
    return this.#released();
  }

  #take(bytes: Uint8Array, control: boolean): void {
    if (!control) {
      this.#feed(this.#decoded(bytes), false);
      return;
    }
    // A character cannot go on behind a control token: what was unfinished before it is settled first.
    this.#feed(this.#rest(), false);
    this.#feed(this.#decoder.decode(bytes), true);
  }

  #decoded(bytes: Uint8Array): string {
    // Most tokens are plain letters, which need no decoder.
    const plain = this.#isWhole ? asciiOf(bytes) : null;
    if (plain !== null) return plain;
    // Only behind a byte that is a whole character it is certain that none is unfinished.
    if (bytes.length > 0) this.#isWhole = (bytes.at(-1) ?? 0x80) < 0x80;
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** What is left in the decoder. */
  #rest(): string {
    this.#isWhole = true;
    return this.#decoder.decode();
  }

  #feed(text: string, control: boolean): void {
    if (this.#stopped) return;
    this.#length += text.length;
    const { runs, stopped } = this.#matcher.push(text, control);
    this.#stopped = stopped;
    this.#runs.push(...runs);
  }

  #released(): readonly TextRun[] {
    const runs = this.#runs;
    this.#runs = [];
    return runs;
  }
}
