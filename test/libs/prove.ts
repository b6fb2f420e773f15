/**
 * Holds one real build against what it must be: scan, identification, canary, and the numbers that
 * builds are compared by. Test code only; every process it starts is ended.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CanaryCheck, runCanary } from '../../src/canary/canary.js';
import { GREEDY } from '../../src/canary/canary-text.js';
import { readAbi } from '../../src/engine/addon.js';
import type { Engine, LibraryIdentity } from '../../src/engine/engine.js';
import { startEngineProcess } from '../../src/engine/process.js';
import type { LibraryFiles } from '../../src/engine/protocol.js';
import { identifyLibrary } from '../../src/library/identify.js';
import { filesOf, scanLibrary } from '../../src/library/scan.js';
import { silentLog } from '../../src/log.js';
import { engineOptions } from '../helpers/engine-options.js';
import { MEMORY_KINDS, memoryModel } from '../helpers/memory-models.js';
import { randomModel } from '../helpers/models.js';
import { askInDisorder, conversations, noiseTokens, Reference, start } from '../helpers/talk.js';
import type { Build } from './builds.js';

/** What one build turned out to be. */
export interface Proved {
  readonly build: Build;
  /** What is not as it must be; empty = all right. */
  readonly problems: readonly string[];
  readonly identity: LibraryIdentity | null;
  readonly checks: readonly CanaryCheck[];
  /** Centred logits after each of some prompts, joined; null where it came to none. */
  readonly logits: Float64Array | null;
  /** Of the canary alone. */
  readonly canaryMs: number;
}

const { platform, arch, env } = process;

/** Everything about one build. Rejects only where the test itself is broken, or is aborted. */
export async function prove(build: Build, path: string, signal: AbortSignal): Promise<Proved> {
  const scan = await scanLibrary(path, readAbi(), { platform, arch });
  const files = filesOf(scan, false);
  const cacheDir = await mkdtemp(join(tmpdir(), 'hoshikage-libs-'));
  const begun = performance.now();
  try {
    const report = await runCanary({ files, env, cacheDir, gpuLayers: 0, log: silentLog, signal });
    const canaryMs = Math.round(performance.now() - begun);
    const logits = report.passed ? await logitsOf(files, signal) : null;
    const { identity, checks } = report;
    const problems = [
      ...(scan.refusal ? [`the scan refuses it: ${scan.refusal.message}`] : []),
      ...(scan.bracket ? outside('scan', scan.bracket, build) : ['the scan has no bracket']),
      ...scan.unknownSymbols.map((name) => `${name} is unknown`),
      ...(identity ? contradictions(identity, build) : []),
      ...checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`),
      ...(report.passed ? await memoryProblems(files, signal) : []),
    ];
    return { build, problems, identity, checks, logits, canaryMs };
  } finally {
    await rm(cacheDir, { recursive: true, force: true });
  }
}

function outside(who: string, [first, end]: readonly [number, number], build: Build): string[] {
  if (first <= build.number && build.number < end) return [];
  return [`the ${who} says b${first} to b${end}, which ${build.name} is not in`];
}

function contradictions(identity: LibraryIdentity, build: Build): string[] {
  const facts: readonly (readonly [string, unknown, unknown])[] = [
    ['model layout', identity.layout.model, build.layout.model],
    ['context layout', identity.layout.context, build.layout.context],
    ['penalties arguments', identity.samplers.penalties, build.samplers.penalties],
    ['DRY arguments', identity.samplers.dry, build.samplers.dry],
    ['minimal mode', identity.minimal, false],
    ['unknown functions', identity.unknownSymbols.join(), ''],
  ];
  return [
    ...outside('probe', identity.bracket, build),
    ...facts.flatMap(([what, is, wanted]) =>
      is === wanted ? [] : [`${what}: ${String(is)} instead of ${String(wanted)}`],
    ),
  ];
}

/** What each kind of memory does wrong in several slots. */
async function memoryProblems(library: LibraryFiles, signal: AbortSignal): Promise<string[]> {
  const problems: string[] = [];
  for (const kind of MEMORY_KINDS) {
    const modelPath = await memoryModel(kind);
    const open = (slots: number): Promise<Engine> => {
      const options = engineOptions({ modelPath, slots, contextTokens: 1024, batchTokens: 128 });
      return startEngineProcess({ library, options, env, log: silentLog, signal });
    };
    const reference = new Reference(await open(1));
    try {
      const engine = await open(3);
      try {
        await comeBack(engine, reference);
        await askInDisorder(engine, reference, await conversations(reference), 1);
      } finally {
        await engine.close();
      }
    } catch (error) {
      problems.push(`memory of the kind ${kind}: ${String(error)}`);
    } finally {
      await reference.close();
    }
  }
  return problems;
}

/** A next turn after an answer that has become another one: the prompt is not computed again. */
async function comeBack(engine: Engine, reference: Reference): Promise<void> {
  const prompt = noiseTokens(2, 200);
  const { tokens } = await start(engine, prompt).said;
  const next = [...prompt, ...tokens.slice(0, 5), ...noiseTokens(3, 20)];
  const said = await start(engine, next).said;
  await reference.check(next, said);
  const { cachedTokens } = said.result;
  if (cachedTokens < prompt.length - 1) throw new Error(`${cachedTokens} tokens kept`);
}

/** Byte tokens: every model of ours has them first. */
const PROMPTS = [1, 7, 40, 200].map((length) =>
  Int32Array.from({ length }, (_, i) => (i * 73 + length * 31) % 256),
);

/** One step after each prompt, so that no build's own choice of a token changes what follows. */
async function logitsOf(library: LibraryFiles, signal: AbortSignal): Promise<Float64Array> {
  const modelPath = await randomModel({ commonWords: false, attention: 4, layers: 3 });
  const options = engineOptions({ modelPath, contextTokens: 256, batchTokens: 64 });
  const engine = await startEngineProcess({ library, options, env, log: silentLog, signal });
  try {
    const { vocabularySize } = engine.info.model;
    const all = new Float64Array(PROMPTS.length * vocabularySize).fill(Number.NaN);
    for (const [index, prompt] of PROMPTS.entries()) {
      const sampling = { ...GREEDY, logprobs: vocabularySize };
      const step = engine.start({ prompt, maxTokens: 1, cachePrompt: false, sampling });
      const row = all.subarray(index * vocabularySize, (index + 1) * vocabularySize);
      for await (const { logprobs = [] } of step) {
        for (const [token, logprob] of logprobs[0]?.top ?? []) row[token] = logprob;
      }
      const mean = row.reduce((sum, value) => sum + value, 0) / row.length;
      row.set(row.map((value) => value - mean));
    }
    return all;
  } finally {
    await engine.close();
  }
}

/** Length of the difference relative to the length. */
export function relativeDifference(one: Float64Array, other: Float64Array): number {
  const length = (values: Float64Array): number => Math.hypot(...values);
  return length(one.map((value, i) => value - (other[i] ?? Number.NaN))) / length(other);
}

/** Why a library from before the floor is refused: by the scan, and by the probe. */
export async function refusals(path: string, signal: AbortSignal): Promise<readonly string[]> {
  const scan = await scanLibrary(path, readAbi(), { platform, arch });
  const { verdict } = await identifyLibrary({ files: filesOf(scan, false), env, signal });
  return [scan.refusal?.message ?? 'not refused', verdict.error?.reason ?? 'not refused'];
}
