/**
 * Which tokens a stretch of text was made of: tokens come in as they arrive, and go out as the text
 * they belong to is sorted into content, reasoning or calls. Server's main thread; one per choice.
 */
import type { SaidToken } from './text.js';

export class TokenLedger {
  readonly #waiting: SaidToken[] = [];

  push(tokens: readonly SaidToken[]): void {
    this.#waiting.push(...tokens);
  }

  /**
   * The tokens of the text from `from` on, `length` UTF-16 units; each goes out once, with the first
   * stretch that it has a part in. What lies before belongs to nothing and goes. Stretches come in order.
   */
  take(from: number, length: number): SaidToken[] {
    const taken: SaidToken[] = [];
    for (
      let token = this.#waiting[0];
      token && token.from < from + length;
      token = this.#waiting[0]
    ) {
      this.#waiting.shift();
      // One that ends inside a character has no text of its own yet, but belongs to that character.
      if (token.to > from || token.from >= from) taken.push(token);
    }
    return taken;
  }

  /** The tokens that no stretch has had, each once. */
  rest(): SaidToken[] {
    return this.#waiting.splice(0);
  }
}
