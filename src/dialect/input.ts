/**
 * The text of an answer while it arrives: what has come and is not read yet, and how a reader waits
 * for more. Readers are generators that yield when they must wait, so that they can be written as if
 * all were there. No thread of its own; it must never know what the text means.
 */
import type { Run } from './dialect.js';

/** A reader: it yields where the text so far does not decide how to go on. */
export type Reading<T> = Generator<void, T, void>;

/** A stretch of text that may be shown, and the place of its first UTF-16 unit in the answer. */
export interface Span {
  readonly text: string;
  readonly from: number;
}

/** What counts as white space around marks. */
export const isSpace = (char: string): boolean =>
  char === ' ' || char === '\n' || char === '\r' || char === '\t';

/** Adds a span to others; two that touch become one. */
export function joinSpan(spans: Span[], span: Span): void {
  const last = spans.at(-1);
  if (last !== undefined && last.from + last.text.length === span.from) {
    spans[spans.length - 1] = { text: last.text + span.text, from: last.from };
  } else {
    spans.push(span);
  }
}

/** The text that has not been read yet. */
export class Input {
  /** No more will come. */
  ended = false;
  #text = '';
  /** Next to read, within #text. */
  #next = 0;
  /** Place of #text's first unit in the answer. */
  #base = 0;
  /** Places of control tokens not yet read, first and one past the last unit. */
  #controls: { readonly from: number; readonly to: number }[] = [];
  #recorded: Span[] = [];
  /** Where reading may go back to, within #text, and what was recorded there. */
  #kept: { readonly next: number; readonly recorded: readonly Span[] } | null = null;

  /** More text. */
  push(run: Run): void {
    const from = this.#kept?.next ?? this.#next;
    this.#base += from;
    this.#text = this.#text.slice(from) + run.text;
    this.#next -= from;
    if (this.#kept !== null) this.#kept = { ...this.#kept, next: 0 };
    if (this.#controls.length > 0) {
      this.#controls = this.#controls.filter(({ to }) => to > this.#base);
    }
    if (!run.control || run.text === '') return;
    const to = this.#base + this.#text.length;
    this.#controls.push({ from: to - run.text.length, to });
  }

  /** The next UTF-16 unit; '' where none has come yet. */
  get next(): string {
    return this.#text.charAt(this.#next);
  }

  /** The next unit; '' at the end of the answer. */
  *peek(): Reading<string> {
    while (this.#next >= this.#text.length) {
      if (this.ended) return '';
      yield;
    }
    return this.#text.charAt(this.#next);
  }

  /** The longest of these texts that comes next, not taken; null where none does. */
  *match(texts: readonly string[]): Reading<string | null> {
    for (;;) {
      const here = this.#text.length - this.#next;
      let found: string | null = null;
      let undecided = false;
      for (const text of texts) {
        if (text.length <= here) {
          const isLonger = found === null || text.length > found.length;
          if (isLonger && this.#text.startsWith(text, this.#next)) found = text;
        } else if (!undecided) {
          undecided = text.startsWith(this.#text.slice(this.#next));
        }
      }
      if (!undecided || this.ended) return found;
      yield;
    }
  }

  /** Takes this text if it comes next. */
  *takeIf(...texts: readonly string[]): Reading<string | null> {
    const found = yield* this.match(texts);
    if (found !== null) this.take(found.length);
    return found;
  }

  /** Takes what has come: what of it may be shown. It is recorded too. */
  take(count = 1): readonly Span[] {
    const from = this.#base + this.#next;
    const text = this.#text.slice(this.#next, this.#next + count);
    this.#next += text.length;
    const spans = this.#controls.length === 0 ? [{ text, from }] : this.#visible(text, from);
    for (const span of spans) joinSpan(this.#recorded, span);
    return spans;
  }

  /** Takes white space. */
  *skipSpace(): Reading<void> {
    while (isSpace(yield* this.peek())) this.take();
  }

  /** Passes text on until one of `stops` comes next: which one, not taken; null at the end. */
  *pass(stops: readonly string[], to: (spans: readonly Span[]) => void): Reading<string | null> {
    const firsts = new Set(stops.map((stop) => stop.charAt(0)));
    while ((yield* this.peek()) !== '') {
      let count = 0;
      while (this.#next + count < this.#text.length) {
        if (firsts.has(this.#text.charAt(this.#next + count))) break;
        count++;
      }
      if (count === 0) {
        const stop = yield* this.match(stops);
        if (stop !== null) return stop;
        count = 1;
      }
      to(this.take(count));
    }
    return null;
  }

  /** All of the text up to one of `stops`, control tokens with it; null at the end, or if too long. */
  *before(stops: readonly string[], limit: number): Reading<string | null> {
    let text = '';
    while (text.length <= limit) {
      const char = yield* this.peek();
      if (char === '') return null;
      if ((yield* this.match(stops)) !== null) return text;
      text += char;
      this.take();
    }
    return null;
  }

  /** From here on all is kept, until `rewind` or `forget`. */
  keep(): void {
    this.#kept = { next: this.#next, recorded: [...this.#recorded] };
  }

  /** What has come since `keep`, read or not. */
  get kept(): string {
    return this.#text.slice(this.#kept?.next ?? this.#next);
  }

  /** Back to where `keep` was said. */
  rewind(): void {
    if (this.#kept === null) return;
    this.#next = this.#kept.next;
    this.#recorded = [...this.#kept.recorded];
    this.#kept = null;
  }

  /** What was kept is needed no more. */
  forget(): void {
    this.#kept = null;
  }

  /** What was taken from now on is recorded, and nothing from before. */
  record(): void {
    this.#recorded = [];
  }

  /** What was taken since `record`, control tokens left out. */
  get recorded(): readonly Span[] {
    return this.#recorded;
  }

  #visible(text: string, from: number): Span[] {
    const spans: Span[] = [];
    let at = from;
    const end = from + text.length;
    for (const control of this.#controls) {
      if (control.from >= end) break;
      if (control.to <= at) continue;
      if (control.from > at)
        spans.push({ text: text.slice(at - from, control.from - from), from: at });
      at = Math.max(at, control.to);
    }
    if (at < end) spans.push({ text: text.slice(at - from), from: at });
    return spans;
  }
}
