/**
 * How the server behaves around the tokens: its start, its status under load, memory
 * after an idle unload. Every figure is taken from outside, over HTTP and /proc.
 */
import { rambler, talker } from '../../test/helpers/models.js';
import { hasProc, residentBytes, wakeUps } from '../../test/helpers/proc.js';
import {
  makeHome,
  readRunFile,
  startProcess,
  startServer,
  type TestServer,
} from '../../test/helpers/server.js';
import { pause, until } from '../../test/helpers/waiting.js';
import { chat, chatBody, chunksOf, getJson, openStream } from '../../test/helpers/wire.js';
import { cleaningUp } from './cleanup.js';
import type { Row } from './report.js';
import { freePort } from './sides.js';

const QUIET = { LOG_LEVEL: 'warn' };

/** From the start of the process to the first answer of /health, and to the file the CLI looks for. */
export async function measureStart(repeats: number): Promise<Row[]> {
  const health: number[] = [];
  const ready: number[] = [];
  for (let i = 0; i < repeats; i++) {
    await cleaningUp(async (owner) => {
      const home = makeHome(owner);
      home.writeMap({ talker: await talker() });
      const port = await freePort();
      const started = performance.now();
      startProcess(owner, home, ['serve', '--port', String(port)], { env: QUIET });
      const answers = async () => (await getJson(`http://127.0.0.1:${port}/health`)).status === 200;
      await until('answer of /health', answers, { everyMs: 2 });
      health.push(performance.now() - started);
      await until('run.json', () => readRunFile(home), { everyMs: 2 });
      ready.push(performance.now() - started);
    });
  }
  return [
    { name: 'serve until /health', unit: 'ms', values: health, target: '<= 300' },
    { name: 'serve until the models are known', unit: 'ms', values: ready },
  ];
}

/** Times of /v1/status while eight streams run, every third of them dropped half-way. */
export function measureStatus(seconds: number): Promise<Row[]> {
  return cleaningUp(async (owner) => {
    const home = makeHome(owner);
    home.writeMap({ rambler: await rambler() });
    const env = { ...QUIET, N_SLOTS: '4', N_CTX: '2048' };
    const server = await startServer(owner, { home, env });
    await chat(server, chatBody('rambler', '短く'));
    const end = performance.now() + seconds * 1000;
    let turn = 0;
    const client = async (): Promise<void> => {
      while (performance.now() < end) await stream(server, turn++ % 3 === 0 ? 20 : 60);
    };
    const clients = Promise.all(Array.from({ length: 8 }, client));
    const values: number[] = [];
    while (performance.now() < end) {
      const asked = performance.now();
      await server.status();
      values.push(performance.now() - asked);
      await pause(10);
    }
    await clients;
    return [{ name: '/v1/status during 8 streams', unit: 'ms', values, target: '<= 50' }];
  });
}

/** Reads a stream of 60 tokens up to `chunks` chunks, then leaves. */
async function stream(server: TestServer, chunks: number): Promise<void> {
  const leaving = new AbortController();
  const { signal } = leaving;
  const body = chatBody('rambler', '話して', { max_tokens: 60 });
  try {
    let read = 0;
    for await (const _ of chunksOf(await openStream(server, body, { signal }))) {
      read += 1;
      if (read === chunks) leaving.abort();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

/** Memory of the server alone, and how often it wakes up, after its model has gone. */
export async function measureIdle(repeats: number): Promise<Row[]> {
  if (!hasProc) return [];
  const memory: number[] = [];
  const wakes: number[] = [];
  for (let i = 0; i < repeats; i++) {
    await cleaningUp(async (owner) => {
      const home = makeHome(owner);
      home.writeMap({ talker: await talker() });
      const server = await startServer(owner, { home, env: { ...QUIET, IDLE_TIMEOUT: '0.5' } });
      for (let turn = 0; turn < 20; turn++) await chat(server, chatBody('talker', `${turn}`));
      await until('unload', async () => (await server.status()).model === null);
      // It rests a second after that, and V8 comes back once more some ten seconds later.
      await pause(15_000);
      memory.push(residentBytes(server.pid) / 1e6);
      const before = wakeUps(server.pid);
      await pause(10_000);
      wakes.push((wakeUps(server.pid) - before) / 10);
    });
  }
  return [
    { name: 'server memory after idle unload', unit: 'MB', values: memory, target: '<= 80' },
    { name: 'wake-ups of the idle server', unit: '1/s', values: wakes, target: '< 5' },
  ];
}
