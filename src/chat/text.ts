/**
 * Turns the pieces of generated tokens into text for a client: joins UTF-8 characters that were split
 * over tokens, hides control tokens, and holds back what may still become a stop string.
 * Runs in the server, once per completion, on its main thread. It must never let a stop string, or a
 * part of one, through, and must give the same text however the pieces were cut.
 */
import { TOKEN_CONTROL, TOKEN_EOG, type TokenBatch } from '../engine/engine.js';

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

/** A stretch of held-back text; `hidden`: of a control token, matched but never shown. */
interface Run {
  readonly text: string;
  readonly hidden: boolean;
}

/** Finds stop strings in a text that arrives in parts. The stop string that is complete first wins. */
class StopMatcher {
  readonly #stops: readonly string[];
  readonly #firstUnits: ReadonlySet<string>;
  readonly #longest: number;
  #held: Run[] = [];

  constructor(stops: readonly string[]) {
    this.#stops = stops;
    this.#firstUnits = new Set(stops.map((stop) => stop.charAt(0)));
    this.#longest = Math.max(0, ...stops.map((stop) => stop.length));
  }

  /** Text that is safe to show now; after `stopped` nothing more may be pushed. */
  push(text: string, hidden: boolean): { readonly text: string; readonly stopped: boolean } {
    if (text === '') return { text: '', stopped: false };
    this.#held.push({ text, hidden });
    const full = this.#held.map((run) => run.text).join('');
    const visible = this.#visible(full.length);
    const match = this.#match(full, visible);
    if (match !== null) return { text: match, stopped: true };
    return { text: this.#release(this.#holdFrom(full, visible)), stopped: false };
  }

  /** All that was held back, when no more text comes. */
  end(): string {
    return this.#release(Number.POSITIVE_INFINITY);
  }

  /**
   * What may be shown before the first complete stop string, or null without one. Hidden text counts
   * as a part of the stream, and what would be left without it counts too: neither reading may leak.
   */
  #match(full: string, visible: string): string | null {
    const inFull = firstComplete(this.#stops, full);
    const text = inFull && this.#visible(inFull.start);
    const inVisible = visible === full ? null : firstComplete(this.#stops, visible);
    if (inVisible && (text === null || inVisible.start < text.length)) {
      return visible.slice(0, inVisible.start);
    }
    return text;
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
      if (!run.hidden) text += run.text.slice(0, length - at);
      at += run.text.length;
    }
    return text;
  }

  #placeOfVisible(place: number): number {
    let at = 0;
    let seen = 0;
    for (const run of this.#held) {
      if (!run.hidden) {
        if (seen + run.text.length > place) return at + (place - seen);
        seen += run.text.length;
      }
      at += run.text.length;
    }
    return at;
  }

  #release(length: number): string {
    const text = this.#visible(length);
    const rest: Run[] = [];
    let at = 0;
    for (const run of this.#held) {
      const skip = Math.max(0, Math.min(run.text.length, length - at));
      if (skip < run.text.length) rest.push({ text: run.text.slice(skip), hidden: run.hidden });
      at += run.text.length;
    }
    this.#held = rest;
    return text;
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

/** Pieces in, text out. Once `stopped`, the rest of what the engine sends must not be pushed. */
export class TextAssembler {
  readonly #matcher: StopMatcher;
  // A byte order mark inside a text is a character like any other.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #tokens = 0;
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

  /** Text that may be shown after these tokens; '' where all of it is still held back. */
  push(batch: Pick<TokenBatch, 'bytes' | 'ends' | 'flags'>): string {
    let text = '';
    let from = 0;
    for (const [index, end] of batch.ends.entries()) {
      if (this.#stopped) break;
      this.#tokens += 1;
      const hidden = ((batch.flags[index] ?? 0) & (TOKEN_CONTROL | TOKEN_EOG)) !== 0;
      text += this.#take(batch.bytes.subarray(from, end), hidden);
      from = end;
    }
    return text;
  }

  /** The rest, when the generation has ended: an unfinished character becomes U+FFFD. */
  end(): string {
    if (this.#stopped) return '';
    const tail = this.#feed(this.#decoder.decode(), false);
    return this.#stopped ? tail : tail + this.#matcher.end();
  }

  #take(bytes: Uint8Array, hidden: boolean): string {
    if (!hidden) return this.#feed(this.#decoder.decode(bytes, { stream: true }), false);
    // A character cannot go on behind a control token: what was unfinished before it is settled first.
    const before = this.#feed(this.#decoder.decode(), false);
    if (this.#stopped) return before;
    return before + this.#feed(this.#decoder.decode(bytes), true);
  }

  #feed(text: string, hidden: boolean): string {
    const result = this.#matcher.push(text, hidden);
    this.#stopped = result.stopped;
    return result.text;
  }
}
