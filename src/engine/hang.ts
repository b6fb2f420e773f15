/**
 * Whether an engine that has work gets it done: silence is counted while there is some, and ended by
 * any sign that something went on. Server's main thread. It must never take a slow engine for a stuck
 * one, nor count time in which this process did not run itself.
 */
import type { Pulse } from './protocol.js';

/** What can be outstanding; each is watched for itself, so that one cannot hide another's silence. */
export type Work = 'load' | 'completions' | 'embeds' | 'calls';

/** How often the silence is counted, ms, and how often within a short limit. */
const TICK_MS = 1000;
const TICKS_PER_LIMIT = 4;
/** How many limits a single call may last that tells nothing of itself, though the engine computes. */
export const LIMITS_PER_CALL = 10;
/** What one tick counts at most: a process that slept, or was stopped, has heard nothing meanwhile. */
const TICKS_COUNTED = 2;

/** How long a watched engine may be silent, and what then. */
export interface HangWatchInput {
  /** 0 = for ever. */
  readonly limitMs: number;
  /** Called once. */
  readonly onHang: (what: Work) => void;
}

/** How often an engine has to send pulses so that this limit can be kept, ms. */
export function pulseMs(limitMs: number): number {
  return limitMs > 0
    ? Math.max(10, Math.min(TICK_MS, Math.floor(limitMs / TICKS_PER_LIMIT)))
    : TICK_MS;
}

/** Silence of one kind of work, ms; 0 at its begin and at every sign of life. */
class Silence {
  outstanding = 0;
  ms = 0;
}

/** Watches one engine. It holds no timer while nothing is outstanding. */
export class HangWatch {
  /** 0 = for ever. */
  readonly limitMs: number;
  readonly #input: HangWatchInput;
  readonly #tickMs: number;
  readonly #work: Readonly<Record<Work, Silence>> = {
    load: new Silence(),
    completions: new Silence(),
    embeds: new Silence(),
    calls: new Silence(),
  };
  /** How old each unanswered call is, ms. */
  readonly #calls = new Map<number, number>();
  #timer: NodeJS.Timeout | null = null;
  #tickedAt = 0;
  #last: Pick<Pulse, 'progress' | 'steps' | 'embeds'> = { progress: 0, steps: 0, embeds: 0 };

  constructor(input: HangWatchInput) {
    this.#input = input;
    this.limitMs = input.limitMs;
    this.#tickMs = pulseMs(input.limitMs);
  }

  /** Something is asked of the engine. */
  begin(what: Work): void {
    if (this.limitMs <= 0) return;
    const silence = this.#work[what];
    if (silence.outstanding === 0) silence.ms = 0;
    silence.outstanding += 1;
    if (this.#timer) return;
    this.#tickedAt = performance.now();
    this.#timer = setInterval(() => this.#tick(), this.#tickMs).unref();
  }

  /** It is done, or nobody waits any more. */
  end(what: Work): void {
    const silence = this.#work[what];
    silence.outstanding = Math.max(0, silence.outstanding - 1);
    silence.ms = 0;
    if (Object.values(this.#work).every(({ outstanding }) => outstanding === 0)) this.stop();
  }

  /** A call that has to be answered, whatever else goes on. */
  beginCall(id: number): void {
    this.begin('calls');
    this.#calls.set(id, 0);
  }

  endCall(id: number): void {
    if (this.#calls.delete(id)) this.end('calls');
  }

  /** The engine gave a sign of life for this. */
  heard(what: Work): void {
    this.#work[what].ms = 0;
  }

  /** Compares an engine's counters with those before. */
  pulse(pulse: Pick<Pulse, 'progress' | 'steps' | 'embeds'>): void {
    const last = this.#last;
    this.#last = pulse;
    if (pulse.progress > last.progress) {
      this.heard('load');
      this.heard('calls');
    }
    if (pulse.steps > last.steps) this.heard('completions');
    if (pulse.embeds > last.embeds) this.heard('embeds');
  }

  /** Nothing is watched any more, until something begins. */
  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  #tick(): void {
    const now = performance.now();
    const passed = Math.min(now - this.#tickedAt, this.#tickMs * TICKS_COUNTED);
    this.#tickedAt = now;
    for (const what of ['load', 'completions', 'embeds', 'calls'] as const) {
      const silence = this.#work[what];
      if (silence.outstanding === 0) continue;
      silence.ms += passed;
      if (silence.ms >= this.limitMs) {
        this.#hung(what);
        return;
      }
    }
    for (const [id, age] of this.#calls) {
      this.#calls.set(id, age + passed);
      if (age + passed < this.limitMs * LIMITS_PER_CALL) continue;
      this.#hung('calls');
      return;
    }
  }

  #hung(what: Work): void {
    this.stop();
    this.#input.onHang(what);
  }
}
