/**
 * The names every template may use: Jinja2's own, and Hugging Face's raise_exception and strftime_now.
 * Pure but for the time it is given; runs in the template worker.
 */
import type { Budget } from './budget.js';
import { Call } from './calls.js';
import { strftime } from './strftime.js';
import { toText } from './text.js';
import {
  Attributed,
  Callable,
  Dict,
  intOf,
  iterate,
  type Keywords,
  Namespace,
  Range,
  type Value,
} from './values.js';

/** The global names and their values. */
export function globals(now: Date, budget: Budget): ReadonlyMap<string, Value> {
  const named = (name: string, call: (args: Value[], keywords: Keywords) => Value) =>
    [name, new Callable(name, call)] as const;
  return new Map([
    named('range', (args, keywords) => range(args, keywords, budget)),
    named('namespace', (args, keywords) => namespace(args, keywords, budget)),
    named('dict', (args, keywords) => dict(args, keywords, budget)),
    named('cycler', (args) => new Cycler(args)),
    named('joiner', (args, keywords) => {
      const separator = new Call('joiner', ['sep'], args, keywords).or('sep', ', ');
      let isFirst = true;
      return new Callable('joiner', () => {
        const text = isFirst ? '' : separator;
        isFirst = false;
        return text;
      });
    }),
    named('strftime_now', (args, keywords) => {
      const call = new Call('strftime_now', ['format'], args, keywords, 1);
      return strftime(toText(call.get('format'), budget), now);
    }),
    named('raise_exception', (args, keywords) => {
      const call = new Call('raise_exception', ['message'], args, keywords, 1);
      throw new Error(toText(call.get('message'), budget));
    }),
  ]);
}

function range(args: readonly Value[], keywords: Keywords, budget: Budget): Value {
  if (keywords.size > 0) throw new Error('range() takes no keyword arguments');
  if (args.length < 1 || args.length > 3) throw new Error('range expected 1 to 3 arguments');
  const [first = 0, second, step = 1] = args.map(intOf);
  budget.step();
  return second === undefined ? new Range(0, first, 1) : new Range(first, second, step);
}

/** dict(): pairs or another dict, then what has a name. */
function dict(args: readonly Value[], keywords: Keywords, budget: Budget): Dict {
  const [source, ...more] = args;
  if (more.length > 0) throw new Error(`dict expected at most 1 argument, got ${args.length}`);
  const result = new Dict();
  if (source instanceof Dict) {
    budget.items(source.entries.size);
    for (const [key, value] of source.entries.values()) result.set(key, value);
  } else if (source !== undefined) {
    for (const row of iterate(source, budget)) {
      const pair = iterate(row, budget);
      const [key, value] = pair;
      if (pair.length !== 2 || key === undefined || value === undefined) {
        throw new Error('dictionary update sequence element must have length 2');
      }
      result.set(key, value);
    }
  }
  for (const [key, value] of keywords) result.set(key, value);
  return result;
}

function namespace(args: readonly Value[], keywords: Keywords, budget: Budget): Namespace {
  const result = new Namespace();
  for (const [key, value] of dict(args, keywords, budget).entries.values()) {
    result.attributes.set(toText(key, budget), value);
  }
  return result;
}

class Cycler extends Attributed {
  readonly type = 'Cycler';
  readonly #items: readonly Value[];
  #at = 0;

  constructor(items: readonly Value[]) {
    super();
    if (items.length === 0) throw new Error('at least one item has to be provided');
    this.#items = items;
  }

  attribute(name: string): Value | undefined {
    const current = this.#items[this.#at];
    if (name === 'current') return current;
    if (name === 'reset') return new Callable(name, () => this.#move(0, null));
    if (name !== 'next') return undefined;
    return new Callable(name, () =>
      this.#move((this.#at + 1) % this.#items.length, this.#items[this.#at] ?? null),
    );
  }

  #move(to: number, value: Value): Value {
    this.#at = to;
    return value;
  }
}
