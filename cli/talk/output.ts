/**
 * A stream that an answer is written to, as fast as its reader takes it. Runs in the CLI process. On a
 * terminal no answer steers anything; elsewhere its bytes are what the model said. A reader that has gone is
 * no error: it only ends the work.
 */
import { plainLines } from '../print.js';

/** What is written to: process.stdout, or something like it. */
export type OutputStream = NodeJS.WritableStream & { readonly isTTY?: boolean };

export class Output {
  /** Aborted when nobody reads any more. */
  readonly gone: AbortSignal;
  readonly #stream: OutputStream;
  readonly #leaving = new AbortController();
  readonly #onGone = (): void => this.#leaving.abort();
  #atLineStart = true;

  constructor(stream: OutputStream) {
    this.#stream = stream;
    this.gone = this.#leaving.signal;
    stream.on('error', this.#onGone);
    stream.on('close', this.#onGone);
  }

  /** Words of a model; `paint` colours them where that is wanted. Resolves when there is room for more. */
  async write(text: string, paint: (text: string) => string = (same) => same): Promise<void> {
    if (text === '' || this.gone.aborted) return;
    this.#atLineStart = text.endsWith('\n');
    const shown = this.#stream.isTTY ? paint(plainLines(text)) : text;
    if (this.#stream.write(shown)) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        this.#stream.off('drain', go);
        this.gone.removeEventListener('abort', go);
        resolve();
      };
      this.#stream.once('drain', go);
      this.gone.addEventListener('abort', go, { once: true });
    });
  }

  /** Ends the line that was begun. */
  endLine(): Promise<void> {
    return this.#atLineStart ? Promise.resolve() : this.write('\n');
  }

  /** Listens to the stream no more. */
  close(): void {
    this.#stream.off('close', this.#onGone);
    // Not its errors: one that is late would end the process.
  }
}
