/**
 * The proof of a libllama: it is driven as the server would drive it, on models made on the spot, and
 * what it says and computes is held against what is known to be right.
 * Main thread of the process that wants to know (a command, never the server). It owns the temporary
 * models and every process it starts; it must never open the library itself, nor leave a child behind.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Engine, EngineOptions, LibraryIdentity } from '../engine/engine.js';
import { type EngineProcessInput, startEngineProcess } from '../engine/process.js';
import { fromWire, type LibraryFiles } from '../engine/protocol.js';
import { HoshikageError } from '../errors.js';
import { type Identification, type IdentifyInput, identifyLibrary } from '../library/identify.js';
import { makeStaging } from '../library/staging.js';
import type { Log } from '../log.js';
import { NumberChecks } from './canary-numbers.js';
import { reasonOf, type Seen, TailLog } from './canary-report.js';
import {
  checkCancel,
  checkGrammar,
  checkState,
  checkText,
  writeCanaryScript,
} from './canary-text.js';

/** The parts of the proof, in no particular order. */
export type CanaryCheckName =
  | 'identify'
  | 'load'
  | 'text'
  | 'logits'
  | 'embeddings'
  | 'state'
  | 'grammar'
  | 'cancel';

/**
 * How one part ended. `detail` is English evidence: what was measured, or what is wrong; `detail_ja` is
 * what was measured in Japanese, only where it passed.
 */
export interface CanaryCheck {
  readonly name: CanaryCheckName;
  readonly ok: boolean;
  readonly detail: string;
  readonly detail_ja?: string;
  readonly ms: number;
}

/** All parts up to the first that failed. */
export interface CanaryReport {
  readonly passed: boolean;
  /** The library's layouts are unknown, and it was driven in the minimal mode. */
  readonly minimal: boolean;
  readonly identity: LibraryIdentity | null;
  readonly checks: readonly CanaryCheck[];
}

/** What a canary takes. */
export interface CanaryInput {
  readonly files: LibraryFiles;
  /** The whole environment of the processes: the same as the engine's. */
  readonly env: NodeJS.ProcessEnv;
  /** The models are made below it, and removed. */
  readonly cacheDir: string;
  /** Layers on the accelerator; -1 = all. */
  readonly gpuLayers: number;
  /** Gets everything the engines say, at debug level. */
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Called as each part ends. */
  readonly onCheck?: (check: CanaryCheck) => void;
  /** How long one part may take at most, ms; 60 s, and 120 s to load, by default. */
  readonly limitMs?: number;
  /** Another way to identify than by a probe process. */
  readonly identify?: (input: IdentifyInput) => Promise<Identification>;
  /** Another way to an engine than by a process of its own. */
  readonly start?: (input: EngineProcessInput) => Promise<Engine>;
}

/** A GPU library may compile its kernels at the first load. */
const LOAD_LIMIT_MS = 120_000;
const CHECK_LIMIT_MS = 60_000;
const CLOSE_GRACE_MS = 2000;

/** Thrown once a check has failed and is noted. */
class Failed extends Error {}

/**
 * Proves a library, or finds the first thing that is wrong with it. Rejects only where nothing was
 * found out: `cancelled`, or a cache directory that cannot be written.
 */
