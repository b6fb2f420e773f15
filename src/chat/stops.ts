/**
 * A client's stop strings in the content of an answer, and nowhere else: what a model thinks, or writes
 * into the arguments of a call, is not what a client wants to cut. Server's main thread, one per choice.
 */
import { StopMatcher } from '../generate/text.js';

/** A stretch of content and its place among all that was said, UTF-16 units. */
export interface ContentPart {
  readonly text: string;
  readonly from: number;
}

export class ContentStops {
  readonly #matcher: StopMatcher;
  /** What went in and has not come out; held back, or behind a stop string. */
  #held: ContentPart[] = [];
  #stopped = false;

  constructor(stops: readonly string[]) {
    this.#matcher = new StopMatcher(stops);
  }

  /** True once a stop string is complete; nothing more comes out. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Content that is safe to show. */
  push(part: ContentPart): readonly ContentPart[] {
    if (this.#stopped) return [];
    this.#held.push(part);
    const { runs, stopped } = this.#matcher.push(part.text, false);
    this.#stopped = stopped;
    return this.#release(runs);
  }

  /** What was held back, where something else than content follows, or nothing. */
  end(): readonly ContentPart[] {
    return this.#stopped ? [] : this.#release(this.#matcher.end());
  }

  #release(runs: readonly { readonly text: string }[]): readonly ContentPart[] {
    let left = runs.reduce((length, { text }) => length + text.length, 0);
    const released: ContentPart[] = [];
    while (left > 0) {
      const part = this.#held.shift();
      if (!part) break;
      const shown = part.text.slice(0, left);
      left -= shown.length;
      released.push({ text: shown, from: part.from });
      if (shown.length === part.text.length) continue;
      this.#held.unshift({
        text: part.text.slice(shown.length),
        from: part.from + shown.length,
      });
    }
    return released;
  }
}
