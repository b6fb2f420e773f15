/**
 * Engines for pool tests: each start is recorded and waits until the test lets it succeed or fail.
 */

import { countersOf } from '../../src/engine/counters.js';
import type {
  CompletionRequest,
  EngineCompletion,
  EngineExit,
  EngineInfo,
  EngineOptions,
  ResidentEngine,
  SlotState,
  StartEngine,
} from '../../src/engine/engine.js';
import { HoshikageError } from '../../src/errors.js';
import { fakeFacts } from './fake-addon.js';

/** What an engine would measure. */
export const AUTO_SLOTS = 2;
const slotsOf = ({ slots }: EngineOptions): number => (slots === 'auto' ? AUTO_SLOTS : slots);

export class FakeEngine implements ResidentEngine {
  readonly info: EngineInfo;
  readonly pid: number;
  readonly exited: Promise<EngineExit>;
  closed = false;
  /** Set by a test: libllama has given up, and the process is about to end. */
  ending = false;
  /** When set, close waits for it. */
  closing: Promise<void> = Promise.resolve();
  #exit: (exit: EngineExit) => void = () => {};

  constructor(options: EngineOptions, pid: number) {
    this.pid = pid;
    this.info = {
      library: {
        path: '/lib/libllama.so',
        version: null,
        ggmlVersion: null,
        ggmlCommit: null,
        layout: { model: 'M0', context: 'C0' },
        bracket: [1, 2],
        minimal: false,
        unknownSymbols: [],
        samplers: { penalties: null, dry: null },
        devices: [],
      },
      model: fakeFacts,
      contextTokens: options.contextTokens,
      slots: options.purpose === 'embed' ? 0 : slotsOf(options),
      batchTokens: options.batchTokens,
      threads: 1,
      gpuLayers: 0,
    };
    this.exited = new Promise((resolve) => {
      this.#exit = resolve;
    });
  }

  memoryBytes: number | null = null;

  get slotStates(): readonly SlotState[] {
    return [{ id: 0, state: 'idle', cachedTokens: 0, promptTokens: 0, generatedTokens: 0 }];
  }

  readonly counters = countersOf();

  async slots() {
    return this.slotStates;
  }

  async tokenize(): Promise<Int32Array> {
    return new Int32Array();
  }

  async detokenize(): Promise<Uint8Array> {
    return new Uint8Array();
  }

  async embed(): Promise<readonly Float32Array[]> {
    return [];
  }

  async saveState(): Promise<null> {
    return null;
  }

  async restoreState(): ReturnType<ResidentEngine['restoreState']> {
    return null;
  }

  start(_request: CompletionRequest): EngineCompletion {
    throw new Error('the pool starts no completion');
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.closing;
    this.#exit({ expected: true, cause: 'closed', detail: 'closed' });
  }

  crash(cause: EngineExit['cause'] = 'crash'): void {
    this.#exit({ expected: false, cause, detail: 'ended by SIGSEGV' });
  }
}

/** One asked-for start. */
export interface FakeStart {
  readonly path: string;
  readonly options: EngineOptions;
  readonly engine: FakeEngine;
  readonly signal: AbortSignal;
  progress(fraction: number): void;
  succeed(): void;
  fail(error: unknown): void;
}

export class FakeEngines {
  readonly starts: FakeStart[] = [];
  /** Engines alive at once, at most, over time. */
  mostAlive = 0;
  #alive = 0;
  /** When true, starts succeed by themselves. */
  automatic: boolean;

  constructor(automatic = true) {
    this.automatic = automatic;
  }

  /** Paths in the order in which they were started. */
  get paths(): string[] {
    return this.starts.map((start) => start.path);
  }

  get last(): FakeStart {
    const start = this.starts.at(-1);
    if (!start) throw new Error('nothing was started');
    return start;
  }

  readonly start: StartEngine = (options, { signal, onProgress }) => {
    const engine = new FakeEngine(options, 1000 + this.starts.length);
    this.#alive += 1;
    this.mostAlive = Math.max(this.mostAlive, this.#alive);
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#alive -= 1;
      };
      const start: FakeStart = {
        path: options.modelPath,
        options,
        engine,
        signal,
        progress: onProgress,
        succeed: () => {
          void engine.exited.then(leave);
          resolve(engine);
        },
        fail: (error) => {
          leave();
          reject(error);
        },
      };
      signal.addEventListener('abort', () => start.fail(new HoshikageError('cancelled')), {
        once: true,
      });
      this.starts.push(start);
      if (this.automatic) start.succeed();
    });
  };
}
