/**
 * A real server process with a home of its own: started from dist, found by its run.json, killed with
 * its whole group afterwards, whatever happened. It must never see the user's own configuration, and
 * never outlive the test file.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inProject } from '../../scripts/root.js';
import { until, within } from './waiting.js';
import { getJson } from './wire.js';

/** The built command, as a user runs it. */
export const MAIN = inProject('dist/cli/main.js');

const START_DEADLINE_MS = 20_000;
const STOP_DEADLINE_MS = 15_000;

/** Who runs the clean-up: a test's context, or `{ after }` of node:test for a whole file. */
export interface Owner {
  after(clean: () => Promise<void> | void): void;
}

/** A user's empty home, thrown away afterwards. */
export interface Home {
  readonly root: string;
  /** `<config>/hoshikage`. */
  readonly configDir: string;
  readonly cacheDir: string;
  readonly mapFile: string;
  readonly runFile: string;
  /** The whole environment of a process of this user. */
  readonly env: NodeJS.ProcessEnv;
  /** Writes the map: alias to GGUF file, with stop strings and settings where given. */
  writeMap(models: Readonly<Record<string, string | MapModel>>): void;
}

/** A map entry: the GGUF file, and whatever else the map may hold for it. */
export interface MapModel {
  readonly file: string;
  readonly [key: string]: unknown;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What run.json says. */
export interface RunFile {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  readonly token: string;
}

/** A running server. */
export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly home: Home;
  readonly run: RunFile;
  readonly exited: Promise<Exit>;
  /** What it has written so far. */
  output(): string;
  /** Sends the signal to the server, or to its whole group as a terminal does, and waits for its end. */
  stop(signal?: NodeJS.Signals, to?: 'server' | 'group'): Promise<Exit>;
  status(): Promise<ServerStatus>;
}

/** The parts of /v1/status that tests look at. */
export interface ServerStatus {
  readonly status: string;
  readonly library: {
    readonly state: string;
    readonly path: string | null;
    readonly origin: string | null;
    readonly error: { readonly code: string; readonly message: string } | null;
  };
  readonly model: {
    readonly id: string;
    readonly state: 'loading' | 'ready' | 'unloading';
    readonly pid: number | null;
    readonly active: number;
    readonly slots: readonly {
      readonly state: string;
      readonly cached_tokens: number;
      readonly generated_tokens: number;
    }[];
  } | null;
  readonly queue: { readonly length: number };
}

/** An empty home. */
export function makeHome(owner: Owner): Home {
  const root = mkdtempSync(join(tmpdir(), 'hoshikage-home-'));
  homes.add(root);
  owner.after(() => removeHome(root));
  const configDir = join(root, 'config', 'hoshikage');
  const mapFile = join(configDir, 'model_map.json');
  const entry = (model: string | MapModel): object => {
    const { file, ...more } = typeof model === 'string' ? { file: model } : model;
    return { path: join(file, '..'), model: file.slice(join(file, '..').length + 1), ...more };
  };
  return {
    root,
    configDir,
    cacheDir: join(root, 'cache'),
    mapFile,
    runFile: join(configDir, 'run.json'),
    env: {
      PATH: process.env.PATH,
      HOME: root,
      XDG_CONFIG_HOME: join(root, 'config'),
      XDG_CACHE_HOME: join(root, 'cache'),
      LANG: 'C.UTF-8',
    },
    writeMap(models) {
      mkdirSync(configDir, { recursive: true });
      const map = Object.entries(models).map(([alias, model]) => [alias, entry(model)]);
      writeFileSync(mapFile, JSON.stringify(Object.fromEntries(map), null, 2));
    },
  };
}

/** A process that was started. */
export interface StartedProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  /** What it has written so far. */
  output(): string;
}

/**
 * Starts a `hoshikage` of this user's; it and its children are killed when the owner is done.
 * `under`: the command line that runs it, strace for example.
 */
