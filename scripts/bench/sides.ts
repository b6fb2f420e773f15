/**
 * The servers that are compared: ours, and a llama-server where its binary is given. Same model, same
 * threads, same context for each request, same step sizes; a free port each. Processes are ended by
 * whoever owns the measurement.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { basename } from 'node:path';
import { SETTINGS } from '../../src/settings.js';
import { makeHome, type Owner, startServer } from '../../test/helpers/server.js';
import { until, within } from '../../test/helpers/waiting.js';
import { getJson } from '../../test/helpers/wire.js';
import { plain } from './client.js';
import type { Row } from './report.js';

/** What a benchmark is given. */
export interface Given {
  /** Measured turns, after one that warms up. */
  readonly repeats: number;
  /** Compute threads, for everybody alike. */
  readonly threads: number;
  /** The binaries to compare with; null where there are none. */
  readonly llamaServer: string | null;
  readonly llamaBench: string | null;
}

/** What a server serves. */
export interface Serving {
  readonly modelPath: string;
  readonly threads: number;
  /** Requests at a time. */
  readonly slots: number | 'auto';
  /** Tokens that one request may use. */
  readonly context: number;
}

/** A running server. */
export interface Side {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** Slots that work, and requests that wait for one. */
  busy(): Promise<number>;
  /** How many slots there are. */
  slots(): Promise<number>;
}

/** The name of the model in every request. */
export const MODEL = 'bench';

/** Prompt tokens of one step, the default of both. */
const STEP_TOKENS = 512;

const START_DEADLINE_MS = 60_000;

/** The other server's values in the same turns, or why there are none. */
export function againstPeer(values: readonly number[]): Pick<Row, 'against' | 'note'> {
  return values.length > 0
    ? { against: { name: 'llama-server', values } }
    : { note: 'LLAMA_SERVER is not given' };
}

/** Ours, all else at its defaults but the niceness, which the peer does not have. */
export async function ours(owner: Owner, wanted: Serving): Promise<Side> {
  const home = makeHome(owner);
  home.writeMap({ [MODEL]: wanted.modelPath });
  const env = {
    ...{ LOG_LEVEL: 'warn', NICE: '0', RAMDISK_MODE: 'off', N_GPU_LAYERS: '0' },
    ...{ N_THREADS: String(wanted.threads), N_SLOTS: String(wanted.slots) },
    ...{ N_CTX: String(wanted.context), N_BATCH: String(STEP_TOKENS) },
  };
  const server = await startServer(owner, { home, env });
  const busy = async (): Promise<number> => {
    const { model, queue } = await server.status();
    return (model?.active ?? 0) + queue.length;
  };
  const slots = async (): Promise<number> => (await server.status()).model?.slots.length ?? 0;
  return { name: 'hoshikage', url: server.url, pid: server.pid, busy, slots };
}

/** Whether this build chooses the number of slots itself. */
export function knowsAutoSlots(): boolean {
  const kind = SETTINGS.find(({ key }) => key === 'N_SLOTS')?.kind;
  return kind?.parse('auto', { baseDir: '/', home: '/' }) !== undefined;
}

/** The other server, all else at its defaults. */
export async function peer(owner: Owner, binary: string, wanted: Serving): Promise<Side> {
  const { modelPath, threads, slots, context } = wanted;
  if (slots === 'auto') throw new Error('the other server is given a number of slots');
  const port = await freePort();
  const args = [
    ...['-m', modelPath, '--alias', MODEL, '--host', '127.0.0.1', '--port', String(port)],
    ...['-t', String(threads), '-tb', String(threads), '-ngl', '0'],
    ...['-np', String(slots), '-c', String(slots * context)],
    ...['-b', String(STEP_TOKENS), '-ub', String(STEP_TOKENS)],
  ];
  // A session of its own, as ours has one: schedulers that share by session then treat both alike.
  const child = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let written = '';
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding('utf8').on('data', (part: string) => {
      written = (written + part).slice(-20_000);
    });
  }
  const exited = once(child, 'exit');
  exited.catch(() => {});
  const kill = (): void => void child.kill('SIGKILL');
  // It must not outlive a benchmark that is interrupted.
  process.once('exit', kill);
  owner.after(async () => {
    kill();
    await within(exited, START_DEADLINE_MS, 'end of the other server');
    process.off('exit', kill);
  });
  const url = `http://127.0.0.1:${port}`;
  const answers = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`the other server ended:\n${written}`);
    return (await getJson(`${url}/health`)).status === 200;
  };
  await until('answer of the other server', answers, { deadlineMs: START_DEADLINE_MS });
  const places = async (): Promise<{ is_processing: boolean }[]> => {
    const { body } = await getJson(`${url}/slots`);
    // The shape is that of the server's documentation.
    return body as { is_processing: boolean }[];
  };
  return {
    ...{ name: 'llama-server', url, pid: child.pid ?? 0 },
    busy: async () => (await places()).filter((slot) => slot.is_processing).length,
    slots: async () => (await places()).length,
  };
}

