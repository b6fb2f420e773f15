/** Stores as Ollama, LM Studio, llama.cpp and Hugging Face's tools leave them, below a home of the test's own. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import type { TestContext } from 'node:test';
import { type GgufFile, ggufBytes, smallGguf } from './gguf-bytes.js';

/** A home that is thrown away. */
export function foreignHome(context: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'hoshikage-foreign-'));
  context.after(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

/** Writes a file and its folders; gives its path. */
export function put(path: string, content: string | Uint8Array): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

/** The bytes of a small sound model that differs from others by `name`. */
export function model(name: string, more: readonly GgufFile['values'][number][] = []): Buffer {
  const { values, ...rest } = smallGguf();
  const others = values.filter(
    ([key]) => key !== 'general.name' && !more.some(([one]) => one === key),
  );
  const named = ['general.name', { type: 'string', value: name }] as const;
  return ggufBytes({ ...rest, values: [...others, named, ...more] }).file;
}

/** Bytes of a model whose file has no chat template. */
export function withoutTemplate(name: string): Buffer {
  const { values, ...rest } = smallGguf();
  const others = values.filter(([key]) => !/chat_template|general\.name/.test(key));
  return ggufBytes({
    ...rest,
    values: [...others, ['general.name', { type: 'string', value: name }]],
  }).file;
}

const OLLAMA_LAYER = 'application/vnd.ollama.image.';

/** Puts a blob into a store of Ollama's; gives its layer. */
export function blob(store: string, kind: string, content: string | Uint8Array): object {
  const hash = createHash('sha256').update(content).digest('hex');
  put(join(store, 'blobs', `sha256-${hash}`), content);
  const size = Buffer.byteLength(content);
  return { mediaType: OLLAMA_LAYER + kind, digest: `sha256:${hash}`, size };
}

/** Puts a manifest beside it: `registry.ollama.ai/library/qwen/latest` and the like. */
export function manifest(store: string, place: string, layers: readonly object[]): string {
  const content = { schemaVersion: 2, config: { digest: 'sha256:0', size: 1 }, layers };
  return put(join(store, 'manifests', place), JSON.stringify(content));
}

/** Puts a file into a cache of Hugging Face's as a snapshot's link to a blob; gives the link's path. */
export function snapshot(
  hub: string,
  { repository, revision, file }: { repository: string; revision: string; file: string },
  content: Uint8Array,
): string {
  const folder = join(hub, `models--${repository.replace('/', '--')}`);
  const hash = createHash('sha256').update(content).digest('hex');
  const target = put(join(folder, 'blobs', hash), content);
  const link = join(folder, 'snapshots', revision, file);
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(relative(dirname(link), target), link);
  return link;
}
