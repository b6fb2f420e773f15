/**
 * What one pass over all that wait has found out so far: who is used by somebody before, which kinds
 * of places are kept free for somebody before. Made anew for every pass; pure.
 */
import type { Purpose } from './pool-status.js';
import type { Resident } from './resident.js';
import type { Waiter } from './waiter.js';

/** One pass. */
export class Turn {
  readonly #barred = new Set<Purpose>();
  readonly #used = new Set<Resident>();
  readonly #reserved = new Map<Purpose, number>();
  readonly #admitted = new Map<string, boolean>();
  readonly #placed = new Map<string, number>();

  /** Nobody behind gets anything of such models: somebody waits until one of them is free to go. */
  bar(purpose: Purpose): void {
    this.#barred.add(purpose);
  }

  isBarred(purpose: Purpose): boolean {
    return this.#barred.has(purpose);
  }

  /** Somebody uses it, or goes on with it when his time has come. */
  use(resident: Resident): void {
    this.#used.add(resident);
  }

  isUsed(resident: Resident): boolean {
    return resident.leases > 0 || this.#used.has(resident);
  }

  /** A place is taken for somebody who is not there yet. */
  reserve(purpose: Purpose): void {
    this.#reserved.set(purpose, this.reserved(purpose) + 1);
  }

  reserved(purpose: Purpose): number {
    return this.#reserved.get(purpose) ?? 0;
  }

  /** What came of an earlier waiter for the same model. */
  admitted(key: string): boolean | undefined {
    return this.#admitted.get(key);
  }

  admit(key: string, isTurn: boolean): void {
    this.#admitted.set(key, isTurn);
  }

  /** Whether it gets a slot as soon as its model is there; asked once for each that waits for that. */
  hasSlotFor({ key, need, options }: Waiter): boolean {
    if (need === 'model') return true;
    const placed = (this.#placed.get(key) ?? 0) + 1;
    this.#placed.set(key, placed);
    // How many there will be is measured then; one is certain.
    return placed <= (options.slots === 'auto' ? 1 : options.slots);
  }
}
