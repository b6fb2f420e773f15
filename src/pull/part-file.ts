/**
 * A file that is being downloaded: `X.part` with the bytes at their places, and `X.part.json` beside it,
 * which says what file it is going to be and which of its bytes are on the disk. One process at a time
 * (the caller holds the lock). A kill at any line leaves a state that claims no byte that is not there:
 * bytes are written through before the state names them. It must never touch `X` but by the last rename.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  isRecord,
  readSmallFile,
  removeTemporaries,
  replaceFile,
  syncDirectory,
} from '../models/map-file.js';
import { type Range, Ranges, readRanges } from './ranges.js';

/** What a file on a server is, as far as anybody says. */
export interface Identity {
  readonly size: number | null;
  /** Lower-case hex. */
  readonly sha256: string | null;
  readonly etag: string | null;
  readonly modified: string | null;
}

/** How a part file was found: nothing of use, something of this very file, something of another one. */
export type Found = 'none' | 'some' | 'other';

/** Between two states that are written while bytes come. */
const SAVE_MS = 250;
const MAX_STATE_BYTES = 1024 * 1024;

/** Where the part and its state are. */
export function partPaths(target: string): { readonly part: string; readonly state: string } {
  return { part: `${target}.part`, state: `${target}.part.json` };
}

/** True where bytes of the one are bytes of the other. */
export function isSameFile(a: Identity, b: Identity): boolean {
  if (a.size === null || a.size !== b.size) return false;
  if (a.sha256 !== null || b.sha256 !== null) return a.sha256 === b.sha256;
  if (a.etag !== null || b.etag !== null) return a.etag === b.etag;
  return a.modified !== null && a.modified === b.modified;
}

/** Removes what kills have left beside a file that is whole, or of which nothing is there; under the lock. */
export async function tidyBeside(target: string): Promise<void> {
  const { state } = partPaths(target);
  await rm(state, { force: true });
  await removeTemporaries(state, 0);
}

/** How much of a file is on the disk already, without touching anything. */
export async function bytesThere(target: string, identity: Identity): Promise<number> {
  return (await readState(target, identity)).done.bytes;
}

/** One file on its way. Close it, however the work ended. */
export class PartFile {
  readonly found: Found;
  readonly identity: Identity;
  readonly #target: string;
  readonly #handle: FileHandle;
  #done: Ranges;
  #saving: Promise<void> | null = null;
  #savedAt = performance.now();

  private constructor(
    target: string,
    identity: Identity,
    { handle, found, done }: { handle: FileHandle; found: Found; done: Ranges },
  ) {
    this.#target = target;
    this.identity = identity;
    this.#handle = handle;
    this.found = found;
    this.#done = done;
  }

  /** Goes on where the last one stopped, or begins anew. Throws what the file system says. */
  static async open(target: string, identity: Identity): Promise<PartFile> {
    const { part } = partPaths(target);
    const flags = constants.O_RDWR | constants.O_CREAT | (constants.O_NONBLOCK ?? 0);
    const handle = await open(part, flags | (constants.O_NOFOLLOW ?? 0), 0o666);
    try {
      const facts = await handle.stat();
      if (!facts.isFile()) throw new Error(`${part} is no file`);
      const state = await readState(target, identity);
      // The file was made as long as it will be before the state claimed anything.
      const isCut = state.found === 'some' && facts.size !== identity.size;
      const found = isCut ? 'none' : state.found;
      const done = found === 'some' ? state.done : new Ranges();
      const file = new PartFile(target, identity, { handle, found, done });
      if (found !== 'some') await file.restart();
      return file;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** How many bytes are written. */
  get doneBytes(): number {
    return this.#done.bytes;
  }

  /** The first bytes that are missing and that nobody in `taken` has; null = none. */
  firstGap(most: number, taken: Iterable<Range> = []): Range | null {
    return this.#done.firstGap(this.identity.size ?? Number.MAX_SAFE_INTEGER, most, taken);
  }

  /** Forgets all bytes. */
  async restart(): Promise<void> {
    const { state } = partPaths(this.#target);
    await this.#saving;
    // First the claim, then the bytes.
    await rm(state, { force: true });
    await syncDirectory(dirname(state));
    this.#done = new Ranges();
    await this.#handle.truncate(0);
    if (this.identity.size !== null) await this.#handle.truncate(this.identity.size);
  }

  /** Writes bytes at their place. */
  async write(bytes: Uint8Array, at: number): Promise<void> {
    let written = 0;
    while (written < bytes.byteLength) {
      const { bytesWritten } = await this.#handle.write(
        bytes,
        written,
        bytes.byteLength - written,
        at + written,
      );
      written += bytesWritten;
    }
    this.#done.add([at, at + bytes.byteLength]);
    // What has no known length cannot be gone on with.
    if (this.identity.size === null) return;
    if (this.#saving === null && performance.now() - this.#savedAt >= SAVE_MS) await this.save();
  }

  /** Has the state say what is on the disk now. */
  async save(): Promise<void> {
    while (this.#saving !== null) await this.#saving;
    this.#saving = this.#saveNow().finally(() => {
      this.#saving = null;
      this.#savedAt = performance.now();
    });
    await this.#saving;
  }

  async #saveNow(): Promise<void> {
    const { state } = partPaths(this.#target);
    // What of this was written is written through by the next line; what comes later is not claimed.
    const done = this.#done.list();
    await this.#handle.datasync();
    await replaceFile(state, `${JSON.stringify({ format: 1, ...this.identity, done })}\n`);
  }

  /** Gives it its name. Nothing may be written afterwards. */
  async place(): Promise<void> {
    const { part, state } = partPaths(this.#target);
    await this.#saving;
    await this.#handle.sync();
    await rename(part, this.#target);
    await syncDirectory(dirname(this.#target));
    await rm(state, { force: true });
  }

  /** Leaves nothing of it. */
  async discard(): Promise<void> {
    const { part, state } = partPaths(this.#target);
    await this.#saving?.catch(() => {});
    await rm(state, { force: true });
    await rm(part, { force: true });
  }

  async close(): Promise<void> {
    await this.#saving?.catch(() => {});
    await this.#handle.close();
  }
}

async function readState(
  target: string,
  identity: Identity,
): Promise<{ readonly found: Found; readonly done: Ranges }> {
  const nothing = { found: 'none', done: new Ranges() } as const;
  try {
    const file = await readSmallFile(partPaths(target).state, MAX_STATE_BYTES);
    const said: unknown = file && JSON.parse(new TextDecoder().decode(file.bytes));
    if (!isRecord(said) || said.format !== 1) return nothing;
    const { size, sha256, etag, modified } = said;
    if (typeof size !== 'number') return nothing;
    const done = readRanges(said.done, size);
    if (done === null) return nothing;
    const before = {
      size,
      sha256: textOf(sha256),
      etag: textOf(etag),
      modified: textOf(modified),
    };
    return isSameFile(before, identity) ? { found: 'some', done } : { ...nothing, found: 'other' };
  } catch {
    // Cut off, or written by somebody else: it says nothing.
    return nothing;
  }
}

/** What a state says, where it is a text. */
export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
