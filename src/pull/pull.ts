/**
 * Brings the files of one model to their places: looks at them, makes sure of the room, downloads,
 * checks hash and header, and only then gives each its name. Any process, one at a time for a model (a
 * lock beside its first file). What it cannot finish stays as a part that the next one goes on with;
 * what turned out wrong leaves nothing.
 */
import { lstat, mkdir, rm, rmdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { HoshikageError } from '../errors.js';
import { spaceAt } from '../folders/space.js';
import { sha256Of } from '../models/digest.js';
import { readGguf } from '../models/gguf.js';
import { type TryLock, withFileLock } from '../models/lock.js';
import { sizeText } from '../models/size-text.js';
import { Changed, type Client, invalid, type Look, wrongSize } from './client.js';
import { forgetOrigin, isFrom, noteOrigin } from './origin.js';
import { bytesThere, type Identity, PartFile, partPaths, tidyBeside } from './part-file.js';
import type { Named } from './refusals.js';
import { type TransferLimits, transfer } from './transfer.js';

/** A file that is to be here. */
export interface WantedFile {
  readonly url: URL;
  readonly named: Named;
  /** Where it goes; its name has been checked. */
  readonly target: string;
  /** As far as it is known without asking the file's own server. */
  readonly size: number | null;
  readonly sha256: string | null;
}

/** Something worth telling while a file is brought. `bytes`: what was there before. */
export interface PullNote {
  readonly kind: 'resumed' | 'changed' | 'no_ranges' | 'no_hash';
  readonly name: string;
  readonly bytes: number;
}

/** Who watches. */
export interface PullWatch {
  /** `size` is null where it is not known. */
  readonly progress: (name: string, received: number, size: number | null) => void;
  /** How much of a file's hash is computed, 0 to 1. */
  readonly checking: (name: string, done: number) => void;
  readonly note: (note: PullNote) => void;
}

/** What it takes. */
export interface PullInput {
  /** All files of one model, in their order. */
  readonly files: readonly WantedFile[];
  readonly client: Client;
  /** Another file at the place may be replaced. */
  readonly force: boolean;
  readonly watch: PullWatch;
  readonly signal: AbortSignal;
  /** Used where fs-ext is not installed. */
  readonly tryLock?: TryLock;
  readonly limits?: TransferLimits;
  /** Another way to learn the free bytes at a path. */
  readonly freeBytes?: (path: string) => Promise<number>;
}

/** What came of it. */
export interface Pulled {
  /** Of the first file. */
  readonly path: string;
  /** Of all files. */
  readonly bytes: number;
  /** Nothing had to be downloaded. */
  readonly already: boolean;
}

/** A file on the server that has been looked at. */
interface Found {
  readonly file: WantedFile;
  /** Which of the model's files it is, from 0. */
  readonly index: number;
  readonly look: Look;
  readonly identity: Identity;
}

/** How often a file that changes on the server while it is brought is begun anew. */
const CHANGES = 3;
/** Long enough for whoever is just leaving. */
const LOCK_MS = 250;
/** What a file of unknown length must leave free. */
const SPARE_BYTES = 256 * 2 ** 20;

/**
 * Has all files in place, checked. Codes: pull_busy, pull_exists, pull_invalid, pull_not_found,
 * pull_refused, pull_unreachable, pull_unsafe, pull_unwritable, disk_full, cancelled.
 */
export async function pullFiles(input: PullInput): Promise<Pulled> {
  const [first] = input.files;
  if (!first) throw new RangeError('a model has at least one file');
  const made: string[] = [];
  try {
    for (const directory of new Set(input.files.map(({ target }) => dirname(target)))) {
      const top = await mkdir(directory, { recursive: true });
      if (top !== undefined) made.push(...foldersBetween(directory, top));
    }
    return await alone(input.files, input.tryLock, () => pullAll(input));
  } catch (error) {
    // Only those that are empty go.
    for (const folder of made) await rmdir(folder).catch(() => {});
    throw asOurs(error, first.target, input.signal);
  }
}

/** From the innermost to the outermost. */
function foldersBetween(inner: string, outer: string): readonly string[] {
  return inner === outer || dirname(inner) === inner
    ? [inner]
    : [inner, ...foldersBetween(dirname(inner), outer)];
}

/** Under the lock of a model, beside its first file; what is not needed any more goes in the end. */
async function alone<T>(
  files: readonly WantedFile[],
  tryLock: TryLock | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const target = files[0]?.target ?? '';
  const { part: lockName } = partPaths(target);
  const locked = async (): Promise<T> => {
    try {
      return await work();
    } finally {
      await tidy(files, `${lockName}.lock`).catch(() => {});
    }
  };
  try {
    const options = { timeoutMs: LOCK_MS, ...(tryLock && { tryLock }) };
    return await withFileLock(lockName, locked, options);
  } catch (error) {
    const isHeld = error instanceof HoshikageError && error.code === 'map_locked';
    throw isHeld ? new HoshikageError('pull_busy', { path: target }, { cause: error }) : error;
  }
}

async function tidy(files: readonly WantedFile[], lock: string): Promise<void> {
  let isNeeded = false;
  for (const { target } of files) {
    if (await exists(partPaths(target).part)) isNeeded = true;
    else await tidyBeside(target);
  }
  // Whoever opened it before sees that it is gone, and takes a new one.
  if (!isNeeded) await rm(lock, { force: true });
}

async function pullAll(input: PullInput): Promise<Pulled> {
  const { files } = input;
  const missing: Found[] = [];
  for (const [index, file] of files.entries()) {
    const found = await findMissing(file, input);
    if (found) missing.push({ ...found, file, index });
  }
  await assertRoom(missing, input);
  for (const found of missing) await bring(found, input);
  let bytes = 0;
  for (const { target } of files) bytes += (await stat(target)).size;
  return { path: files[0]?.target ?? '', bytes, already: missing.length === 0 };
}

/** What has to be downloaded for a file; null where it is here. */
async function findMissing(
  file: WantedFile,
  input: PullInput,
): Promise<Pick<Found, 'look' | 'identity'> | null> {
  const { client, signal, force } = input;
  const { target, named, url } = file;
  const there = await stat(target).catch(() => null);
  if (there && file.sha256 !== null && (await hasHash(file, file.sha256, there.size, input))) {
    return null;
  }
  const look = await client.look(url, named, signal);
  const identity = identityOf(file, look);
  if (!there) return { look, identity };
  const { size, sha256 } = identity;
  if (sha256 !== null && file.sha256 === null && (await hasHash(file, sha256, there.size, input))) {
    return null;
  }
  if (force) return { look, identity };
  // Nobody says what it should be made of: it is the same where it came from there, and is what it was.
  const isSame = sha256 === null && size === there.size && (await isFrom(target, url, identity));
  if (isSame && (await isSound(target))) return null;
  throw new HoshikageError('pull_exists', { path: target });
}

async function hasHash(
  { target, named, size }: WantedFile,
  sha256: string,
  bytes: number,
  { watch, signal }: PullInput,
): Promise<boolean> {
  if (size !== null && size !== bytes) return false;
  const told = (read: number): void => watch.checking(named.name, read / Math.max(1, bytes));
  return (await sha256Of(target, signal, told)) === sha256;
}

async function isSound(path: string): Promise<boolean> {
  return readGguf(path).then(
    () => true,
    () => false,
  );
}

/** What the listing and the file's own server say, which must be the same. Code: pull_invalid. */
function identityOf({ named, size, sha256 }: WantedFile, look: Look): Identity {
  if (size !== null && look.size !== null && size !== look.size) {
    throw wrongSize(named.name, look.size, size);
  }
  if (sha256 !== null && look.sha256 !== null && sha256 !== look.sha256) {
    throw invalid(
      named.name,
      `the server offers another file (SHA-256 ${look.sha256} instead of ${sha256})`,
      `サーバーが別のファイルを示しています(SHA-256 が ${sha256} ではなく ${look.sha256})`,
    );
  }
  return {
    size: size ?? look.size,
    sha256: sha256 ?? look.sha256,
    etag: look.etag,
    modified: look.modified,
  };
}

async function assertRoom(
  missing: readonly Found[],
  { freeBytes = freeAt }: PullInput,
): Promise<void> {
  const [first] = missing;
  if (!first) return;
  let needed = 0;
  for (const { file, identity } of missing) {
    needed += (identity.size ?? 0) - (await bytesThere(file.target, identity));
  }
  const path = dirname(first.file.target);
  const free = await freeBytes(path);
  if (free >= needed) return;
  const details = { path, needed: sizeText(needed), free: sizeText(free) };
  throw new HoshikageError('disk_full', details);
}

/** How long a file may become: as long as it is, or as the disk allows where nobody knows. */
async function mostBytesOf(
  { target }: WantedFile,
  { size }: Identity,
  { freeBytes = freeAt }: PullInput,
): Promise<number> {
  return size ?? Math.max(0, (await freeBytes(dirname(target))) - SPARE_BYTES);
}

async function freeAt(path: string): Promise<number> {
  return (await spaceAt(path)).diskFree;
}

/** Downloads one file, checks it and gives it its name. */
async function bring(found: Found, input: PullInput): Promise<void> {
  let { look, identity } = found;
  const { file } = found;
  for (let change = 1; ; change += 1) {
    const part = await PartFile.open(file.target, identity);
    try {
      await tellStart(part, look, file, input);
      const { client, watch, signal, limits } = input;
      const { url, named } = file;
      const onProgress = (received: number, size: number | null): void =>
        watch.progress(named.name, received, size);
      const { hasRanges } = look;
      const mostBytes = await mostBytesOf(file, identity, input);
      await transfer({
        ...{ client, url, named, part, hasRanges, mostBytes, onProgress, signal },
        ...(limits && { limits }),
      });
      await assertRight(part, found, input);
      await forgetOrigin(file.target);
      await part.place();
      if (identity.sha256 === null) await noteOrigin(file.target, url, identity);
      return;
    } catch (error) {
      // Nobody can go on with it.
      if (identity.size === null) await part.discard();
      if (!(error instanceof Changed)) throw error;
      if (change === CHANGES) throw keepsChanging(file);
      input.watch.note({ kind: 'changed', name: file.named.name, bytes: part.doneBytes });
      await part.discard();
    } finally {
      await part.close();
    }
    look = await input.client.look(file.url, file.named, input.signal);
    identity = identityOf(file, look);
  }
}

function keepsChanging({ url }: WantedFile): HoshikageError {
  return new HoshikageError('pull_unreachable', {
    url: url.origin + url.pathname,
    reason: 'the file on the server keeps changing',
    reason_ja: 'サーバーのファイルが変わり続けています',
    kept: '',
  });
}

async function tellStart(
  part: PartFile,
  look: Look,
  { named: { name } }: WantedFile,
  { watch }: PullInput,
): Promise<void> {
  const { doneBytes: bytes } = part;
  if (part.found === 'other') watch.note({ kind: 'changed', name, bytes: 0 });
  if (!look.hasRanges) {
    watch.note({ kind: 'no_ranges', name, bytes });
    if (bytes > 0) await part.restart();
  } else if (bytes > 0) watch.note({ kind: 'resumed', name, bytes });
}

/** The whole file as it was announced, or nothing of it is left. Code: pull_invalid. */
async function assertRight(
  part: PartFile,
  { file, index }: Found,
  { watch, signal, files }: PullInput,
): Promise<void> {
  const { name } = file.named;
  const { part: path } = partPaths(file.target);
  const { sha256, size } = part.identity;
  if (sha256 === null) watch.note({ kind: 'no_hash', name, bytes: 0 });
  const told = (read: number): void => watch.checking(name, read / Math.max(1, size ?? read));
  const came = sha256 === null ? null : await sha256Of(path, signal, told);
  const problem =
    came === sha256
      ? await contentProblem(path, index, files.length)
      : {
          en: `its SHA-256 is ${came} instead of ${sha256}`,
          ja: `SHA-256 が ${sha256} ではなく ${came} です`,
        };
  if (problem === null) return;
  await part.discard();
  throw invalid(
    name,
    `${problem.en}; what came was deleted`,
    `${problem.ja}。届いたものは消しました`,
  );
}

/** Why a file is not the part of a model that it was offered as; null where it is. */
async function contentProblem(
  path: string,
  index: number,
  count: number,
): Promise<{ readonly en: string; readonly ja: string } | null> {
  const facts = await readGguf(path).catch((error: unknown) => reasonIn(error));
  if ('ja' in facts) {
    return {
      en: `it is no sound GGUF file (${facts.en})`,
      ja: `GGUF ファイルとして筋が通っていません(${facts.ja})`,
    };
  }
  const said = facts.split ?? { index: 0, count: 1 };
  if (said.index === index && said.count === count) return null;
  const [is, wanted] = [`${said.index + 1}/${said.count}`, `${index + 1}/${count}`];
  return {
    en: `it says that it is part ${is} of a model, but it was offered as part ${wanted}`,
    ja: `${wanted} 番目の部分のはずですが、中には ${is} 番目と書いてあります`,
  };
}

function reasonIn(error: unknown): { readonly en: string; readonly ja: string } {
  if (!(error instanceof HoshikageError)) return { en: String(error), ja: String(error) };
  const { reason = error.message, reason_ja = reason } = error.details;
  return { en: String(reason), ja: String(reason_ja) };
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** What the disk says, as something of the catalogue. */
function asOurs(error: unknown, path: string, signal: AbortSignal): unknown {
  if (error instanceof HoshikageError) return error;
  if (signal.aborted) return new HoshikageError('cancelled', {}, { cause: error });
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason = error instanceof Error ? error.message : String(error);
  if (/^(ENOSPC|EDQUOT)$/.test(code)) {
    const details = { path: dirname(path), needed: '?', free: '0 MiB' };
    return new HoshikageError('disk_full', details, { cause: error });
  }
  return new HoshikageError('pull_unwritable', { path, reason }, { cause: error });
}
