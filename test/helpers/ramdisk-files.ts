/**
 * What the tests of the RAM disk share: sound model files of a given size, settings, and a look at what
 * lies in a place. It makes no RAM disk by itself.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CopyEvent, RamDiskSettings } from '../../src/staging/ramdisk-types.js';
import { ggufBytes, smallGguf, splitValues, withValues } from './gguf-bytes.js';

export const MIB = 1024 * 1024;

/** Writes a sound GGUF file of about that size, whose weights depend on `seed`. */
export function writeModel(
  path: string,
  bytes: number,
  seed = 1,
  split?: readonly number[],
): string {
  const [no = 0, count = 1] = split ?? [];
  const { file } = ggufBytes(withValues(smallGguf(), split ? splitValues(no, count) : {}));
  const weights = Buffer.alloc(Math.max(0, bytes - file.length), `weights of seed ${seed} `);
  writeFileSync(path, Buffer.concat([file, weights]));
  return path;
}

/** Copies always, for ever and of any size, but for what a test says. */
export function ramdiskSettings(
  base: string,
  more: Partial<RamDiskSettings> = {},
): RamDiskSettings {
  return {
    ramdiskPath: base,
    ramdiskMode: 'always',
    ramdiskMinMbps: 1000,
    ramdiskMaxBytes: null,
    ramdiskKeep: false,
    greatTimeoutMs: 0,
    ...more,
  };
}

/** A listener that keeps what it was told. */
export function eventKeeper(): { readonly told: CopyEvent[]; emit(event: CopyEvent): void } {
  const told: CopyEvent[] = [];
  return { told, emit: (event) => void told.push(event) };
}

/** A digest of a file's bytes. */
export function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

/** Every GGUF file below a place, half-made ones included, by its path within it. */
export function modelsBelow(base: string): readonly string[] {
  if (!existsSync(base)) return [];
  return readdirSync(base, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.gguf'))
    .sort();
}

/** Every directory of copies, finished or not, below a place. */
export function copiesBelow(base: string): readonly string[] {
  return readdirSync(base, { recursive: true, encoding: 'utf8' })
    .filter((name) => /ramdisk-[0-9a-f]{16}[\\/](\.part-)?[0-9a-f]{16}$/.test(name))
    .map((name) => join(base, name));
}
