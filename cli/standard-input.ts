/**
 * What comes by standard input: a text, read to its end. Runs in the CLI process. It must never be awaited
 * without a limit, nor without a word to somebody who may not know that it is.
 */
import { fstatSync } from 'node:fs';
import { HoshikageError } from '../src/errors.js';
import { usageError } from './fail.js';

/** Silence after which `onSilence` is called, ms. */
const SILENCE_MS = 2000;

/** How it is read. */
export interface ReadOptions {
  /** Bytes. */
  readonly limit: number;
  readonly signal: AbortSignal;
  /** Called once where nothing has come for a while. */
  readonly onSilence?: () => void;
}

/** Whether something may come by standard input: a pipe or a file; nothing is awaited from a terminal. */
export function isGiven(): boolean {
  try {
    const facts = fstatSync(0);
    return facts.isFIFO() || facts.isFile() || facts.isSocket();
  } catch {
    return false;
  }
}

/** All of it. Codes: usage (it is no UTF-8), body_too_large, cancelled. */
export async function readAll({ limit, signal, onSilence }: ReadOptions): Promise<string> {
  const input = process.stdin;
  const stop = (): void => void input.destroy();
  signal.addEventListener('abort', stop, { once: true });
  const silence = onSilence && setTimeout(onSilence, SILENCE_MS).unref();
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      clearTimeout(silence);
      length += chunk.length;
      if (length > limit) throw new HoshikageError('body_too_large', { limit });
      chunks.push(chunk);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch (cause) {
    if (signal.aborted) throw new HoshikageError('cancelled', {}, { cause });
    if (cause instanceof HoshikageError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw usageError({
      ja: `標準入力を UTF-8 の文章として読めません: ${reason}`,
      en: `Standard input cannot be read as UTF-8 text: ${reason}`,
    });
  } finally {
    clearTimeout(silence);
    signal.removeEventListener('abort', stop);
  }
}
