/**
 * One conversation in memory: who said what, to which model, and what it took. Runs in the CLI process; pure.
 * It is written to a file only where that is asked for.
 */
import type { AnswerFigures } from './answer.js';

/** What one side said. */
export interface Turn {
  readonly role: 'user' | 'assistant';
  readonly content: string;
  /** What the model thought before it spoke; it is not sent back. */
  readonly reasoning?: string;
}

/** What all answers of a conversation took. */
export interface Totals {
  readonly answers: number;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

const NOTHING: Totals = { answers: 0, promptTokens: 0, cachedTokens: 0, completionTokens: 0 };

export class Conversation {
  model: string;
  /** The system message; null where there is none. */
  system: string | null;
  #turns: Turn[] = [];
  #totals = NOTHING;
  #last: AnswerFigures | null = null;

  constructor(model: string, system: string | null) {
    this.model = model;
    this.system = system;
  }

  get turns(): readonly Turn[] {
    return this.#turns;
  }

  /** Of all answers since the program began, forgotten ones too. */
  get totals(): Totals {
    return this.#totals;
  }

  /** Of the last answer that came to its end. */
  get last(): AnswerFigures | null {
    return this.#last;
  }

  /** The messages of a request that asks `question` next. */
  messagesWith(question: string): readonly object[] {
    const system = this.system === null ? [] : [{ role: 'system', content: this.system }];
    const before = this.#turns.map(({ role, content }) => ({ role, content }));
    return [...system, ...before, { role: 'user', content: question }];
  }

  /** Keeps a question with its answer, or with as much of it as came. */
  add(question: string, answer: { readonly text: string; readonly reasoning: string }): void {
    const { text: content, reasoning } = answer;
    this.#turns.push(
      { role: 'user', content: question },
      { role: 'assistant', content, ...(reasoning !== '' && { reasoning }) },
    );
  }

  count(figures: AnswerFigures): void {
    const { answers, promptTokens, cachedTokens, completionTokens } = this.#totals;
    this.#last = figures;
    this.#totals = {
      answers: answers + 1,
      promptTokens: promptTokens + (figures.promptTokens ?? 0),
      cachedTokens: cachedTokens + (figures.cachedTokens ?? 0),
      completionTokens: completionTokens + (figures.completionTokens ?? 0),
    };
  }

  /** Forgets what was said; the model and the system message stay. */
  reset(): void {
    this.#turns = [];
  }
}