export async function runCanary(input: CanaryInput): Promise<CanaryReport> {
  if (input.signal.aborted) throw new HoshikageError('cancelled');
  await mkdir(input.cacheDir, { recursive: true });
  const directory = await makeStaging(input.cacheDir, 'canary-');
  const run = new CanaryRun(input);
  try {
    await run.identify();
    await provePlainly(run, directory);
    await proveNumbers(run, directory);
    return run.report(true);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    return run.report(false);
  } finally {
    await run.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** What shows in text, on a model that says given texts by a wide margin. */
async function provePlainly(run: CanaryRun, directory: string): Promise<void> {
  const modelPath = join(directory, 'scripted.gguf');
  const options = { modelPath, contextTokens: 4096, slots: 2, batchTokens: 64 };
  const engine = await run.load(async () => {
    await writeCanaryScript(modelPath);
    return options;
  });
  await run.check('text', () => checkText(engine));
  await run.check('grammar', () => checkGrammar(engine));
  await run.check('cancel', (signal) => checkCancel(engine, signal));
  await run.check('state', () => checkState(engine, join(directory, 'state.bin')));
  await engine.close();
}

/** What shows in numbers only, against our own computation over the very same random weights. */
async function proveNumbers(run: CanaryRun, directory: string): Promise<void> {
  const quantised = new NumberChecks('quantised', directory);
  const plain = new NumberChecks('plain', directory);
  const engines: Engine[] = [];
  const checkLogits = async (numbers: NumberChecks, signal: AbortSignal, more = {}) => {
    const opening = run.open({ ...(await numbers.write()), ...more }, signal);
    const [engine] = await Promise.all([opening, numbers.prepare(signal)]);
    engines.push(engine);
    return numbers.checkLogits(engine);
  };
  await run.check('logits', async (signal) => {
    // In the minimal mode the cache's type stays the library's own.
    const one = await checkLogits(quantised, signal, run.minimal ? {} : QUANTISED_CACHE);
    await engines.pop()?.close();
    const other = await checkLogits(plain, signal);
    return { en: `${other.en}, ${one.en}`, ja: `${other.ja}、${one.ja}` };
  });
  const [engine] = engines;
  if (engine) await run.check('embeddings', (signal) => plain.checkEmbeddings(engine, signal));
}

/** One canary: its checks so far and the engines it has opened. */
class CanaryRun {
  readonly #input: CanaryInput;
  readonly #tail: TailLog;
  readonly #checks: CanaryCheck[] = [];
  readonly #engines: Promise<Engine>[] = [];
  #identity: LibraryIdentity | null = null;

  constructor(input: CanaryInput) {
    this.#input = input;
    this.#tail = new TailLog(input.log);
  }

  /** Whether the library is driven in the minimal mode; known once it is identified. */
  get minimal(): boolean {
    return this.#identity?.minimal ?? false;
  }

  report(passed: boolean): CanaryReport {
    return { passed, minimal: this.minimal, identity: this.#identity, checks: this.#checks };
  }

  async identify(): Promise<void> {
    const { files, env, identify = identifyLibrary } = this.#input;
    await this.check('identify', async (signal) => {
      const { verdict } = await identify({ files, env, signal });
      if (verdict.error) throw fromWire(verdict.error);
      this.#identity = verdict.identity;
      return { en: wordsOf(verdict.identity), ja: wordsInJapanese(verdict.identity) };
    });
  }

  /** The check `load`: an engine that opened the library the probe saw. */
  async load(prepare: () => Promise<CanaryEngineOptions>): Promise<Engine> {
    const opened: Engine[] = [];
    await this.check(
      'load',
      async (signal) => {
        const engine = await this.open(await prepare(), signal);
        opened.push(engine);
        const { library, threads } = engine.info;
        const devices = deviceNames(library);
        return {
          en: `devices: ${devices || 'none'}; threads: ${threads}`,
          ja: `装置: ${devices || 'なし'}、スレッド: ${threads}`,
        };
      },
      LOAD_LIMIT_MS,
    );
    const [engine] = opened;
    if (!engine) throw new Failed();
    return engine;
  }

  /** An engine on the library; ended at the latest by `close`. */
  async open(options: CanaryEngineOptions, signal: AbortSignal): Promise<Engine> {
    const { files, env, gpuLayers, start = startEngineProcess } = this.#input;
    const opening = start({
      library: files,
      options: { ...PLAIN, gpuLayers, ...options },
      env,
      log: this.#tail,
      closeGraceMs: CLOSE_GRACE_MS,
      signal,
    });
    this.#engines.push(opening);
    const engine = await opening;
    const [seen, opened] = [this.#identity, engine.info.library];
    if (seen && !sameLibrary(seen, opened)) {
      throw new Error(`the engine opened another library: ${wordsOf(opened)}`);
    }
    return engine;
  }

  /** Runs one part within its limit and notes how it ended. Throws Failed, or `cancelled`. */
  async check(
    name: CanaryCheckName,
    part: (signal: AbortSignal) => Promise<Seen>,
    limitMs = CHECK_LIMIT_MS,
  ): Promise<void> {
    const begun = performance.now();
    this.#tail.forget();
    const note = (ok: boolean, detail: string, ja = {}): void => {
      const check = { name, ok, detail, ...ja, ms: Math.round(performance.now() - begun) };
      this.#checks.push(check);
      this.#input.onCheck?.(check);
    };
    try {
      const seen = await this.#limited(part, this.#input.limitMs ?? limitMs);
      note(true, seen.en, { detail_ja: seen.ja });
    } catch (error) {
      if (this.#input.signal.aborted) throw new HoshikageError('cancelled', {}, { cause: error });
      note(false, [reasonOf(error), ...this.#evidence(error)].join(' / '));
      throw new Failed();
    }
  }

  /** Ends every process that was started. */
  async close(): Promise<void> {
    // One that could not be opened has ended by itself.
    await Promise.allSettled(this.#engines.map(async (opening) => (await opening).close()));
  }

  /** What the engine said: where it failed rather than was found wrong, whatever it said last. */
  #evidence(error: unknown): readonly string[] {
    const complaints = this.#tail.complaints();
    const failed = complaints.length === 0 && error instanceof HoshikageError;
    return failed ? this.#tail.lastLines() : complaints;
  }

  async #limited(part: (signal: AbortSignal) => Promise<Seen>, limitMs: number): Promise<Seen> {
    const abort = new AbortController();
    const stop = (): void => abort.abort(new HoshikageError('cancelled'));
    const timer = setTimeout(
      () => abort.abort(new Error(`no end after ${limitMs / 1000} s`)),
      limitMs,
    );
    this.#input.signal.addEventListener('abort', stop, { once: true });
    const aborted = new Promise<never>((_, reject) => {
      abort.signal.addEventListener('abort', () => reject(abort.signal.reason), { once: true });
    });
    try {
      if (this.#input.signal.aborted) stop();
      return await Promise.race([aborted, part(abort.signal)]);
    } finally {
      clearTimeout(timer);
      this.#input.signal.removeEventListener('abort', stop);
    }
  }
}

/** What the checks choose for their engines; all else is plain. */
export type CanaryEngineOptions = Pick<
  EngineOptions,
  'modelPath' | 'contextTokens' | 'slots' | 'batchTokens'
> &
  Partial<EngineOptions>;

const QUANTISED_CACHE = { cacheTypeK: 'q8_0', cacheTypeV: 'q8_0' } as const;

const PLAIN = {
  threads: 0,
  flashAttention: 'auto',
  cacheTypeK: 'f16',
  cacheTypeV: 'f16',
  mmap: true,
  mlock: false,
} as const;

function wordsOf({ version, layout, minimal }: LibraryIdentity): string {
  const mode = minimal ? ', in the minimal mode' : '';
  return `version ${version ?? 'unknown'}, layouts ${layout.model}/${layout.context}${mode}`;
}

function wordsInJapanese({ version, layout, minimal }: LibraryIdentity): string {
  const mode = minimal ? '、最小モード' : '';
  return `版 ${version ?? '不明'}、構造体 ${layout.model}/${layout.context}${mode}`;
}

/** What must be the same in the probe and in an engine. Only the probe narrows builds by samplers. */
function sameLibrary(probed: LibraryIdentity, opened: LibraryIdentity): boolean {
  const facts = ({ version, layout, minimal }: LibraryIdentity): string =>
    JSON.stringify([version, layout, minimal]);
  const [first, end] = opened.bracket;
  const within = first <= probed.bracket[0] && probed.bracket[1] <= end;
  return within && facts(probed) === facts(opened);
}

function deviceNames({ devices }: LibraryIdentity): string {
  return devices.map(({ name }) => name).join(', ');
}