/** Ours, and the other one where its binary is given; warmed up, the model loaded. */
export async function sides(owner: Owner, given: Given, wanted: Serving): Promise<Pair> {
  const pair: Pair = {
    ours: await ours(owner, wanted),
    peer: given.llamaServer === null ? null : await peer(owner, given.llamaServer, wanted),
  };
  for (const side of [pair.ours, pair.peer]) {
    if (side) await plain(side, chatBody('hello', { max_tokens: 4 })).done;
  }
  return pair;
}

/** The servers of one comparison. */
export interface Pair {
  readonly ours: Side;
  readonly peer: Side | null;
}

/** A chat with one message that never ends by itself, always the likeliest token. */
export function chatBody(text: string, more: object = {}): object {
  return bodyOf([{ role: 'user', content: text }], more);
}

/** A chat with these messages. */
export function bodyOf(messages: readonly object[], more: object = {}): object {
  return { model: MODEL, messages, temperature: 0, repeat_penalty: 1, ignore_eos: true, ...more };
}

/** Waits until nothing runs in a server. */
export async function untilIdle(side: Side): Promise<void> {
  await until('idle server', async () => (await side.busy()) === 0, { deadlineMs: 120_000 });
}

/** Everyone in turn, `repeats` times after a turn that warms up: A-B-A-B. */
export async function inTurns<const Names extends string, Value>(
  repeats: number,
  runs: Readonly<Record<Names, ((turn: number) => Promise<Value>) | null>>,
): Promise<Record<Names, Value[]>> {
  const entries = Object.entries(runs) as [Names, ((turn: number) => Promise<Value>) | null][];
  const values = Object.fromEntries(entries.map(([name]) => [name, [] as Value[]]));
  for (let turn = 0; turn <= repeats; turn++) {
    for (const [name, run] of entries) {
      const value = run && (await run(turn));
      if (run && turn > 0) values[name]?.push(value as Value);
    }
  }
  return values as Record<Names, Value[]>;
}

/** The same for the servers of a pair. */
export function pairInTurns<Value>(
  repeats: number,
  pair: Pair,
  run: (side: Side, turn: number) => Promise<Value>,
): Promise<{ ours: Value[]; peer: Value[] }> {
  const { ours: first, peer: second } = pair;
  return inTurns(repeats, {
    ours: (turn) => run(first, turn),
    peer: second && ((turn) => run(second, turn)),
  });
}

/** The libllama that a server of ours uses, and its version. */
export async function libraryVersion(side: Side): Promise<string> {
  // The version is known once something has been loaded.
  await plain(side, chatBody('hello', { max_tokens: 1 })).done;
  const { body } = await getJson(`${side.url}/v1/status`);
  // The shape is that of docs/API.md.
  const { library } = body as { library: { path: string | null; version: string | null } };
  return `${basename(library.path ?? '')} ${library.version ?? ''}`.trim();
}

/** What the other server calls itself; '' where there is none. */
export function peerVersion(binary: string | null): string {
  if (binary === null) return '';
  const { stdout, stderr } = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  return `llama-server ${/version: (.*)/.exec(`${stdout}\n${stderr}`)?.[1] ?? 'of unknown version'}`;
}

/** A port that nobody listens on, for a server that cannot choose one itself. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
