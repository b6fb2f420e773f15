/**
 * Headers of model files that were read lately, so that one load does not read the same header again
 * and again: of a large vocabulary that takes tens of milliseconds. Any process; holds facts only. It
 * must never give the facts of a file that has changed since.
 */
import { stat } from 'node:fs/promises';
import { type GgufFacts, readGguf } from './gguf.js';

/** How many are remembered; a switch back and forth asks for two. */
const REMEMBERED = 8;

/** Reads headers, each once per state of its file. */
export class Headers {
  readonly #known = new Map<string, Promise<GgufFacts>>();

  /** What the file says of itself now. Codes: model_file_missing, model_file_invalid. */
  async read(path: string): Promise<GgufFacts> {
    const found = await stat(path, { bigint: true }).catch(() => null);
    if (!found) return readGguf(path);
    const { dev, ino, size, mtimeNs, ctimeNs } = found;
    const key = [path, dev, ino, size, mtimeNs, ctimeNs].join(':');
    const facts = this.#known.get(key) ?? readGguf(path);
    // The newest is the last.
    this.#known.delete(key);
    this.#known.set(key, facts);
    facts.catch(() => this.#known.delete(key));
    const [oldest] = this.#known.keys();
    if (this.#known.size > REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
    return facts;
  }
}
