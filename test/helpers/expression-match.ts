/**
 * Whether a grammar takes a text, by trying everything: for short texts in tests. It shares nothing with
 * the program that native code runs; it must never be used on a text of any length.
 */
import type { Expression } from '../../src/grammar/expression.js';

type Rules = ReadonlyMap<string, Expression>;
/** Goes on after a part that ended here. */
type Next = (place: number) => boolean;

/** Whether the whole text is a sentence of the expression. */
export function accepts(expression: Expression, rules: Rules, text: string): boolean {
  return matches(expression, rules, text, 0, (place) => place === text.length);
}

function matches(part: Expression, rules: Rules, text: string, at: number, next: Next): boolean {
  switch (part.kind) {
    case 'text':
      return text.startsWith(part.text, at) && next(at + part.text.length);
    case 'class': {
      const point = text.codePointAt(at);
      if (point === undefined) return false;
      const isIn = part.ranges.some(([first, last]) => first <= point && point <= last);
      return isIn && next(at + String.fromCodePoint(point).length);
    }
    case 'rule': {
      const rule = rules.get(part.name);
      return rule !== undefined && matches(rule, rules, text, at, next);
    }
    case 'sequence': {
      const go = (index: number, place: number): boolean => {
        const one = part.parts[index];
        if (one === undefined) return next(place);
        return matches(one, rules, text, place, (after) => go(index + 1, after));
      };
      return go(0, at);
    }
    case 'choice':
      return part.options.some((option) => matches(option, rules, text, at, next));
    case 'repeat': {
      const go = (count: number, place: number): boolean => {
        const more = (after: number): boolean => after > place && go(count + 1, after);
        if (count < part.max && matches(part.part, rules, text, place, more)) return true;
        return count >= part.min && next(place);
      };
      return go(0, at);
    }
    case 'until': {
      const ends = part.texts.flatMap((stop) => {
        const place = text.indexOf(stop, at);
        return place < 0 ? [] : [place + stop.length];
      });
      return ends.length > 0 && next(Math.min(...ends));
    }
    case 'free': {
      for (let end = at; end <= text.length; end++) {
        if (part.texts.some((stop) => text.slice(at, end).includes(stop))) return false;
        if (next(end)) return true;
      }
      return false;
    }
  }
}