export function startProcess(
  owner: Owner,
  home: Home,
  args: readonly string[],
  more: { env?: NodeJS.ProcessEnv; under?: readonly string[]; main?: string } = {},
): StartedProcess {
  if (!existsSync(MAIN)) throw new Error('dist is missing: run `npm run build` first');
  const [command = '', ...rest] = [
    ...(more.under ?? []),
    process.execPath,
    more.main ?? MAIN,
    ...args,
  ];
  const child = spawn(command, rest, {
    cwd: home.root,
    env: { ...home.env, ...more.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: it can be signalled as a terminal does, and killed whole.
    detached: true,
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text = (text + part).slice(-200_000);
    });
  }
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal }));
  });
  exited.catch(() => {});
  groups.add(child);
  owner.after(async () => {
    killGroup(child);
    await within(exited, STOP_DEADLINE_MS, 'end of the killed process');
    groups.delete(child);
  });
  return { child, exited, output: () => text };
}

const groups = new Set<ChildProcess>();
const homes = new Set<string>();

function removeHome(root: string): void {
  rmSync(root, { recursive: true, force: true, maxRetries: 3 });
  homes.delete(root);
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended, and its children with it.
  }
}

process.once('exit', () => {
  for (const child of groups) killGroup(child);
  for (const root of homes) removeHome(root);
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => process.exit(1));
}

/** How to start a server. */
export interface ServerOptions {
  readonly home?: Home;
  readonly env?: NodeJS.ProcessEnv;
  readonly args?: readonly string[];
  /** Another build than our own. */
  readonly main?: string;
  /** The command line that runs it, strace for example. */
  readonly under?: readonly string[];
}

/** Starts `hoshikage serve` on a free port and waits until it answers /health. */
export async function startServer(owner: Owner, options: ServerOptions = {}): Promise<TestServer> {
  const home = options.home ?? makeHome(owner);
  rmSync(home.runFile, { force: true });
  const args = ['serve', '--port', '0', ...(options.args ?? [])];
  const { exited, output } = startProcess(owner, home, args, options);
  let ended: Exit | null = null;
  void exited.then((exit) => {
    ended = exit;
    // Nobody ends a server with one of these; what it wrote is the only witness.
    if (exit.code !== 0 && exit.signal === null) console.error(output().slice(-4000));
  });
  try {
    const run = await until(
      'answer of /health',
      async () => {
        if (ended) return 'ended' as const;
        const found = readRunFile(home);
        if (!found) return null;
        const { status } = await getJson(`http://127.0.0.1:${found.port}/health`);
        return status === 200 ? found : null;
      },
      { deadlineMs: START_DEADLINE_MS },
    );
    if (run === 'ended') throw new Error(`the server ended: ${JSON.stringify(ended)}`);
    return makeServer({ home, exited, output, run });
  } catch (cause) {
    throw new Error(`the server did not start; it wrote:\n${output()}`, { cause });
  }
}

/** run.json as far as it can be read now. */
export function readRunFile(home: Home): RunFile | null {
  try {
    return JSON.parse(readFileSync(home.runFile, 'utf8'));
  } catch {
    return null;
  }
}

function makeServer(started: {
  home: Home;
  exited: Promise<Exit>;
  output: () => string;
  run: RunFile;
}): TestServer {
  const { home, exited, output, run } = started;
  const url = `http://127.0.0.1:${run.port}`;
  return {
    url,
    port: run.port,
    pid: run.pid,
    home,
    run,
    exited,
    output,
    stop(signal = 'SIGTERM', to = 'server') {
      process.kill(to === 'group' ? -run.pid : run.pid, signal);
      return within(exited, STOP_DEADLINE_MS, `end of the server after ${signal}`).catch(
        (error) => {
          throw new Error(`${error.message}; it wrote:\n${output()}`);
        },
      );
    },
    async status() {
      const { body } = await getJson(`${url}/v1/status`);
      // Tests look at few fields of a body that http/status makes; a wrong one fails their asserts.
      return body as ServerStatus;
    },
  };
}

/** Waits until nothing runs or waits in the server. */
export function untilFree(server: TestServer, deadlineMs = 10_000): Promise<ServerStatus> {
  return until(
    'free slot',
    async () => {
      const status = await server.status();
      const busy = status.model !== null && status.model.active > 0;
      return !busy && status.queue.length === 0 ? status : null;
    },
    { deadlineMs, everyMs: 20 },
  );
}
