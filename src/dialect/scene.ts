/**
 * What the readers of one answer share: the text that arrives, the tools there are, and what has been
 * said so far. No thread of its own; it must never know a family's syntax.
 */
import type { Said, Tool } from './dialect.js';
import { Input, joinSpan, type Reading, type Span } from './input.js';

/** How a family writes its calls, for the reader. */
export interface CallSyntax {
  /** Texts that begin calls; none of them stands in content that was well read. */
  readonly begins: readonly string[];
  /**
   * Texts that begin calls which are a whole block of code, and content where they are not. One that ends
   * with a bracket is read from that on.
   */
  readonly blocks?: readonly string[];
  /** Calls may also begin bare, with `{` or `[`, at the answer's beginning. */
  readonly isBare: boolean;
  /**
   * Reads calls after `begin` ('' for a bare one): true where nothing is left but what belongs to the
   * calls, false where it came upon something that is no call.
   */
  read(scene: Scene, begin: string): Reading<boolean>;
}

/** One answer as it is read. */
export class Scene {
  readonly input = new Input();
  readonly tools: ReadonlyMap<string, Tool>;
  isReasoning = false;
  /** A call has been said and not been ended. */
  isCalling = false;
  /** How many calls have been said. */
  calls = 0;
  #said: Said[] = [];
  /** From here on in #said all may still be taken back. */
  #attempted: number | null = null;

  constructor(tools: readonly Tool[]) {
    this.tools = new Map(tools.map((tool) => [tool.name, tool]));
  }

  /** What has been said since the last time. */
  drain(): readonly Said[] {
    const count = this.#attempted ?? this.#said.length;
    const said = this.#said.slice(0, count);
    this.#said = this.#said.slice(count);
    if (this.#attempted !== null) this.#attempted = 0;
    return said;
  }

  /**
   * Reads calls that count only if all goes well: false, and as if nothing had been read, where it does
   * not, or where `stop` comes before the end.
   */
  *attempt(reading: Reading<boolean>, stop: string | null = null): Reading<boolean> {
    const { input, calls } = this;
    input.keep();
    this.#attempted = this.#said.length;
    let step = reading.next();
    const isStopped = (): boolean => stop !== null && input.kept.includes(stop);
    while (step.done !== true && !isStopped()) {
      yield;
      step = reading.next();
    }
    const isRead = step.done === true && step.value && !this.isCalling && !isStopped();
    if (isRead) {
      input.forget();
    } else {
      input.rewind();
      this.#said.length = this.#attempted;
      this.isCalling = false;
      this.calls = calls;
    }
    this.#attempted = null;
    return isRead;
  }

  /** Says text that is shown. */
  show(spans: readonly Span[], type: 'content' | 'reasoning' = 'content'): void {
    for (const span of spans) {
      if (span.text === '') continue;
      const last = this.#said.at(-1);
      if (last?.type === type && last.from + last.text.length === span.from) {
        this.#said[this.#said.length - 1] = { ...last, text: last.text + span.text };
      } else {
        this.#said.push({ type, ...span });
      }
    }
  }

  /** Begins a call, if there is such a tool. */
  call(name: string, id: string | null = null): boolean {
    if (!this.tools.has(name) || this.isCalling) return false;
    this.#said.push({ type: 'call', name, id });
    this.isCalling = true;
    this.calls++;
    return true;
  }

  /** A part of the call's arguments, JSON. */
  argue(text: string): void {
    if (text === '') return;
    const last = this.#said.at(-1);
    if (last?.type === 'arguments') {
      this.#said[this.#said.length - 1] = { type: 'arguments', text: last.text + text };
    } else {
      this.#said.push({ type: 'arguments', text });
    }
  }

  /** Ends the call; what is recorded is all of its text. */
  called(complete: boolean): void {
    const raw = this.input.recorded.map(({ text }) => text).join('');
    this.#said.push({ type: 'called', raw, complete });
    this.isCalling = false;
    this.input.record();
  }
}

/** Shows text with the white space at its end held back until more comes. */
export class HeldEnd {
  readonly #show: (spans: readonly Span[]) => void;
  #held: Span[] = [];

  constructor(show: (spans: readonly Span[]) => void) {
    this.#show = show;
  }

  /** More text. */
  add(spans: readonly Span[]): void {
    for (const { text, from } of spans) {
      const solid = text.trimEnd().length;
      if (solid > 0) {
        this.#show(this.#held);
        this.#held = [];
        this.#show([{ text: text.slice(0, solid), from }]);
      }
      if (solid < text.length)
        joinSpan(this.#held, { text: text.slice(solid), from: from + solid });
    }
  }

  /** What is held back, for an end that takes nothing away. */
  release(): void {
    this.#show(this.#held);
    this.#held = [];
  }
}
