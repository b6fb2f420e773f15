/**
 * `loop`: where a for statement is. State of one render, in the template worker; the interpreter moves it.
 */
import type { Budget } from './budget.js';
import { isEqual } from './operators.js';
import { Attributed, Callable, orUndefined, Tuple, type Value } from './values.js';

/** What a template sees of a running loop. */
export class Loop extends Attributed {
  readonly type = 'LoopContext';
  index0 = -1;
  #changed: Value = null;

  constructor(
    readonly items: readonly Value[],
    readonly depth0: number,
    readonly recurse: ((items: Value) => Value) | null,
    readonly budget: Budget,
  ) {
    super();
  }

  attribute(name: string): Value | undefined {
    const { index0, items } = this;
    switch (name) {
      case 'index0':
        return index0;
      case 'index':
        return index0 + 1;
      case 'length':
        return items.length;
      case 'revindex':
        return items.length - index0;
      case 'revindex0':
        return items.length - index0 - 1;
      case 'first':
        return index0 === 0;
      case 'last':
        return index0 === items.length - 1;
      case 'depth':
        return this.depth0 + 1;
      case 'depth0':
        return this.depth0;
      case 'previtem':
        return orUndefined(items[index0 - 1], 'there is no previous item');
      case 'nextitem':
        return orUndefined(items[index0 + 1], 'there is no next item');
      case 'cycle':
        return new Callable(name, (args) => this.#cycle(args));
      case 'changed':
        return new Callable(name, (args) => this.#hasChanged(new Tuple(args)));
      default:
        return undefined;
    }
  }

  #cycle(args: readonly Value[]): Value {
    const value = args[this.index0 % args.length];
    if (value === undefined) throw new Error('no items for cycling given');
    return value;
  }

  #hasChanged(now: Tuple): boolean {
    if (this.#changed !== null && isEqual(this.#changed, now, this.budget)) return false;
    this.#changed = now;
    return true;
  }
}
