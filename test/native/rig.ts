/**
 * The addon with the fake libllama in this process: one library, then models, contexts and runs.
 * For tests only; a test file opens one rig and shares it.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { inProject } from '../../scripts/root.js';
import { GREEDY } from '../../src/canary/canary-text.js';
import type {
  NativeAddon,
  NativeCompletion,
  NativeContext,
  NativeContextOptions,
  NativeDone,
  NativeLibrary,
  NativeModel,
  NativeRequest,
} from '../../src/engine/addon.js';
import { loadAddon } from '../../src/engine/addon.js';
import { countersOf, type EngineCounters } from '../../src/engine/counters.js';
import { SAMPLERS } from '../../src/engine/engine.js';
import { abi, buildFake, FakeControl, within } from './fake.js';

/** A running completion whose news are collected. */
export interface Run {
  readonly completion: NativeCompletion;
  readonly done: Promise<NativeDone>;
  readonly tokens: number[];
  readonly prefilled: number[];
  /** As they are told of the prompt: per token 1 + n values, and n ids. */
  readonly promptLogprobs: number[];
  readonly promptTopTokens: number[];
  text(): string;
}

/** What a request is where a test says nothing: greedy, no limit, no cache. */
export function request(prompt: string, over: Partial<NativeRequest> = {}): NativeRequest {
  const { logitBias, grammar, logprobs, ...sampling } = GREEDY;
  return {
    typicalP: 1,
    topNSigma: 0,
    xtcProbability: 0,
    xtcThreshold: 0.1,
    mirostat: 0,
    mirostatTau: 5,
    mirostatEta: 0.1,
    dynatempRange: 0,
    dynatempExponent: 1,
    samplers: SAMPLERS,
    ...sampling,
    dryMultiplier: 0,
    dryBase: 1.75,
    dryAllowedLength: 2,
    dryPenaltyLastN: -1,
    drySequenceBreakers: [],
    prompt: Int32Array.from(Buffer.from(prompt, 'latin1')),
    maxTokens: -1,
    cachePrompt: true,
    background: false,
    biasTokens: new Int32Array(0),
    biasValues: new Float32Array(0),
    grammar: null,
    logprobs: -1,
    promptLogprobs: -1,
    ...over,
  };
}

/** A context with its runs; `onWake` empties every mailbox. */
export class RigContext {
  readonly native: NativeContext;
  readonly #listeners: Set<() => void>;

  constructor(native: NativeContext, listeners: Set<() => void>) {
    this.native = native;
    this.#listeners = listeners;
  }

  start(prompt: string, over: Partial<NativeRequest> = {}): Run {
    const completion = this.native.start(request(prompt, over));
    const tokens: number[] = [];
    const prefilled: number[] = [];
    const promptLogprobs: number[] = [];
    const promptTopTokens: number[] = [];
    const pieces: Uint8Array[] = [];
    const done = new Promise<NativeDone>((resolve) => {
      const listener = (): void => {
        for (let batch = completion.take(); batch; batch = completion.take()) {
          tokens.push(...batch.tokens);
          pieces.push(batch.bytes);
          prefilled.push(batch.prefilledTokens);
          promptLogprobs.push(...(batch.promptLogprobs ?? []));
          promptTopTokens.push(...(batch.promptTopTokens ?? []));
          if (!batch.done) continue;
          this.#listeners.delete(listener);
          resolve(batch.done);
        }
      };
      this.#listeners.add(listener);
      listener();
    });
    const text = (): string => Buffer.concat(pieces).toString('latin1');
    return {
      ...{ completion, done: within(done, `the end of ${prompt}`), tokens, prefilled },
      ...{ promptLogprobs, promptTopTokens, text },
    };
  }

  /** What has been counted so far. */
  counters(): EngineCounters {
    return countersOf(this.native.counters());
  }

  /** The whole text of a completion that is expected to go well. */
  async say(prompt: string, over: Partial<NativeRequest> = {}): Promise<string> {
    const run = this.start(prompt, over);
    const done = await run.done;
    if (done.reason === 'error') throw new Error(`${done.code}: ${done.message}`);
    return run.text();
  }
}

/** The opened fake library of this process. */
export class Rig {
  readonly addon: NativeAddon;
  readonly control: FakeControl;
  readonly library: NativeLibrary;
  readonly modelPath: string;
  readonly logs: string[] = [];

  private constructor(addon: NativeAddon, control: FakeControl, library: NativeLibrary) {
    this.addon = addon;
    this.control = control;
    this.library = library;
    this.modelPath = modelFile(control);
  }

