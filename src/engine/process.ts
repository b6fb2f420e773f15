/**
 * The engine process as the server sees it: fork, load, talk, end.
 * Server's main thread. It owns the child from fork to exit; it must never load libllama, never block,
 * and never leave a child behind.
 */
import type { ChildProcess } from 'node:child_process';
import { HoshikageError } from '../errors.js';
import type { Log } from '../log.js';
import type { EngineExit, EngineOptions, ExitCause } from './engine.js';
import { endOf, entryBeside, forkNode, Tail, WIRE_FD } from './fork.js';
import { HangWatch, type Work } from './hang.js';
import { hostArguments } from './host-arguments.js';
import { oomKills, speaksOfMemory } from './out-of-memory.js';
import { type Command, fromWire, type LibraryFiles, type Message } from './protocol.js';
import { EngineProxy, endError } from './proxy.js';
import { FrameReader } from './wire.js';

/** How long a closing engine may take to free things before it is killed, ms. */
const CLOSE_GRACE_MS = 5000;
/**
 * How long a killed engine may take to be gone, ms: as long as giving back all of a large machine's
 * memory takes. One that a driver or a disk holds in the kernel may never go.
 */
const KILL_GRACE_MS = 30_000;
/** How long news of a dead process may still lie in the pipe, ms (a grandchild may hold it open). */
const DRAIN_MS = 250;

/** What starting an engine process takes. */
export interface EngineProcessInput {
  readonly library: LibraryFiles;
  readonly options: EngineOptions;
  /** The child's whole environment. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  /** 0 to 1, as the library reports it. */
  readonly onProgress?: (fraction: number) => void;
  /** Told the process' number as soon as there is one, before anything is loaded. */
  readonly onSpawn?: (pid: number) => void;
  /** Another entry than host.ts, for a host with another addon. */
  readonly entry?: URL;
  readonly closeGraceMs?: number;
  readonly killGraceMs?: number;
  /** How long it may have work and make no progress before it is killed, ms; 0 = for ever. */
  readonly hangLimitMs?: number;
  /** What the engine adds to its niceness; 0 = nothing. */
  readonly nice?: number;
  /** Ends a load at any moment, also a stuck one: the process is killed. */
  readonly signal: AbortSignal;
}

/**
 * Forks an engine process and loads the model in it. When this rejects, the process is gone.
 * Codes: library_not_found, library_incompatible, addon_missing, model_load_failed, memory_short,
 * engine_out_of_memory, engine_hung, cancelled.
 */
export async function startEngineProcess(input: EngineProcessInput): Promise<EngineProxy> {
  if (input.signal.aborted) throw new HoshikageError('cancelled');
  const child = new EngineChild(input);
  const kill = (): void => child.kill();
  input.signal.addEventListener('abort', kill, { once: true });
  try {
    return await child.open(input.library, input.options);
  } catch (error) {
    child.kill();
    await child.exited;
    if (input.signal.aborted) throw new HoshikageError('cancelled', {}, { cause: error });
    throw error;
  } finally {
    input.signal.removeEventListener('abort', kill);
  }
}

/** One forked process: first loading, then behind a proxy, at last gone. */
class EngineChild {
  readonly exited: Promise<EngineExit>;
  readonly #input: EngineProcessInput;
  readonly #log: Log;
  readonly #process: ChildProcess;
  readonly #tail: Tail;
  #proxy: EngineProxy | null = null;
  #loaded: (outcome: EngineProxy | HoshikageError) => void = () => {};
  readonly #watch: HangWatch;
  /** What the kernel had killed for want of memory when this engine began. */
  readonly #oomKills = oomKills();
  /** The words with which libllama gave up. */
  #crash: string | null = null;
  #closing = false;
  /** Killed by us for doing nothing. */
  #hung = false;
  /** Killed by us, for whatever reason: then nobody waits longer than this for its end. */
  #killed: NodeJS.Timeout | null = null;
  #giveUp: () => void = () => {};

  constructor(input: EngineProcessInput) {
    this.#input = input;
    const { entry = entryBeside(import.meta.url, 'host'), nice = 0, hangLimitMs = 0 } = input;
    const args = hostArguments({ nice, hangLimitMs });
    this.#process = forkNode(entry, input.env, args, { wire: true });
    this.#watch = new HangWatch({ limitMs: hangLimitMs, onHang: (what) => this.#hang(what) });
    this.#log = input.log.child({ engine: this.#process.pid });
    if (this.#process.pid !== undefined) input.onSpawn?.(this.#process.pid);
    this.#tail = new Tail(this.#process, (line) => this.#log.info(line, { source: 'stderr' }));
    // What host.ts says before it serves anybody: that there is no addon, for one.
    this.#process.on('message', (message) => this.#receive(message as Message));
    this.#listen();
    // Without a listener a failed kill or send would end the server.
    this.#process.on('error', () => {});
    this.exited = this.#watchExit();
  }

  open(library: LibraryFiles, options: EngineOptions): Promise<EngineProxy> {
    this.#watch.begin('load');
    return new Promise((resolve, reject) => {
      this.#loaded = (outcome) => {
        this.#loaded = () => {};
        this.#watch.end('load');
        if (outcome instanceof EngineProxy) resolve(outcome);
        else reject(outcome);
      };
      void this.exited.then((exit) => {
        this.#loaded(this.#loadError(exit, options));
      });
      this.#post({ type: 'open', library, options });
    });
  }

