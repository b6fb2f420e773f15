/**
 * run.json: where this user's servers are and how the CLI is let in, the one it talks to first, those
 * that were there before it behind. Server process, main thread. It belongs to nobody alone: a server
 * changes no record but its own, and drops those whose process is gone.
 */
import { readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';

/** More servers of one user than anybody runs. */
const MAX_RECORDS = 8;

interface RunRecord {
  readonly pid: number;
  readonly token: string;
}

/** Where a server listens. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** What one server has to say in the file; `token` tells its record from all others. */
export class RunFile {
  readonly #path: string;
  readonly #token: string;

  constructor(path: string, token: string) {
    this.#path = path;
    this.#token = token;
  }

  /** Takes the first place, readable for this user only. Gives who had it, if that one still runs. */
  write({ host, port, version }: Place & { readonly version: string }): Place | null {
    const own = { pid: process.pid, host, port, token: this.#token, version };
    // What has our number was left by one that had it before us.
    const others = this.#read().filter(({ pid, token }) => pid !== own.pid && token !== own.token);
    this.#put([own, ...others]);
    return others.find(isPlace) ?? null;
  }

  /**
   * Says that we listen no more and how long running answers may still take; where that cannot be
   * written any more, we are taken out at once.
   */
  markStopping(graceMs: number): void {
    const { pid } = process;
    const own = { pid, token: this.#token, stopping: { since: Date.now(), grace_ms: graceMs } };
    try {
      this.#change([own]);
    } catch {
      this.remove();
    }
  }

  /** Takes our record out, and the file away with the last one. Awaits nothing, throws nothing. */
  remove(): void {
    try {
      this.#change([]);
    } catch {
      // No room even for less: whoever reads it sees that our process is gone.
    }
  }

  /** Puts `own` in the place of our record; where there is none, the file is somebody else's. */
  #change(own: readonly RunRecord[]): void {
    const records = this.#read();
    if (!records.some(({ token }) => token === this.#token)) return;
    const changed = records.flatMap((one) => (one.token === this.#token ? own : [one]));
    if (changed.length > 0) this.#put(changed);
    else unlinkSync(this.#path);
  }

  /** The records of processes that are there. */
  #read(): readonly RunRecord[] {
    try {
      const { before, ...first } = JSON.parse(readFileSync(this.#path, 'utf8'));
      const records: unknown[] = [first, ...(Array.isArray(before) ? before : [])];
      return records.filter(isRunRecord).filter(({ pid }) => lives(pid));
    } catch {
      return [];
    }
  }

  #put(records: readonly RunRecord[]): void {
    const [first, ...before] = records.slice(0, MAX_RECORDS);
    const temporary = `${this.#path}.${process.pid}.tmp`;
    try {
      const content = { ...first, ...(before.length > 0 && { before }) };
      writeFileSync(temporary, JSON.stringify(content), { mode: 0o600 });
      renameSync(temporary, this.#path);
    } catch (error) {
      try {
        unlinkSync(temporary);
      } catch {
        // It was never made.
      }
      throw error;
    }
  }
}

function isRunRecord(value: unknown): value is RunRecord {
  if (typeof value !== 'object' || value === null) return false;
  if (!('pid' in value) || !('token' in value)) return false;
  const { pid, token } = value;
  return Number.isInteger(pid) && Number(pid) > 0 && typeof token === 'string';
}

function isPlace(record: object): record is RunRecord & Place {
  return (
    'host' in record &&
    typeof record.host === 'string' &&
    'port' in record &&
    typeof record.port === 'number'
  );
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return cause instanceof Error && 'code' in cause && cause.code === 'EPERM';
  }
}
