/**
 * What has been counted since the start: requests, streams, tokens, times. Server's main thread. It is
 * told by whoever does the work, in plain additions, and keeps a timer only while something runs. It must
 * never hold a word of a request.
 */

/** Upper bounds of waiting times, ms. */
const WAIT_BOUNDS_MS = [50, 100, 250, 500, 1000, 2000, 5000, 10_000, 30_000];
/** Upper bounds of the time that a token takes, ms. */
const TOKEN_BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500];
/** Upper bounds of the event loop's delay, ms. */
const DELAY_BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 500];
/** How often the event loop is looked at while something runs, ms. */
const LOOK_MS = 20;

/** Times as a histogram has them: how many, how long in all, and how many up to each bound. */
export class Times {
  /** Ascending, ms. */
  readonly bounds: readonly number[];
  /** How many lie above the bound before and not above this one; the last are above all of them. */
  readonly counts: number[];
  count = 0;
  sumMs = 0;
  maxMs = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = Array<number>(bounds.length + 1).fill(0);
  }

  /** Adds one; below zero, as clocks go, is zero. */
  add(ms: number): void {
    const time = Math.max(0, ms);
    let place = 0;
    while (place < this.bounds.length && time > (this.bounds[place] ?? 0)) place += 1;
    this.counts[place] = (this.counts[place] ?? 0) + 1;
    this.count += 1;
    this.sumMs += time;
    this.maxMs = Math.max(this.maxMs, time);
  }

  /** The smallest bound that `share` of them do not exceed, the longest of all above the bounds; ms. */
  within(share: number): number {
    let seen = 0;
    for (const [place, bound] of this.bounds.entries()) {
      seen += this.counts[place] ?? 0;
      if (seen >= this.count * share) return Math.min(bound, this.maxMs);
    }
    return this.maxMs;
  }
}

/** How a request ended: answered, refused (4xx), failed (5xx, or in mid-stream), or its client left. */
export type Outcome = 'done' | 'refused' | 'failed' | 'cancelled';

/** What one finished generation took: tokens and ms. */
export interface Finished {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly queueMs: number;
  readonly loadMs: number;
  readonly generationMs: number;
}

/** All of them, of one server. */
export class Figures {
  /** Requests that ask something be done, by how they ended. */
  readonly requests: Record<Outcome, number> = { done: 0, refused: 0, failed: 0, cancelled: 0 };
  /** Streamed answers. `joined`: events that became part of another, since the reader was behind. */
  readonly streams = { open: 0, bytes: 0, joined: 0 };
  /** Of finished generations. */
  readonly tokens = { prompt: 0, cached: 0, completion: 0 };
  readonly queueWait = new Times(WAIT_BOUNDS_MS);
  readonly loadWait = new Times(WAIT_BOUNDS_MS);
  /** From a request's arrival to the first word of its answer. */
  readonly firstToken = new Times(WAIT_BOUNDS_MS);
  /** One per answer: what its tokens took on average. */
  readonly perToken = new Times(TOKEN_BOUNDS_MS);
  /** How late the event loop was, looked at while something ran. */
  readonly loopDelay = new Times(DELAY_BOUNDS_MS);
  #running = 0;
  #watch: NodeJS.Timeout | null = null;

  /** Requests that are being worked on. */
  get running(): number {
    return this.#running;
  }

  /** A request begins. What it gives is called once, with how it ended. */
  begin(): (outcome: Outcome) => void {
    this.#running += 1;
    this.#watch ??= this.#watchLoop();
    return (outcome) => {
      this.requests[outcome] += 1;
      this.#running -= 1;
      if (this.#running > 0 || this.#watch === null) return;
      clearInterval(this.#watch);
      this.#watch = null;
    };
  }

  /** A generation has come to its end. */
  finished(took: Finished): void {
    this.tokens.prompt += took.promptTokens;
    this.tokens.cached += took.cachedTokens;
    this.tokens.completion += took.completionTokens;
    this.queueWait.add(took.queueMs);
    this.loadWait.add(took.loadMs);
    if (took.completionTokens > 0) this.perToken.add(took.generationMs / took.completionTokens);
  }

  #watchLoop(): NodeJS.Timeout {
    let due = performance.now() + LOOK_MS;
    const look = (): void => {
      const now = performance.now();
      this.loopDelay.add(now - due);
      due = now + LOOK_MS;
    };
    return setInterval(look, LOOK_MS).unref();
  }
}
