/**
 * How often each model's engine has crashed, and what follows: at once again, later, or not before
 * somebody asks for it. Pure bookkeeping: the caller tells the time (performance.now(), ms).
 */

/** A model that crashes this often without finishing one request is held back. */
export const CRASHES_TO_HOLD = 3;
/** How long the next start waits after the first, second, third crash in a row, and after all later ones. */
const BACK_OFF_MS = [0, 1000, 2000];

/** Whether an engine may be started now. */
export type Verdict =
  | { readonly state: 'free' }
  | { readonly state: 'wait'; readonly ms: number }
  | { readonly state: 'held'; readonly crashes: number };

interface Record {
  readonly model: string;
  /** In a row: only a finished request begins anew. */
  crashes: number;
  /** Of these, since somebody asked for it in spite of them. */
  strikes: number;
  notBefore: number;
}

/** The crashes of all models, by the key of their engines. */
export class Restarts {
  readonly #records = new Map<string, Record>();

  /** Counts a crash. `restartInMs`: when the next start may be; null = held back. */
  crashed(key: string, model: string, now: number): { readonly restartInMs: number | null } {
    const { crashes = 0, strikes = 0 } = this.#records.get(key) ?? {};
    const delay = BACK_OFF_MS[Math.min(crashes, BACK_OFF_MS.length - 1)] ?? 0;
    const record = { model, crashes: crashes + 1, strikes: strikes + 1, notBefore: now + delay };
    this.#records.set(key, record);
    return { restartInMs: record.strikes >= CRASHES_TO_HOLD ? null : delay };
  }

  /** A request of this engine was finished: what was is forgotten. */
  finished(key: string): void {
    this.#records.delete(key);
  }

  /** Somebody asks for it by name: it may be started at once, however often it has crashed. */
  lift(key: string): void {
    const record = this.#records.get(key);
    if (!record) return;
    record.strikes = 0;
    record.notBefore = Number.NEGATIVE_INFINITY;
  }

  /** Engines are made of something else now. */
  clear(): void {
    this.#records.clear();
  }

  /** Forgets the models of which this says no. */
  retain(isCurrent: (model: string, key: string) => boolean): void {
    for (const [key, { model }] of this.#records) {
      if (!isCurrent(model, key)) this.#records.delete(key);
    }
  }

  /** What is to be done with the next start. */
  verdict(key: string, now: number): Verdict {
    const record = this.#records.get(key);
    if (!record) return { state: 'free' };
    const { crashes, strikes, notBefore } = record;
    if (strikes >= CRASHES_TO_HOLD) return { state: 'held', crashes };
    return notBefore > now ? { state: 'wait', ms: notBefore - now } : { state: 'free' };
  }

  /** The models that are held back. */
  held(): readonly { readonly model: string; readonly crashes: number }[] {
    return [...this.#records.values()]
      .filter(({ strikes }) => strikes >= CRASHES_TO_HOLD)
      .map(({ model, crashes }) => ({ model, crashes }));
  }
}
