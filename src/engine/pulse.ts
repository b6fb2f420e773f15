/**
 * What the engine process tells of itself while it works: how far it is, and what memory it holds.
 * Main thread of the engine process. It must never claim progress that nothing but itself made, and
 * holds no timer while there is nothing to do.
 */
import type { NativeLane, NativeProgress } from './addon.js';
import type { Pulse } from './protocol.js';

/** Processor time of other threads that counts as progress of a call that tells nothing, ms. */
const WORK_MS = 20;

/** The parts of process.resourceUsage() that tell of reading and writing. */
export interface Usage {
  readonly majorPageFault: number;
  readonly fsRead: number;
  readonly fsWrite: number;
}

/** Where the figures come from. */
export interface PulseSource {
  /** The addon's counters. */
  readonly progress: () => NativeProgress;
  /** What JavaScript has got done besides: pieces of state files. */
  readonly pieces: () => number;
  readonly usage: () => Usage;
  readonly rssBytes: () => number;
}

/** What is known of one lane beside its counter. */
class Lane {
  /** Pulses in which nothing but work was seen of a long call. */
  #worked = 0;
  #count = 0;
  /** How many of them since the counter last moved. */
  #sinceCount = 0;

  /** The lane's counter and what it does not count. At most `most` pulses in a row are work alone. */
  total({ count, inLongCall }: NativeLane, works: boolean, most: number): number {
    if (count !== this.#count || !inLongCall) this.#sinceCount = 0;
    this.#count = count;
    if (inLongCall && works && this.#sinceCount < most) {
      this.#sinceCount += 1;
      this.#worked += 1;
    }
    return count + this.#worked;
  }
}

/**
 * Makes pulses out of counters. A lane in a long call has none; it gets on where other threads
 * compute, or the system reads or writes for this process. That is no proof (a thread may spin), so
 * it counts for `mostWorked` pulses in a row at most.
 */
export class PulseMaker {
  readonly #source: PulseSource;
  readonly #mostWorked: number;
  readonly #steps = new Lane();
  readonly #embeds = new Lane();
  readonly #other = new Lane();
  #cpuMs = 0;
  #transfers = 0;

  constructor(source: PulseSource, mostWorked: number) {
    this.#source = source;
    this.#mostWorked = mostWorked;
  }

  make(): Pulse {
    const now = this.#source.progress();
    const works = this.#worksSince(now.othersCpuMs);
    const steps = this.#steps.total(now.steps, works, this.#mostWorked);
    const embeds = this.#embeds.total(now.embeds, works, this.#mostWorked);
    const other = this.#other.total(now.other, works, this.#mostWorked) + this.#source.pieces();
    const rssBytes = this.#source.rssBytes();
    return { type: 'pulse', progress: steps + embeds + other, steps, embeds, rssBytes };
  }

  #worksSince(cpuMs: number): boolean {
    const { majorPageFault, fsRead, fsWrite } = this.#source.usage();
    const transfers = majorPageFault + fsRead + fsWrite;
    const works = cpuMs - this.#cpuMs >= WORK_MS || transfers !== this.#transfers;
    // Small amounts add up: a machine may be so slow, or so busy, that there is no more a second.
    if (works) this.#cpuMs = cpuMs;
    this.#transfers = transfers;
    return works;
  }
}

/** How a pulse is sent. */
export interface HeartInput {
  readonly make: () => Pulse;
  readonly busy: () => boolean;
  readonly send: (pulse: Pulse) => void;
  readonly everyMs: number;
}

/** Beats while there is work, and once after it: what is held then is what stays held. */
export class Heart {
  readonly #input: HeartInput;
  #timer: NodeJS.Timeout | null = null;

  constructor(input: HeartInput) {
    this.#input = input;
  }

  /** There may be work again. */
  wake(): void {
    this.#timer ??= setTimeout(() => this.#beat(), this.#input.everyMs).unref();
  }

  #beat(): void {
    this.#timer = null;
    if (this.#input.busy()) this.wake();
    this.#input.send(this.#input.make());
  }
}
