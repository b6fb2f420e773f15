/**
 * What one render may use: steps, the size of a value, and the sum of all copied text and items.
 * Runs in the template worker; every part of the engine that copies or loops must charge it first.
 */

/** Lengths in UTF-16 units or list items. */
export interface RenderLimits {
  readonly steps: number;
  readonly length: number;
}

/** How many times the longest value all copies together may fill. */
const COPIES = 64;
/** What an item counts in UTF-16 units. */
const ITEM_SIZE = 16;
/** As in the sandbox of Python's Jinja2. */
export const MAX_RANGE = 100_000;
/** How deep values may be nested, and macros may call one another. */
export const MAX_DEPTH = 200;

/** Counts down; each method throws an Error once its limit is passed. */
export class Budget {
  readonly #length: number;
  #steps: number;
  #room: number;
  #depth = 0;

  constructor({ steps, length }: RenderLimits) {
    this.#steps = steps;
    this.#length = length;
    this.#room = COPIES * length;
  }

  /** Before each node of a template and each visited value. */
  step(): void {
    this.#steps -= 1;
    if (this.#steps < 0) throw new Error('the template took too many steps');
  }

  /** Before a value of this size exists, where that costs no copy. */
  size(length: number): void {
    if (!(length <= this.#length)) throw new Error('the template made a value that is too long');
  }

  /** Before a copy of this size is made. */
  copy(length: number): void {
    this.size(length);
    this.#room -= length + 1;
    if (this.#room < 0) throw new Error('the template copied too much');
  }

  /** Before a list of this many items is made; an item takes more memory than a character. */
  items(count: number): void {
    this.size(count);
    this.#room -= ITEM_SIZE * count;
    if (this.#room < 0) throw new Error('the template copied too much');
  }

  /** Runs what may call itself: macros, and walks of nested values. */
  nested<T>(run: () => T): T {
    this.enter();
    try {
      return run();
    } finally {
      this.leave();
    }
  }

  enter(): void {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new Error('the template is nested too deeply');
  }

  leave(): void {
    this.#depth -= 1;
  }
}
