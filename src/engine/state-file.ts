/**
 * The file of a saved sequence: magic, version, sizes, identity key, token ids, the library's bytes
 * part by part behind a table of their sizes, and at the end a SHA-256 of all before it. Engine process, JavaScript thread, in small pieces, so
 * that tokens of other slots flow meanwhile. It must never hand out a state whose every byte and whose
 * whole key it has not compared: a foreign state makes wrong text.
 */
import { constants } from 'node:buffer';
import { createHash, type Hash, randomUUID } from 'node:crypto';
import { type FileHandle, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { endianness } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { HoshikageError } from '../errors.js';
import type { NativeContextOptions, NativeLibrary, NativeState } from './addon.js';

/** `HKSTATE\n` */
const MAGIC = Buffer.from('HKSTATE\n', 'latin1');
const VERSION = 2;
/** Magic, version, key bytes, token count, part count, bytes of all parts; little endian. */
const HEADER_BYTES = 32;
const DIGEST_BYTES = 32;
const MOST_KEY_BYTES = 64 * 1024;
/** A part's last token and its bytes, twice 32 bits: no part is larger than what Node can hold. */
const PART_ROW_BYTES = 12;
/** Written, read and hashed at once: some milliseconds of work. */
const CHUNK_BYTES = 4 * 1024 * 1024;
/**
 * What is on the disk before more is written. Flushing gigabytes at the end could take a slow disk
 * minutes in which nothing would show that it gets on.
 */
const FLUSH_BYTES = 64 * 1024 * 1024;
/** A half-written file that has not grown for this long is nobody's, whoever has its process id now, ms. */
const STALE_MS = 60 * 60 * 1000;

/** What a model's files are known by; null where one is gone. */
export type ModelIdentity = readonly (readonly string[])[] | null;

/** What a state belongs to. */
export interface StateOwner {
  /** Of the model's own files, also where a copy is loaded, from before they were opened. */
  readonly model: ModelIdentity;
  readonly library: NativeLibrary;
  readonly context: NativeContextOptions;
  /** As the library made it. */
  readonly tokensPerSlot: number;
}

/**
 * The identity of a state as text: model files and library file by real path, size and time of change,
 * what the library says of itself, and the settings that shape the cache. Null where a file is gone.
 */
export async function stateKey(owner: StateOwner): Promise<string | null> {
  const { model, library, context } = owner;
  if (model === null) return null;
  try {
    return JSON.stringify({
      byteOrder: endianness(),
      model,
      library: await fileIdentity(library.path),
      version: [library.version, library.ggmlVersion, library.ggmlCommit],
      layout: [library.layout.model, library.layout.context],
      tokensPerSlot: owner.tokensPerSlot,
      cache: [context.typeK ?? null, context.typeV ?? null, context.flashAttention ?? null],
      rope: [
        context.ropeScaling ?? null,
        context.ropeFreqBase ?? null,
        context.ropeFreqScale ?? null,
      ],
    });
  } catch {
    return null;
  }
}

/**
 * To be asked for before the model is loaded: a file that is replaced meanwhile would lend its name to
 * what was computed with the old one. Never rejects.
 */
export async function modelIdentity(modelPath: string): Promise<ModelIdentity> {
  return Promise.all(partsOf(modelPath).map(fileIdentity)).catch(() => null);
}

/** All files of a model that was split into several, as libllama finds them: by their names. */
function partsOf(modelPath: string): readonly string[] {
  const [, stem, , count] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s.exec(modelPath) ?? [];
  if (stem === undefined || count === undefined) return [modelPath];
  return Array.from(
    { length: Number(count) },
    (_, index) => `${stem}-${String(index + 1).padStart(5, '0')}-of-${count}.gguf`,
  );
}

async function fileIdentity(path: string): Promise<readonly string[]> {
  const real = await realpath(path);
  const { size, mtimeNs } = await stat(real, { bigint: true });
  return [real, String(size), String(mtimeNs)];
}

/**
 * Writes a state beside `path` and renames it there: a reader finds the old file or the whole new one.
 * Readable by its owner only: what a conversation was about can be read out of it. Gives the file's
 * size in bytes. `signal` ends it soon, with nothing left behind; `onPiece` is called as it gets on.
 * Codes: state_unwritable, closed.
 */
export async function writeState(
  path: string,
  key: string,
  state: NativeState,
  signal: AbortSignal,
  onPiece: () => void = () => {},
): Promise<number> {
  const temporary = `${path}.${process.pid}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    signal.throwIfAborted();
    await removeStale(path);
    const file = await open(temporary, 'wx', 0o600);
    let bytes: number;
    try {
      bytes = await writeParts(file, key, state, signal, onPiece);
      await file.sync();
      signal.throwIfAborted();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
    return bytes;
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    if (signal.aborted) throw new HoshikageError('closed', { what: 'context' }, { cause });
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HoshikageError('state_unwritable', { path, reason }, { cause });
  }
}

/** Removes what processes left behind that were killed while they wrote the same state. */
async function removeStale(path: string): Promise<void> {
  const folder = dirname(path);
  const start = `${basename(path)}.`;
  for (const name of await readdir(folder)) {
    if (!name.startsWith(start)) continue;
    const [, pid] = /^(\d+)\.[0-9a-f]{8}\.tmp$/.exec(name.slice(start.length)) ?? [];
    const file = join(folder, name);
    if (pid === undefined || (isAlive(Number(pid)) && !(await isStale(file)))) continue;
    await rm(file, { force: true }).catch(() => {});
  }
}

async function isStale(file: string): Promise<boolean> {
  const facts = await stat(file).catch(() => null);
  return facts !== null && Date.now() - facts.mtimeMs > STALE_MS;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Somebody else's process may not be signalled, but lives.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

async function writeParts(
  file: FileHandle,
  key: string,
  state: NativeState,
  signal: AbortSignal,
  onPiece: () => void,
): Promise<number> {
  const keyBytes = Buffer.from(key, 'utf8');
  const { tokens, ends, parts } = state;
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt32LE(VERSION, 8);
  header.writeUInt32LE(keyBytes.length, 12);
  header.writeUInt32LE(tokens.length, 16);
  header.writeUInt32LE(parts.length, 20);
  const dataBytes = parts.reduce((sum, { length }) => sum + length, 0);
  header.writeBigUInt64LE(BigInt(dataBytes), 24);
  const table = Buffer.alloc(parts.length * PART_ROW_BYTES);
  for (const [index, part] of parts.entries()) {
    table.writeUInt32LE(ends[index] ?? 0, index * PART_ROW_BYTES);
    table.writeBigUInt64LE(BigInt(part.length), index * PART_ROW_BYTES + 4);
  }
  const tokenBytes = Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  const hash = createHash('sha256');
  let written = 0;
  let flushed = 0;
  for (const part of [header, keyBytes, tokenBytes, table, ...parts]) {
    for (let at = 0; at < part.length; at += CHUNK_BYTES) {
      signal.throwIfAborted();
      const chunk = part.subarray(at, at + CHUNK_BYTES);
      hash.update(chunk);
      written += await writeAll(file, chunk);
      if (written - flushed >= FLUSH_BYTES) {
        await file.datasync();
        flushed = written;
      }
      onPiece();
    }
  }
  return written + (await writeAll(file, hash.digest()));
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<number> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at);
    at += bytesWritten;
  }
  return bytes.length;
}

/** Not every system can; the rename itself has happened. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => null);
  try {
    await folder?.sync().catch(() => {});
  } finally {
    await folder?.close();
  }
}

const DAMAGED = 'the file is damaged: its sizes do not add up';

/** A state read back, or why there is none. */
export type StateRead = { readonly state: NativeState } | { readonly problem: string };

/**
 * Reads a state that was saved under exactly this key; `onPiece` is called as it gets on. Every number
 * is bounded by the file's size.
 */
export async function readState(
  path: string,
  key: string,
  onPiece: () => void = () => {},
): Promise<StateRead> {
  try {
    const file = await open(path, 'r');
    try {
      return await readParts(file, key, onPiece);
    } finally {
      await file.close();
    }
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

async function readParts(file: FileHandle, key: string, onPiece: () => void): Promise<StateRead> {
  const { size } = await file.stat();
  if (size < HEADER_BYTES + DIGEST_BYTES) return { problem: 'the file is too short' };
  const hash = createHash('sha256');
  const header = await readHashed(file, HEADER_BYTES, hash);
  if (!header.subarray(0, MAGIC.length).equals(MAGIC)) return { problem: 'not a saved state' };
  if (header.readUInt32LE(8) !== VERSION) return { problem: 'another version of the format' };
  const keyBytes = header.readUInt32LE(12);
  const tokenCount = header.readUInt32LE(16);
  const partCount = header.readUInt32LE(20);
  const dataBytes = header.readBigUInt64LE(24);
  const fixed = HEADER_BYTES + keyBytes + tokenCount * 4 + partCount * PART_ROW_BYTES;
  if (keyBytes > MOST_KEY_BYTES || BigInt(fixed + DIGEST_BYTES) + dataBytes !== BigInt(size)) {
    return { problem: DAMAGED };
  }
  const savedKey = await readHashed(file, keyBytes, hash);
  if (savedKey.toString('utf8') !== key) {
    return { problem: 'it belongs to another model, library or context' };
  }
  const tokenBytes = await readHashed(file, tokenCount * 4, hash);
  const table = await readHashed(file, partCount * PART_ROW_BYTES, hash);
  const rows = Array.from({ length: partCount }, (_, index) => ({
    end: table.readUInt32LE(index * PART_ROW_BYTES),
    bytes: table.readBigUInt64LE(index * PART_ROW_BYTES + 4),
  }));
  if (rows.reduce((sum, { bytes }) => sum + bytes, 0n) !== dataBytes) return { problem: DAMAGED };
  // None is more than the file's size, so a number without loss; but perhaps more than Node can hold.
  if (rows.some(({ bytes }) => bytes > BigInt(constants.MAX_LENGTH))) {
    return { problem: 'the state is too large' };
  }
  const parts: Uint8Array[] = [];
  for (const { bytes } of rows) parts.push(await readHashed(file, Number(bytes), hash, onPiece));
  const digest = Buffer.alloc(DIGEST_BYTES);
  await readAll(file, digest);
  if (!digest.equals(hash.digest())) return { problem: 'the file is damaged: wrong checksum' };
  // A copy of its own: a typed array wants an aligned offset.
  const tokens = new Int32Array(Uint8Array.from(tokenBytes).buffer);
  return { state: { tokens, ends: Int32Array.from(rows, ({ end }) => end), parts } };
}

async function readHashed(
  file: FileHandle,
  length: number,
  hash: Hash,
  onPiece: () => void = () => {},
): Promise<Buffer> {
  const bytes = Buffer.from(new ArrayBuffer(length));
  for (let at = 0; at < length; at += CHUNK_BYTES) {
    const chunk = bytes.subarray(at, at + CHUNK_BYTES);
    await readAll(file, chunk);
    hash.update(chunk);
    onPiece();
  }
  return bytes;
}

async function readAll(file: FileHandle, into: Buffer): Promise<void> {
  for (let at = 0; at < into.length; ) {
    const { bytesRead } = await file.read(into, at, into.length - at);
    if (bytesRead === 0) throw new Error('the file ended while it was read');
    at += bytesRead;
  }
}