  kill(): void {
    this.#closing = true;
    this.#end();
  }

  #loadError({ cause, detail }: EngineExit, options: EngineOptions): HoshikageError {
    const said = this.#crash ?? detail;
    if (cause === 'hang' || cause === 'memory') return endError(cause, said, this.#watch.limitMs);
    const details = { model: options.modelPath };
    const lost = cause === 'crash' ? endError(cause, said, this.#watch.limitMs) : new Error(said);
    return new HoshikageError('model_load_failed', details, { cause: lost });
  }

  /** Of a load in which libllama gave up: an end of the engine, though the process is still there. */
  #crashError(detail: string): HoshikageError {
    const cause = speaksOfMemory(detail) ? 'memory' : 'crash';
    return this.#loadError({ expected: false, cause, detail }, this.#input.options);
  }

  #hang(what: Work): void {
    const limit = `${this.#watch.limitMs / 1000} s`;
    this.#log.error(`the engine makes no progress for ${limit} and is killed`, { what });
    this.#hung = true;
    this.#end();
  }

  #end(): void {
    const graceMs = this.#input.killGraceMs ?? KILL_GRACE_MS;
    this.#killed ??= setTimeout(() => this.#giveUp(), graceMs).unref();
    this.#process.kill('SIGKILL');
  }

  /** It stays with the kernel until that lets it go; whoever waits for it is not to. */
  #letGo(): void {
    this.#log.error('the engine does not end though it was killed, and is left behind');
    if (this.#process.connected) this.#process.disconnect();
    for (const stream of this.#process.stdio) stream?.destroy();
    this.#process.unref();
  }

  #listen(): void {
    const wire = this.#process.stdio[WIRE_FD];
    const reader = new FrameReader((message) => this.#receive(message));
    wire?.on('error', () => {});
    wire?.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        this.#log.error('the engine says what nobody understands and is killed', { error });
        wire.destroy();
        this.#end();
      }
    });
  }

  #receive(message: Message): void {
    switch (message.type) {
      case 'log':
        for (const [level, text] of message.lines) this.#log[level](text, { source: 'libllama' });
        break;
      case 'progress':
        this.#watch.heard('load');
        this.#input.onProgress?.(message.fraction);
        break;
      case 'pulse':
        // The proxy's watch is the same one.
        if (this.#proxy) this.#proxy.receive(message);
        else this.#watch.pulse(message);
        break;
      case 'ready':
        this.#proxy = new EngineProxy(this.#link(), message);
        this.#loaded(this.#proxy);
        break;
      case 'failed':
        this.#loaded(
          this.#crash === null ? fromWire(message.error) : this.#crashError(this.#crash),
        );
        break;
      case 'crashed':
        // `failed` may still follow, but the process may also end before.
        this.#crash = message.reason;
        this.#proxy?.receive(message);
        break;
      default:
        this.#proxy?.receive(message);
    }
  }

  #link(): ConstructorParameters<typeof EngineProxy>[0] {
    return {
      pid: this.#process.pid ?? null,
      post: (command) => this.#post(command),
      close: () => this.#close(),
      abandon: () => {
        this.#log.error('the crashed engine does not end and is killed');
        this.#end();
      },
      watch: this.#watch,
    };
  }

  #post(command: Command): void {
    if (!this.#process.connected) return;
    // A failed send means that the process is gone; its exit ends whatever waits.
    this.#process.send(command, () => {});
  }

  async #close(): Promise<void> {
    this.#closing = true;
    this.#post({ type: 'close' });
    const deadline = setTimeout(() => {
      this.#log.warn('the engine did not end in time and is killed');
      this.#end();
    }, this.#input.closeGraceMs ?? CLOSE_GRACE_MS);
    try {
      await this.exited;
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Resolves when the process is gone and what it had sent has been read, or when it cannot go. */
  async #watchExit(): Promise<EngineExit> {
    let killer: NodeJS.Signals | null = null;
    const detail = await new Promise<string>((resolve) => {
      this.#giveUp = () => {
        this.#letGo();
        resolve('does not end though it was killed');
      };
      this.#process.once('exit', (code, signal) => {
        killer = signal;
        this.#giveUp = () => {};
        const done = (): void => resolve(endOf(code, signal));
        // Not before the pipes were looked at once more: this process may not have run meanwhile.
        const timer = setTimeout(() => setImmediate(done), DRAIN_MS);
        this.#process.once('close', () => {
          clearTimeout(timer);
          done();
        });
      });
      this.#process.once('error', (error) => {
        if (this.#process.pid === undefined) resolve(`could not be started: ${error.message}`);
      });
    });
    this.#watch.stop();
    if (this.#killed) clearTimeout(this.#killed);
    const exit: EngineExit = {
      expected: this.#closing,
      cause: await this.#causeOf(killer),
      detail,
    };
    if (!exit.expected) {
      this.#log.error(`the engine process ${detail}`, { lastLines: this.#tail.lines });
    }
    this.#proxy?.ended(exit);
    return exit;
  }

  async #causeOf(signal: NodeJS.Signals | null): Promise<ExitCause> {
    if (this.#closing) return 'closed';
    if (this.#hung) return 'hang';
    const words = [this.#crash ?? '', ...this.#tail.lines];
    if (words.some(speaksOfMemory)) return 'memory';
    if (signal !== 'SIGKILL' || this.#killed !== null) return 'crash';
    return (await oomKills()) > (await this.#oomKills) ? 'memory' : 'crash';
  }
}
