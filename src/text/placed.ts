/**
 * What a raw prompt's answer says, as text, with its log-probabilities and where each of them belongs.
 * Server's main thread, one per choice. Control tokens say nothing here: nobody is to read them as text.
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
  readonly #ledger = new TokenLedger();
  /** UTF-16 units of all that was said, control texts included. */
  #said = 0;
  /** Characters of what was shown. */
  #shown = 0;

  take({ runs, tokens }: Spoken): PlacedText {
    this.#ledger.push(tokens);
    let text = '';
    const placed: PlacedToken[] = [];
    for (const run of runs) {
      const part = this.#ledger.take(this.#said, run.text.length);
      if (!run.control) {
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
}

function characters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
