/**
 * Compiled grammars by what they were compiled from, the least recently used forgotten first. Main
 * thread. It must never hold more than its bounds, whatever clients send.
 */

/** How much a cache holds at most. */
export interface GrammarCacheBounds {
  readonly entries: number;
  /** Numbers of all programs together, 4 bytes each. */
  readonly numbers: number;
}

const BOUNDS: GrammarCacheBounds = { entries: 64, numbers: 4 * 1024 * 1024 };

/** Programs by key; the same key gives the same Int32Array while it is held. */
export class GrammarCache {
  readonly #bounds: GrammarCacheBounds;
  /** In order of use, the oldest first. */
  readonly #programs = new Map<string, Int32Array>();
  #numbers = 0;

  constructor(bounds: GrammarCacheBounds = BOUNDS) {
    this.#bounds = bounds;
  }

  /** How many programs are held. */
  get size(): number {
    return this.#programs.size;
  }

  /**
   * The program of this key, made where it is not held; what `make` throws passes, and is not kept.
   * The key says all that the program depends on: what kind of text, and the text or a hash of it.
   */
  of(key: string, make: () => Int32Array): Int32Array {
    const held = this.#programs.get(key);
    if (held !== undefined) {
      this.#programs.delete(key);
      this.#programs.set(key, held);
      return held;
    }
    const made = make();
    // A key is held too: two bytes a character at most.
    this.#keep(key, made);
    return made;
  }

  #keep(key: string, program: Int32Array): void {
    if (this.#bounds.entries < 1 || this.#weight(key, program) > this.#bounds.numbers) return;
    this.#programs.set(key, program);
    this.#numbers += this.#weight(key, program);
    for (const [oldest, dropped] of this.#programs) {
      const fits = this.#numbers <= this.#bounds.numbers;
      if (fits && this.#programs.size <= this.#bounds.entries) return;
      this.#programs.delete(oldest);
      this.#numbers -= this.#weight(oldest, dropped);
    }
  }

  #weight(key: string, program: Int32Array): number {
    return program.length + Math.ceil(key.length / 2);
  }
}
