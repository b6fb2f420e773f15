/**
 * The model files that an engine may open: those that were looked at, as they were then. Engine process,
 * JavaScript thread. It must never read a file; what is in one is for whoever looked at it.
 */
import { stat } from 'node:fs/promises';
import { HoshikageError } from '../errors.js';

/** A file as it was when its header was found sound. Numbers as texts, times in nanoseconds. */
export interface SealedFile {
  readonly path: string;
  readonly dev: string;
  readonly ino: string;
  readonly size: string;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
}

const FACTS = ['dev', 'ino', 'size', 'mtimeNs', 'ctimeNs'] as const;

/**
 * Refuses files that are not what was looked at, immediately before something native opens them: a
 * header that was sound says nothing about another file. Code: model_file_changed.
 */
export async function checkSealed(files: readonly SealedFile[]): Promise<void> {
  for (const file of files) {
    const { path } = file;
    const found = await stat(path, { bigint: true }).catch(() => null);
    if (!found?.isFile() || FACTS.some((name) => String(found[name]) !== file[name])) {
      throw new HoshikageError('model_file_changed', { path });
    }
  }
}