  static async open(): Promise<Rig> {
    const control = new FakeControl();
    // The fake reads it once, at its first call; Node sets the process's real environment.
    process.env.HK_FAKE_CONTROL = control.path;
    const addon = loadAddon();
    const sanitizer = process.env.HOSHIKAGE_SANITIZE ?? '';
    if (!addon.build.sanitizer.includes(sanitizer)) throw new Error(`not built with ${sanitizer}`);
    const library = await addon.openLibrary({
      path: buildFake(),
      preload: [],
      unknownSymbols: [],
      allowUnknown: false,
      abi,
      proveSamplers: false,
      backends: true,
    });
    const rig = new Rig(addon, control, library);
    addon.onLog((level, text) => rig.logs.push(`${level}: ${text}`));
    return rig;
  }

  async model(path = this.modelPath): Promise<NativeModel> {
    return within(this.addon.loadModel({ path }).promise, 'the model');
  }

  /** A second model for `use`, closed afterwards. Its name steers the fake, see `llama_model` there. */
  async withDrafter(name: string, use: (drafter: NativeModel) => Promise<void>): Promise<void> {
    const path = `${this.control.path}.${name}.gguf`;
    writeFileSync(path, 'a draft model');
    const drafter = await this.model(path);
    try {
      await use(drafter);
    } finally {
      await within(drafter.close(), 'close of the draft model');
    }
  }

  async context(model: NativeModel, over: Partial<NativeContextOptions> = {}): Promise<RigContext> {
    const listeners = new Set<() => void>();
    const options = { contextTokens: 1024, slots: 1, batchTokens: 256, threads: 1, ...over };
    const native = await within(
      model.createContext(options, () => {
        for (const listener of [...listeners]) listener();
      }),
      'the context',
    );
    return new RigContext(native, listeners);
  }

  /**
   * A model with one context for `use`, closed afterwards; the fake is back to normal before, and then
   * as `prepare` makes it.
   */
  async with(
    over: Partial<NativeContextOptions>,
    use: (context: RigContext, model: NativeModel) => Promise<void>,
    prepare: () => void = () => {},
  ): Promise<void> {
    this.control.reset();
    prepare();
    const model = await this.model();
    try {
      const context = await this.context(model, over);
      try {
        await use(context, model);
      } finally {
        this.control.set('holdDecode', 0);
        await within(context.native.close(), 'close of the context');
      }
    } finally {
      await within(model.close(), 'close of the model');
    }
  }

  /** What is still alive in the library, and what it was asked that it must never be asked. */
  leftovers(): Record<string, number> {
    const cells = ['liveModels', 'liveContexts', 'liveSamplers', 'violations'] as const;
    return Object.fromEntries(cells.map((cell) => [cell, this.control.get(cell)]));
  }

  close(): void {
    this.control.close();
  }
}

/** Nothing alive, nothing violated. */
export const NOTHING_LEFT = { liveModels: 0, liveContexts: 0, liveSamplers: 0, violations: 0 };

/** The fake only looks whether the file is there. */
export function modelFile(control: FakeControl): string {
  const path = `${control.path}.gguf`;
  writeFileSync(path, 'a model');
  return path;
}

/** How a child process ended; `out` holds its lines that are JSON. */
export interface StoryEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: readonly Record<string, unknown>[];
  readonly stderr: string;
}

/** A running story: told lines so far, and its end. */
export interface Story {
  readonly end: Promise<StoryEnd>;
  /** Waits for a line with this `at`. */
  at(name: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts stories.mjs; a story that lasts longer than the deadline ends as SIGKILL. */
export function startStory(
  name: string,
  parameters: object,
  control?: FakeControl,
  deadlineMs = 30_000,
): Story {
  const child = spawn(
    process.execPath,
    ['--expose-gc', inProject('test/native/stories.mjs'), name, JSON.stringify(parameters)],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...(control ? { HK_FAKE_CONTROL: control.path } : {}) },
    },
  );
  const out: Record<string, unknown>[] = [];
  const waiting = new Set<() => void>();
  let stderr = '';
  let rest = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith('{')) out.push(JSON.parse(line) as Record<string, unknown>);
    }
    for (const check of [...waiting]) check();
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  const end = new Promise<StoryEnd>((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, out, stderr });
      for (const check of [...waiting]) check();
    });
  });
  const at = (wanted: string): Promise<void> =>
    within(
      new Promise<void>((resolve, reject) => {
        const check = (): void => {
          const found = out.some((line) => line.at === wanted);
          if (!found && child.exitCode === null && child.signalCode === null) return;
          waiting.delete(check);
          if (found) resolve();
          else reject(new Error(`the story ended before ${wanted}: ${stderr}`));
        };
        waiting.add(check);
        check();
      }),
      `the story to reach ${wanted}`,
      deadlineMs,
    );
  return { end, at, kill: (signal) => child.kill(signal) };
}
