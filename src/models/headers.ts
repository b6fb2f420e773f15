/**
 * Headers of model files that were read lately, so that one load does not read the same header again
 * and again: of a large vocabulary that takes tens of milliseconds. Any process; holds facts only. It
 * must never give the facts of a file that has changed since.
 */
import { stat } from 'node:fs/promises';
import { type GgufFacts, readSoundFile, type SoundFile, stateOf } from './gguf.js';
import { readModelFiles } from './model-files.js';

/** How many are remembered; a switch back and forth asks for two models, which may be split. */
const REMEMBERED = 64;

/** Reads headers, each once per state of its file. */
export class Headers {
  readonly #known = new Map<string, Promise<SoundFile>>();

  /**
   * What the model's first file says of itself now; its other files are sound too.
   * Codes: model_file_missing, model_file_unreadable, model_file_invalid.
   */
  async read(path: string): Promise<GgufFacts> {
    const [{ facts }] = await this.files(path);
    return facts;
  }

  /** All files of a model as they are now, in order. Codes: those of read. */
  files(path: string): Promise<readonly [SoundFile, ...SoundFile[]]> {
    return readModelFiles(path, (one) => this.#file(one));
  }

  async #file(path: string): Promise<SoundFile> {
    const found = await stat(path, { bigint: true }).catch(() => null);
    if (!found) return readSoundFile(path);
    const key = JSON.stringify(stateOf(path, found));
    const file = this.#known.get(key) ?? readSoundFile(path);
    // The newest is the last.
    this.#known.delete(key);
    this.#known.set(key, file);
    file.catch(() => this.#known.delete(key));
    const [oldest] = this.#known.keys();
    if (this.#known.size > REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
    return file;
  }
}
