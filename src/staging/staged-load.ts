/**
 * A model's load by way of the RAM disk: from its copy where there is a sound one, else from its own
 * file, watched for how fast that is. Server's main thread. A copy must never cost a request anything:
 * where it cannot be loaded, the file is.
 */
import type { EngineOptions, ResidentEngine } from '../engine/engine.js';
import { HoshikageError } from '../errors.js';
import { factsOf } from './copy.js';
import type { RamDisk } from './ramdisk.js';
import { partsOf } from './ramdisk-store.js';
import { ReadMeter } from './read-meter.js';

/** What a load needs of the RAM disk. */
export type Stage = Pick<RamDisk, 'pathFor' | 'begin' | 'loaded' | 'done' | 'drop' | 'measures'>;

/** Starts an engine. `onSpawn` is told the number of its process as soon as there is one. */
export type Start = (
  options: EngineOptions,
  onSpawn: (pid: number) => void,
) => Promise<ResidentEngine>;

/**
 * Loads a model the fastest way there is: from `options.modelPath` where that is a copy of
 * `options.sourcePath`, else from what the RAM disk gives for it. Codes: those of `start`.
 */
export async function loadStaged(
  stage: Stage,
  options: EngineOptions,
  start: Start,
  signal: AbortSignal,
): Promise<ResidentEngine> {
  const source = options.sourcePath ?? options.modelPath;
  const own = { ...options, modelPath: source };
  stage.begin(source);
  try {
    const path = options.sourcePath ? options.modelPath : await stage.pathFor(source);
    const engine =
      path === source
        ? await loadWatched(stage, own, start)
        : await loadCopy(stage, own, path, start, signal);
    void engine.exited.then(() => stage.done(source));
    return engine;
  } catch (error) {
    stage.done(source);
    throw error;
  }
}

async function loadCopy(
  stage: Stage,
  options: EngineOptions,
  path: string,
  start: Start,
  signal: AbortSignal,
): Promise<ResidentEngine> {
  const source = options.modelPath;
  try {
    return await start({ ...options, modelPath: path, sourcePath: source }, () => {});
  } catch (error) {
    if (signal.aborted || !isTheFiles(error)) throw error;
    await stage.drop(source, error instanceof Error ? error.message : String(error));
    return loadWatched(stage, options, start);
  }
}

/** Another file may help against these; the library's own troubles would only be met twice. */
function isTheFiles(error: unknown): boolean {
  if (!(error instanceof HoshikageError)) return false;
  return /^(model_load_failed$|model_file_|engine_)/.test(error.code);
}

async function loadWatched(
  stage: Stage,
  options: EngineOptions,
  start: Start,
): Promise<ResidentEngine> {
  const watched: { meter: ReadMeter | null } = { meter: null };
  const startedAt = performance.now();
  try {
    const engine = await start(options, (pid) => {
      if (stage.measures) watched.meter = new ReadMeter(pid);
    });
    const ms = performance.now() - startedAt;
    void reportLoad(stage, options.modelPath, watched.meter, ms);
    return engine;
  } catch (error) {
    void endOf(watched.meter);
    throw error;
  }
}

/** Beside the first request, which does not wait for it. Never rejects. */
async function reportLoad(
  stage: Stage,
  source: string,
  meter: ReadMeter | null,
  loadMs: number,
): Promise<void> {
  const reading = await endOf(meter);
  const bytes = await sizeOf(source).catch(() => 0);
  stage.loaded(source, {
    bytes,
    ms: reading?.ms ?? loadMs,
    readBytes: reading?.bytes ?? null,
  });
}

function endOf(meter: ReadMeter | null): ReturnType<ReadMeter['end']> {
  return meter?.end() ?? Promise.resolve(null);
}

async function sizeOf(source: string): Promise<number> {
  const parts = await Promise.all((await partsOf(source)).map(factsOf));
  return parts.reduce((sum, { size }) => sum + size, 0);
}
