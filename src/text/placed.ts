/**
 * What a raw prompt's answer says, as text, with its log-probabilities and where each of them belongs.
 * Server's main thread, one per choice. Control tokens say nothing here: nobody is to read them as text.
 * They are left out, or told as tokens without a text.
 */
import { TokenLedger } from '../generate/ledger.js';
import type { SaidToken, Spoken } from '../generate/text.js';

/** A token, and where it begins in the text, in characters (code points). */
export interface PlacedToken {
  readonly said: SaidToken;
  readonly offset: number;
}

/** Text and the tokens that it was made of. */
export interface PlacedText {
  readonly text: string;
  readonly tokens: readonly PlacedToken[];
}

/** Follows one answer. */
export class PlacedReader {
  readonly #isWhole: boolean;
  readonly #ledger = new TokenLedger();
  /** UTF-16 units of all that was said, control texts included. */
  #said = 0;
  /** Characters of what was shown. */
  #shown = 0;

  /** `isWhole`: tokens that say nothing are told too. */
  constructor({ isWhole = false } = {}) {
    this.#isWhole = isWhole;
  }

  take({ runs, tokens }: Spoken): PlacedText {
    this.#ledger.push(tokens);
    let text = '';
    const placed: PlacedToken[] = [];
    for (const run of runs) {
      const part = this.#ledger.take(this.#said, run.text.length);
      if (run.control) {
        placed.push(...this.#silent(part));
      } else {
        for (const said of part) {
          const units = Math.max(0, said.from - this.#said);
          placed.push({ said, offset: this.#shown + characters(run.text.slice(0, units)) });
        }
        this.#shown += characters(run.text);
        text += run.text;
      }
      this.#said += run.text.length;
    }
    return { text, tokens: placed };
  }

  /** The tokens left at the end. `isCut`: by a stop string, of which only a control token is told. */
  rest(isCut: boolean): readonly PlacedToken[] {
    return this.#silent(this.#ledger.rest().filter(({ control }) => control || !isCut));
  }

  #silent(tokens: readonly SaidToken[]): readonly PlacedToken[] {
    if (!this.#isWhole) return [];
    const bytes = new Uint8Array();
    return tokens.map((token) => ({ said: { ...token, bytes }, offset: this.#shown }));
  }
}

/** Code points of a text. */
export function characters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
