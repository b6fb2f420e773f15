/**
 * Copies a model's files in pieces, slowly enough to leave the machine to others, and proves afterwards
 * that no source changed meanwhile. Server's main thread, all reading and writing through libuv. It
 * writes only new files of its own; what it leaves half-written belongs to the caller to remove.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PIECE_BYTES = 4 * 1024 * 1024;
/** As coarse as a file's time of change may be; two changes within it look like one. */
const CLOCK_TICK_MS = 20;

/** What a file is known by: equal exactly while it has not changed. Plain data, for a manifest. */
export interface FileFacts {
  readonly ino: string;
  readonly size: number;
  readonly mtimeNs: string;
  /** Tells what mtime does not: a change with the old time put back. */
  readonly ctimeNs: string;
}

/** One file and its copy. */
export interface CopiedFile {
  readonly name: string;
  readonly source: FileFacts;
  readonly copy: FileFacts;
}

/** A source is not the file any more that was to be copied. */
export class SourceChanged extends Error {}

/** What to copy, and how to be stopped. */
export interface CopyInput {
  readonly sources: readonly string[];
  /** A directory of our own, without files of these names. */
  readonly into: string;
  /** Called before every piece with its size; ends the copy by throwing. */
  readonly guard: (bytes: number) => Promise<void>;
  /** Told after every piece. */
  readonly onWritten: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** The facts of the file at `path`. Throws what the file system says, or that it is no file. */
export async function factsOf(path: string): Promise<FileFacts> {
  return toFacts(await stat(path, { bigint: true }), path);
}

/** Whether two looks saw the same unchanged file. */
export function isSame(one: FileFacts, other: FileFacts): boolean {
  return (
    one.ino === other.ino &&
    one.size === other.size &&
    one.mtimeNs === other.mtimeNs &&
    one.ctimeNs === other.ctimeNs
  );
}

/** Copies all sources under their own names, 0600, with their times. Throws SourceChanged too. */
export async function copyFiles(input: CopyInput): Promise<readonly CopiedFile[]> {
  const copied: CopiedFile[] = [];
  for (const source of input.sources) copied.push(await copyFile(source, input));
  // An earlier part may have changed while a later one was copied.
  for (const [index, source] of input.sources.entries()) {
    const before = copied[index]?.source;
    if (!before || !isSame(before, await factsOf(source))) throw new SourceChanged(source);
  }
  return copied;
}

async function copyFile(path: string, input: CopyInput): Promise<CopiedFile> {
  input.signal.throwIfAborted();
  await settle(path, input.signal);
  // O_NONBLOCK: whatever has come to lie there, opening it must not wait.
  const source = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const facts = await source.stat({ bigint: true });
    const before = toFacts(facts, path);
    const name = basename(path);
    const target = await open(join(input.into, name), 'wx', 0o600);
    try {
      const written = await copyBytes(source, target, input);
      const after = toFacts(await source.stat({ bigint: true }), path);
      if (written !== before.size || !isSame(before, after)) throw new SourceChanged(path);
      await target.utimes(facts.atime, facts.mtime);
      const copy = toFacts(await target.stat({ bigint: true }), name);
      return { name, source: before, copy };
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function copyBytes(
  source: FileHandle,
  target: FileHandle,
  { guard, onWritten, signal }: CopyInput,
): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let written = 0;
  for (;;) {
    signal.throwIfAborted();
    await guard(PIECE_BYTES);
    const startedAt = performance.now();
    const { bytesRead } = await source.read(buffer, 0, PIECE_BYTES, written);
    if (bytesRead === 0) return written;
    for (let at = 0; at < bytesRead; ) {
      const { bytesWritten } = await target.write(buffer, at, bytesRead - at);
      at += bytesWritten;
    }
    written += bytesRead;
    onWritten(bytesRead);
    // Half of the time is everybody else's.
    await sleep(Math.max(1, performance.now() - startedAt), undefined, { signal });
  }
}

/** Waits until a further change would be seen in the file's times. */
async function settle(path: string, signal: AbortSignal): Promise<void> {
  const { ctimeMs } = await stat(path);
  const ageMs = Date.now() - ctimeMs;
  if (ageMs >= 0 && ageMs < CLOCK_TICK_MS) await sleep(CLOCK_TICK_MS, undefined, { signal });
}

function toFacts(
  stats: {
    readonly ino: bigint;
    readonly size: bigint;
    readonly mtimeNs: bigint;
    readonly ctimeNs: bigint;
    isFile(): boolean;
  },
  path: string,
): FileFacts {
  if (!stats.isFile()) throw new Error(`${path} is not a regular file`);
  const { ino, size, mtimeNs, ctimeNs } = stats;
  return {
    ino: String(ino),
    size: Number(size),
    mtimeNs: String(mtimeNs),
    ctimeNs: String(ctimeNs),
  };
}
