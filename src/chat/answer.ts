/**
 * One choice's words sorted into content, reasoning and calls, as events. Server's main thread, one per
 * choice. Tokens follow the text they belong to, so that log-probabilities are those of the content.
 */
import { randomBytes } from 'node:crypto';
import type { Listener, Said } from '../dialect/dialect.js';
import { TokenLedger } from '../generate/ledger.js';
import type { SaidToken, Spoken, TextRun } from '../generate/text.js';
import { type ContentPart, ContentStops } from './stops.js';

/** What an answer is made of; `index` counts an answer's calls. */
export type AnswerEvent =
  | { readonly type: 'content'; readonly text: string; readonly tokens: readonly SaidToken[] }
  | { readonly type: 'reasoning'; readonly text: string }
  | { readonly type: 'call'; readonly index: number; readonly id: string; readonly name: string }
  | { readonly type: 'arguments'; readonly index: number; readonly text: string }
  | {
      readonly type: 'called';
      readonly index: number;
      /** All that the model wrote of the call. */
      readonly raw: string;
      readonly complete: boolean;
    };

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** A new call's id; `short`: nine letters and digits, as some templates want them back. */
export function newCallId(short: boolean): string {
  // 256 is no multiple of 62: the first letters are a little likelier, which ids may be.
  const letters = [...randomBytes(short ? 9 : 24)].map((byte) => ALPHABET[byte % ALPHABET.length]);
  return short ? letters.join('') : `call_${letters.join('')}`;
}

/** Reads one choice. */
export class Answer {
  readonly #listener: Listener;
  readonly #shortIds: boolean;
  readonly #stops: ContentStops;
  readonly #ledger = new TokenLedger();
  #calls = 0;
  #isCallOpen = false;
  #reasoningTokens = 0;

  /** `stops`: what ends the content, and with it the answer. */
  constructor(
    listener: Listener,
    { shortIds, stops = [] }: { readonly shortIds: boolean; readonly stops?: readonly string[] },
  ) {
    this.#listener = listener;
    this.#shortIds = shortIds;
    this.#stops = new ContentStops(stops);
  }

  /** True once a stop string is complete: nothing more is to be taken in. */
  get stopped(): boolean {
    return this.#stops.stopped;
  }

  /** Whether there are calls, and all of them were finished. */
  get hasCalls(): boolean {
    return this.#calls > 0 && !this.#isCallOpen;
  }

  /** Tokens taken in while the model thought. */
  get reasoningTokens(): number {
    return this.#reasoningTokens;
  }

  get isReasoning(): boolean {
    return this.#listener.isReasoning;
  }

  take({ runs, tokens }: Spoken): readonly AnswerEvent[] {
    this.#ledger.push(tokens);
    const wasReasoning = this.#listener.isReasoning;
    const said = this.#hear(runs);
    if (wasReasoning || this.#listener.isReasoning) this.#reasoningTokens += tokens.length;
    return this.#eventsOf(said);
  }

  #eventsOf(said: readonly Said[]): readonly AnswerEvent[] {
    const [only] = said;
    if (only && said.length === 1) return this.#toEvents(only);
    return said.flatMap((one) => this.#toEvents(one));
  }

  end(): readonly AnswerEvent[] {
    if (this.stopped) return [];
    const events = this.#eventsOf(joined(this.#listener.end()));
    return [...events, ...this.#stops.end().map((part) => this.#content(part))];
  }

  #hear(runs: readonly TextRun[]): readonly Said[] {
    const [only] = runs;
    if (only && runs.length === 1) return joined(this.#listener.push(only));
    return joined(runs.flatMap((run) => this.#listener.push(run)));
  }

  #toEvents(said: Said): readonly AnswerEvent[] {
    if (said.type === 'content') return this.#stops.push(said).map((part) => this.#content(part));
    if (this.stopped) return [];
    // What is held back can no longer become a stop string.
    return [...this.#stops.end().map((part) => this.#content(part)), ...this.#toOthers(said)];
  }

  #content({ text, from }: ContentPart): AnswerEvent {
    return { type: 'content', text, tokens: this.#ledger.take(from, text.length) };
  }

  #toOthers(said: Exclude<Said, { type: 'content' }>): readonly AnswerEvent[] {
    switch (said.type) {
      case 'reasoning':
        this.#ledger.take(said.from, said.text.length);
        return [{ type: 'reasoning', text: said.text }];
      case 'call': {
        const { name, id } = said;
        this.#calls += 1;
        this.#isCallOpen = true;
        const index = this.#calls - 1;
        return [{ type: 'call', index, id: id ?? newCallId(this.#shortIds), name }];
      }
      case 'arguments':
        return [{ type: 'arguments', index: this.#calls - 1, text: said.text }];
      case 'called': {
        const { raw, complete } = said;
        this.#isCallOpen = !complete;
        return [{ type: 'called', index: this.#calls - 1, raw, complete }];
      }
    }
  }
}

/** Neighbours of one kind in one, where the text of one follows that of the other. */
function joined(said: readonly Said[]): readonly Said[] {
  if (said.length < 2) return said;
  const all: Said[] = [];
  for (const one of said) {
    const last = all.at(-1);
    if (last && last.type === one.type && 'text' in last && 'text' in one) {
      const isNext =
        !('from' in last) || !('from' in one) || last.from + last.text.length === one.from;
      if (isNext) {
        all[all.length - 1] = { ...last, text: last.text + one.text };
        continue;
      }
    }
    all.push(one);
  }
  return all;
}
