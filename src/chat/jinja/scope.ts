/**
 * Names and their values, inner before outer. State of one render, in the template worker.
 */
import type { Value } from './values.js';

/** One scope; a loop's is cleared for each round. */
export class Scope {
  readonly #values = new Map<string, Value>();

  constructor(readonly parent: Scope | null) {}

  get(name: string): Value | undefined {
    for (let scope: Scope | null = this; scope; scope = scope.parent) {
      const value = scope.#values.get(name);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }

  clear(): void {
    this.#values.clear();
  }
}
