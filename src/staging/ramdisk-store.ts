/**
 * The copies that lie on the RAM disk: made, proved, removed, left for the next server. Server's main
 * thread. It owns one private folder and touches nothing outside it; when a copy is made and when it
 * goes is not for it to decide.
 */
import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FolderPlace, PrivateFolder } from '../folders/private-folder.js';
import { readGguf } from '../models/gguf.js';
import { splitParts } from '../models/model-files.js';
import { type CopyInput, copyFiles } from './copy.js';
import { fromNotes, pathOfCopy, problemOf, type RamDiskCopy, toNotes } from './ramdisk-copy.js';

/** Where the copy of a source is, or why it must not be used. */
export type Verified = { readonly path: string } | { readonly problem: string };

/** The copies of one server. */
export class CopyStore {
  readonly #place: FolderPlace;
  readonly #copies = new Map<string, RamDiskCopy>();
  #folder: PrivateFolder | null = null;

  constructor(place: FolderPlace) {
    this.#place = place;
  }

  /** All there are now. */
  get all(): readonly RamDiskCopy[] {
    return [...this.#copies.values()];
  }

  /** Sweeps what dead servers left, or takes it over. Throws FolderRefused, or what the file system says. */
  async open({ adopt }: { adopt: boolean }): Promise<void> {
    this.#folder = await PrivateFolder.sweep(this.#place, { adopt });
    if (this.#folder) await this.#takeStock(this.#folder);
  }

  /** The copy of that source. */
  get(source: string): RamDiskCopy | undefined {
    return this.#copies.get(source);
  }

  /** Holds a copy and its source against what they were. Never rejects. */
  async verify(copy: RamDiskCopy): Promise<Verified> {
    const folder = this.#folder;
    if (!folder) return { problem: 'it is gone' };
    const sources = await partsOf(copy.source).catch(() => []);
    const problem = await problemOf(folder.path, sources, copy);
    return problem === null ? { path: pathOfCopy(folder.path, copy) } : { problem };
  }

  /** Makes a copy; when this rejects, nothing of it is left. Throws FolderRefused and SourceChanged too. */
  async make(source: string, input: Omit<CopyInput, 'into'>): Promise<RamDiskCopy> {
    const folder = await this.#ownFolder();
    const directory = randomBytes(8).toString('hex');
    const making = join(folder.path, `.part-${directory}`);
    await mkdir(making, { mode: 0o700 });
    try {
      const files = await copyFiles({ ...input, into: making });
      await rename(making, join(folder.path, directory));
      const bytes = files.reduce((sum, file) => sum + file.copy.size, 0);
      const copy = { source, directory, files, bytes };
      this.#copies.set(source, copy);
      await this.#note();
      return copy;
    } catch (error) {
      await rm(making, { recursive: true, force: true }).catch(() => {});
      throw error;
    }
  }

  /** From the call on nobody gets its path; a model that has it open keeps it. Throws what the file system says. */
  async remove(copy: RamDiskCopy): Promise<void> {
    if (this.#copies.get(copy.source) === copy) this.#copies.delete(copy.source);
    if (!this.#folder) return;
    await rm(join(this.#folder.path, copy.directory), { recursive: true, force: true });
    await this.#note();
  }

  /** Removes everything, or leaves the copies to the next server. Never rejects. */
  async close({ keep }: { keep: boolean }): Promise<void> {
    await this.#folder?.close({ keep: keep && this.#copies.size > 0 });
    this.#copies.clear();
    this.#folder = null;
  }

  /** Of an adopted folder, keeps what is whole and still the copy of its source. */
  async #takeStock(folder: PrivateFolder): Promise<void> {
    for (const copy of fromNotes(folder.inherited)) {
      if ('path' in (await this.verify(copy))) this.#copies.set(copy.source, copy);
    }
    const known = new Set(this.all.map(({ directory }) => directory));
    for (const entry of await readdir(folder.path, { withFileTypes: true })) {
      if (!entry.isDirectory() || known.has(entry.name)) continue;
      await rm(join(folder.path, entry.name), { recursive: true, force: true });
    }
  }

  /** The folder; another one where somebody has removed it. */
  async #ownFolder(): Promise<PrivateFolder> {
    if (this.#folder && (await lstat(this.#folder.path).catch(() => null))) return this.#folder;
    await this.close({ keep: false });
    this.#folder = await PrivateFolder.open(this.#place);
    return this.#folder;
  }

  /** Only a server that adopts the folder needs it: on a full disk that is nobody. */
  async #note(): Promise<void> {
    await this.#folder?.note(toNotes(this.all)).catch(() => {});
  }
}

/** All files of a model, as libllama finds them. Codes: model_file_missing, model_file_invalid. */
export async function partsOf(source: string): Promise<readonly string[]> {
  return splitParts(source, await readGguf(source));
}
