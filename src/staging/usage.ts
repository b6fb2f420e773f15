/**
 * Who uses which file, and since when nobody does. Server's main thread; it counts what it is told and
 * does nothing by itself.
 */

interface Use {
  /** Engines that were given a path and have not ended. */
  engines: number;
  /** Registry entries with running requests. */
  active: number;
  /** performance.now() of the last sign of use. */
  at: number;
}

/** The uses of files, by path. */
export class Usage {
  readonly #uses = new Map<string, Use>();

  /** Counts as used now. */
  touch(path: string): void {
    this.#of(path).at = performance.now();
  }

  /** An engine is going to have it open. */
  engineBegins(path: string): void {
    this.#of(path).engines += 1;
    this.touch(path);
  }

  /** That engine has ended, which is no use by itself. */
  engineEnds(path: string): void {
    const use = this.#of(path);
    use.engines = Math.max(0, use.engines - 1);
  }

  /** An entry's first request has begun, or its last one has ended. */
  activity(path: string, active: boolean): void {
    const use = this.#of(path);
    use.active = Math.max(0, use.active + (active ? 1 : -1));
    this.touch(path);
  }

  /** An engine has it open, or a request runs. */
  isUsed(path: string): boolean {
    const use = this.#uses.get(path);
    return use !== undefined && (use.engines > 0 || use.active > 0);
  }

  /** Since the last sign of use, ms; 0 while a request runs. */
  idleMs(path: string): number {
    const use = this.#of(path);
    return use.active > 0 ? 0 : performance.now() - use.at;
  }

  #of(path: string): Use {
    let use = this.#uses.get(path);
    if (!use) {
      use = { engines: 0, active: 0, at: performance.now() };
      this.#uses.set(path, use);
    }
    return use;
  }
}
