/**
 * How fast a process reads from storage: what its reads took out of the disk and not out of the page
 * cache, and in how much time. Server's main thread; it looks at /proc a few times a second while
 * something loads, and never keeps the process alive.
 */
import { readFile } from 'node:fs/promises';

const EVERY_MS = 50;

/** What was read from storage, and during how long there was reading; bytes and ms. */
export interface Reading {
  readonly bytes: number;
  readonly ms: number;
}

/** Watches one process from now on, until `end` tells what it has read. */
export class ReadMeter {
  readonly #path: string;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void>;
  #ended = false;
  /** What it had read at the last look; null before the first one. */
  #seen: number | null = null;
  #lookedAt = performance.now();
  #reading: Reading | null = null;

  constructor(pid: number) {
    this.#path = `/proc/${pid}/io`;
    this.#looking = this.#look();
  }

  /** What was read; null where this system does not tell. Idempotent. */
  async end(): Promise<Reading | null> {
    await this.#looking;
    if (!this.#ended) {
      this.#ended = true;
      if (this.#timer) clearTimeout(this.#timer);
      await this.#look();
    }
    return this.#reading;
  }

  async #look(): Promise<void> {
    const read = await readBytes(this.#path);
    const now = performance.now();
    const ms = now - this.#lookedAt;
    this.#lookedAt = now;
    if (read !== null) {
      // From the start of the process on: what it read before the first look counts too.
      const bytes = read - (this.#seen ?? 0);
      const before = this.#reading ?? { bytes: 0, ms: 0 };
      this.#reading = { bytes: before.bytes + bytes, ms: before.ms + (bytes > 0 ? ms : 0) };
      this.#seen = read;
    }
    if (this.#ended) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.#look();
    }, EVERY_MS).unref();
  }
}

async function readBytes(path: string): Promise<number | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const bytes = /^read_bytes: (\d+)$/m.exec(text)?.[1];
  return bytes === undefined ? null : Number(bytes);
}
