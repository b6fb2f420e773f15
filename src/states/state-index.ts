/**
 * Which saved states there are, which of them serves a prompt best, and which goes first.
 * Pure bookkeeping on the server's main thread; it knows tokens and sizes, and touches no file. What
 * it says of a prompt is advice: the engine compares every token itself before it reuses one.
 */

/** A state that is worth less than this many tokens is neither saved nor brought back. */
export const LEAST_TOKENS = 32;
/** However small they are. */
const MOST_STATES = 256;

/** One saved state. */
export interface KeptState {
  readonly path: string;
  /** Key of the engines that can read it. */
  readonly key: string;
  readonly model: string;
  readonly tokens: Int32Array;
  /** Size of its file. */
  readonly bytes: number;
  /** performance.now() when its conversation was last heard of. */
  usedAt: number;
}

/** What of a cache is of use to a prompt. */
export interface Reuse {
  readonly prompt: Int32Array;
  /** Whether a cache can be shortened to what it has in common with the prompt. */
  readonly trims: boolean;
}

/** How many tokens two sequences begin with alike. */
export function commonPrefix(one: Int32Array, other: Int32Array): number {
  const limit = Math.min(one.length, other.length);
  let length = 0;
  while (length < limit && one[length] === other[length]) length += 1;
  return length;
}

/** How many tokens of the prompt need not be computed with this cache; the last one always is. */
export function reusable(tokens: Int32Array, { prompt, trims }: Reuse): number {
  const common = Math.min(commonPrefix(tokens, prompt), prompt.length - 1);
  return trims || common === tokens.length ? Math.max(common, 0) : 0;
}

/** All saved states of a server. */
export class StateIndex {
  readonly #states = new Set<KeptState>();

  /** Sum of all files. */
  get bytes(): number {
    return this.bytesOf([...this.#states]);
  }

  get size(): number {
    return this.#states.size;
  }

  bytesOf(states: readonly KeptState[]): number {
    return states.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  has(state: KeptState): boolean {
    return this.#states.has(state);
  }

  /** Adds a state; gives those that have no place any more beside it. They are gone from here. */
  add(state: KeptState): KeptState[] {
    const gone = this.of(state.key).filter((old) => isReplaced(old.tokens, state.tokens));
    for (const old of gone) this.#states.delete(old);
    this.#states.add(state);
    while (this.#states.size > MOST_STATES) {
      const [oldest] = this.#byAge();
      if (!oldest) break;
      this.#states.delete(oldest);
      gone.push(oldest);
    }
    return gone;
  }

  /** False where it was not there any more. */
  delete(state: KeptState): boolean {
    return this.#states.delete(state);
  }

  /** All of one key. */
  of(key: string): KeptState[] {
    return [...this.#states].filter((state) => state.key === key);
  }

  /** A state with which saving these tokens again would gain nothing. */
  covering(key: string, tokens: Int32Array): KeptState | null {
    const same = (state: KeptState): boolean =>
      state.tokens.length === tokens.length && commonPrefix(state.tokens, tokens) === tokens.length;
    return this.of(key).find(same) ?? null;
  }

  /** The state of this key that is of most use to a prompt, and how many of its tokens it saves. */
  best(key: string, reuse: Reuse): { readonly state: KeptState; readonly tokens: number } | null {
    let best: { state: KeptState; tokens: number } | null = null;
    for (const state of this.of(key)) {
      const tokens = reusable(state.tokens, reuse);
      const more = tokens - (best?.tokens ?? 0);
      // Of equally long ones the smaller file is read faster.
      if (more > 0 || (more === 0 && best && state.bytes < best.state.bytes)) {
        best = { state, tokens };
      }
    }
    return best && best.tokens > 0 ? best : null;
  }

  /** The states used before `usedAt`, the one unused for longest first. */
  olderThan(usedAt: number): KeptState[] {
    return this.#byAge().filter((state) => state.usedAt < usedAt);
  }

  #byAge(): KeptState[] {
    return [...this.#states].sort((a, b) => a.usedAt - b.usedAt);
  }
}

/** Of two states of one conversation the newer one serves: the older adds too little of its own. */
function isReplaced(old: Int32Array, by: Int32Array): boolean {
  return old.length - commonPrefix(old, by) < LEAST_TOKENS;
}
