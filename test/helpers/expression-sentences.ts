/**
 * Random sentences of a grammar, for tests: what a bound model could write, and nothing else. Seeded,
 * so that a failure can be seen again; it must never look at what the grammar is for.
 */
import type { Expression } from '../../src/grammar/expression.js';

/** A random number from 0 to below 1, the same row for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const PIECES = [
  'a',
  'Z',
  '7',
  ' ',
  '\n',
  '<',
  '>',
  '{',
  '}',
  '"',
  "'",
  '\\',
  '[',
  ':',
  ',',
  '/',
  '日',
  '😀',
];
const MAX_DEPTH = 40;

/** Writes sentences of expressions whose rules are these. */
export class SentenceWriter {
  readonly #rules: ReadonlyMap<string, Expression>;
  readonly #random: () => number;
  readonly #depths = new Map<Expression, number>();

  constructor(rules: ReadonlyMap<string, Expression>, seed: number) {
    this.#rules = rules;
    this.#random = seeded(seed);
  }

  /** One sentence. */
  write(expression: Expression, depth = 0): string {
    switch (expression.kind) {
      case 'text':
        return expression.text;
      case 'class': {
        const [first, last] = this.#one(expression.ranges);
        const point = first + this.#below(Math.min(last - first + 1, 0x100));
        return String.fromCodePoint(point >= 0xd800 && point <= 0xdfff ? first : point);
      }
      case 'rule':
        return this.write(this.#rule(expression.name), depth + 1);
      case 'sequence':
        return expression.parts.map((part) => this.write(part, depth + 1)).join('');
      case 'choice': {
        const depths = expression.options.map((option) => this.#depth(option));
        const least = Math.min(...depths);
        const options = expression.options.filter(
          (_, index) => depth < MAX_DEPTH || depths[index] === least,
        );
        return this.write(this.#one(options), depth + 1);
      }
      case 'repeat': {
        const { min, max } = expression;
        const count = min + (depth < MAX_DEPTH ? this.#below(Math.min(max - min, 3) + 1) : 0);
        let text = '';
        for (let at = 0; at < count; at++) text += this.write(expression.part, depth + 1);
        return text;
      }
      case 'until': {
        const stop = this.#one(expression.texts);
        return this.#textWithout(expression.texts, stop) + stop;
      }
      case 'free':
        return this.#textWithout(expression.texts, '');
    }
  }

  /** Random text in which, with `end` after it, none of these occurs before the end. */
  #textWithout(texts: readonly string[], end: string): string {
    const starts = texts.map((text) => text.slice(0, -1)).filter((text) => text !== '');
    let text = '';
    for (let left = this.#below(12); left > 0; left--) {
      const piece =
        this.#random() < 0.15 && starts.length > 0 ? this.#one(starts) : this.#one(PIECES);
      const longer = text + piece;
      const isFree = texts.every((stop) => {
        const place = (longer + end).indexOf(stop);
        return place < 0 || (end !== '' && place === longer.length);
      });
      if (isFree) text = longer;
    }
    return text;
  }

  #rule(name: string): Expression {
    const expression = this.#rules.get(name);
    if (expression === undefined) throw new Error(`no rule ${name}`);
    return expression;
  }

  /** How deep the least deep sentence is. */
  #depth(expression: Expression): number {
    const known = this.#depths.get(expression);
    if (known !== undefined) return known;
    this.#depths.set(expression, Number.POSITIVE_INFINITY);
    const depth = this.#depthOf(expression);
    this.#depths.delete(expression);
    if (Number.isFinite(depth)) this.#depths.set(expression, depth);
    return depth;
  }

  #depthOf(expression: Expression): number {
    switch (expression.kind) {
      case 'rule':
        return 1 + this.#depth(this.#rule(expression.name));
      case 'sequence':
        return 1 + Math.max(0, ...expression.parts.map((part) => this.#depth(part)));
      case 'choice':
        return 1 + Math.min(...expression.options.map((option) => this.#depth(option)));
      case 'repeat':
        return expression.min === 0 ? 1 : 1 + this.#depth(expression.part);
      default:
        return 0;
    }
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #one<T>(items: readonly T[]): T {
    const item = items[this.#below(items.length)];
    if (item === undefined) throw new Error('none to choose from');
    return item;
  }
}
