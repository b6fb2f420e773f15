/**
 * `system_fingerprint`: a short text that changes exactly when the model's file, the library or the
 * engine's settings do. Runs in the server. A file counts as changed when its path, size or time of
 * change is another one; hashing gigabytes per load would cost more than it tells.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import type { Engine, EngineOptions } from '../engine/engine.js';

// What an engine runs with is settled when it starts, so one look per engine is enough.
const known = new WeakMap<Engine, Promise<string>>();

/** The fingerprint of an engine that was started with these options. */
export function fingerprintOf(engine: Engine, options: EngineOptions): Promise<string> {
  const before = known.get(engine);
  if (before) return before;
  const made = make(engine, options);
  known.set(engine, made);
  return made;
}

async function make(engine: Engine, options: EngineOptions): Promise<string> {
  const { path, version, ggmlVersion, ggmlCommit, layout } = engine.info.library;
  const [model, library] = await Promise.all([fileOf(options.modelPath), fileOf(path)]);
  const facts = [options, model, path, library, version, ggmlVersion, ggmlCommit, layout];
  const hash = createHash('sha256').update(JSON.stringify(facts)).digest('hex');
  return `fp_${hash.slice(0, 16)}`;
}

async function fileOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found ? `${found.size}:${found.mtimeNs}` : 'gone';
}
