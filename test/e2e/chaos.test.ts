/** An engine that is killed, crashed and stopped again and again costs what runs in it, and no more. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { randomBits } from '../../src/models/prng.js';
import { scriptedModel } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { hasProc, isAlive, niceness, openFiles, residentBytes } from '../helpers/proc.js';
import {
  type Home,
  makeHome,
  type Owner,
  startServer,
  type TestServer,
  untilFree,
} from '../helpers/server.js';
import { tries } from '../helpers/thorough.js';
import { pause, until, within } from '../helpers/waiting.js';
import { ask, chat, chatBody, getJson, streamChat, textOf } from '../helpers/wire.js';

const CLIENTS = 4;
const ATTACKS = tries(12, 50);
/** Fewer of the last: each costs the hang limit. */
const SIGNALS = [
  'SIGKILL',
  'SIGSEGV',
  'SIGKILL',
  'SIGSEGV',
  'SIGKILL',
  'SIGSEGV',
  'SIGSTOP',
] as const;
const SEED = 20_261_121;
/** Longest time until an attack, ms: loads, prompts and answers are all hit. */
const LONGEST_PAUSE_MS = 200;
/** Far more than a request may take by its limits (queue, hang, back-off): machines are busy at times, ms. */
const REQUEST_LIMIT_MS = 90_000;
const PATIENT = { deadlineMs: REQUEST_LIMIT_MS };
/** How long an engine may do nothing, s: at least, and in starts of one on a machine as busy as it is now. */
const LEAST_HANG_S = 2.5;
const STARTS_PER_HANG = 6;
const SETTINGS = {
  N_SLOTS: '2',
  N_CTX: '512',
  NICE: '7',
  QUEUE_TIMEOUT: '30',
};

/** Of its resident memory, between the halves. */
const MOST_GROWTH = 1.1;

const TEXT = Array.from({ length: 5 }, (_, i) => `${i}番目の文です。`).join('');
/** What may become of a request whose engine is attacked. */
const ERRORS = /^(engine_crashed|engine_hung|model_load_failed|model_held|queue_timeout)$/;

/** How the requests of one half ended: `answer`, or the code of the error. */
type Tally = Map<string, number>;

/** One request, streamed or not; anything but the exact text or an error that names it is a failure. */
async function one(server: TestServer, turn: number): Promise<string> {
  const body = chatBody('chaos', `質問 ${turn}`, { temperature: 0 });
  if (turn % 2 === 0) {
    const { status, body: answer } = await chat(server, body, { silenceMs: REQUEST_LIMIT_MS });
    if (status !== 200) return answer.error?.code ?? `HTTP ${status}`;
    assert.equal(answer.choices[0]?.message.content, TEXT);
    return 'answer';
  }
  const { text, error, done } = await streamChat(server, body);
  assert.ok(TEXT.startsWith(text), `a wrong text: ${text}`);
  if (error) return error.code;
  assert.deepEqual([text, done], [TEXT, true]);
  return 'answer';
}

/** Clients that ask again and again until they are told to stop; no answer is repeated by them. */
function startClients(server: TestServer): { readonly stop: () => Promise<Tally> } {
  const tally: Tally = new Map();
  let running = true;
  let turn = 0;
  const client = async (): Promise<void> => {
    while (running) {
      turn += 1;
      const end = await within(one(server, turn), REQUEST_LIMIT_MS, 'end of a request');
      tally.set(end, (tally.get(end) ?? 0) + 1);
      // What is refused at once must not become a flood.
      if (end !== 'answer') await pause(20);
    }
  };
  const all = Promise.all(Array.from({ length: CLIENTS }, client));
  // Seen when they are stopped.
  all.catch(() => {});
  const stop = async (): Promise<Tally> => {
    running = false;
    await all;
    return tally;
  };
  return { stop };
}

/** Waits for an engine with work; one whose model is held back is asked for, as an operator would. */
function servingEngine(server: TestServer): Promise<number> {
  return until(
    'serving engine',
    async () => {
      const { model } = await server.status();
      // The server learns of an end a little later than we do.
      if (model?.pid && !isAlive(model.pid)) return null;
      if (model?.state === 'ready' && model.active > 0) return model.pid;
      if (model === null) await load(server);
      return null;
    },
    { ...PATIENT, everyMs: 5 },
  );
}

async function admin(server: TestServer, path: string): Promise<void> {
  const headers = { authorization: `Bearer ${server.run.token}` };
  await textOf(await ask(`${server.url}/admin/${path}`, { method: 'POST', headers }));
}

const load = (server: TestServer): Promise<void> => admin(server, 'models/chaos/load');

/** Attacks whatever engine there is at that moment; true where it was serving. */
async function attack(server: TestServer, random: () => number): Promise<boolean> {
  const serving = await servingEngine(server);
  await pause(random() % LONGEST_PAUSE_MS);
  const { model } = await server.status();
  const hit = model?.state === 'ready' && model.pid === serving && model.active > 0;
  process.kill(serving, SIGNALS[random() % SIGNALS.length] ?? 'SIGKILL');
  await until('end of the attacked engine', () => !isAlive(serving), PATIENT);
  return hit;
}

/** What the server holds when nobody asks for anything, with a model; and its memory without one. */
interface Snapshot {
  readonly files: string;
  readonly bytes: number;
}

/** `before`: what it is compared with. It may take a while until what ended is closed and freed. */
async function snapshot(server: TestServer, before?: Snapshot): Promise<Snapshot> {
  await load(server);
  const answer = async (): Promise<boolean> => {
    const { status } = await chat(server, chatBody('chaos', '最後', { temperature: 0 }));
    return status === 200;
  };
  await until('an answer', answer, PATIENT);
  await untilFree(server);
  let last = '';
  const files = await until('steady descriptors', async () => {
    const now = [...openFiles(server.pid).values()].map((name) => name.replace(/\d+/g, '#'));
    const same = now.sort().join() === last;
    last = now.join();
    await pause(100);
    return same && (!before || last === before.files) ? last : null;
  }).catch(() => last);
  await admin(server, 'unload');
  // A second after its last model it frees what it does not use; before that, garbage would be measured.
  await pause(2500);
  const small = (): boolean => !before || residentBytes(server.pid) < before.bytes * MOST_GROWTH;
  await until('as little memory as before', small, { everyMs: 500 }).catch(() => {});
  return { files, bytes: residentBytes(server.pid) };
}

/** Seconds from the start of an engine to its first answer. */
async function startTime(owner: Owner, home: Home): Promise<number> {
  const server = await startServer(owner, { home, env: SETTINGS });
  const begun = performance.now();
  assert.equal((await chat(server, chatBody('chaos', '最初'))).status, 200);
  const took = performance.now() - begun;
  await server.stop();
  return took / 1000;
}

describe(`${ATTACKS} attacks on the engine under ${CLIENTS} clients`, {
  skip: !hasProc && 'needs /proc',
}, () => {
  const owner = suiteOwner();
  let server: TestServer;

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({ chaos: await scriptedModel({ answers: [{ say: TEXT }], ballastMiB: 8 }) });
    const limit = Math.max(LEAST_HANG_S, STARTS_PER_HANG * (await startTime(owner, home)));
    const env = { ...SETTINGS, ENGINE_HANG_TIMEOUT: limit.toFixed(1) };
    server = await startServer(owner, { home, env });
  });

  test('begin with one that steps back behind other work, with every thread it has', async () => {
    const clients = startClients(server);
    let found: readonly number[];
    try {
      found = niceness(await servingEngine(server));
    } finally {
      await clients.stop();
    }
    const own = niceness(server.pid)[0] ?? 0;
    assert.ok(found.length > 5, `${found.length} threads`);
    assert.deepEqual([...new Set(found)], [Math.max(own, 7)]);
  });

  test('leave the server, its memory and its descriptors as they were, and every request an end', async (t) => {
    const random = randomBits(SEED);
    const total: Tally = new Map();
    let hits = 0;
    const half = async (before?: Snapshot): Promise<Snapshot> => {
      const clients = startClients(server);
      try {
        for (let attacks = 0; attacks < ATTACKS / 2; attacks += 1) {
          if (await attack(server, random)) hits += 1;
        }
      } finally {
        for (const [end, count] of await clients.stop()) {
          total.set(end, (total.get(end) ?? 0) + count);
        }
      }
      return snapshot(server, before);
    };
    const first = await half();
    const second = await half(first);
    t.diagnostic(`${hits} hits; ends: ${JSON.stringify(Object.fromEntries(total))}`);
    const odd = [...total.keys()].filter((end) => end !== 'answer' && !ERRORS.test(end));
    assert.deepEqual(odd, []);
    assert.ok(hits >= 0.9 * ATTACKS, `${hits} of ${ATTACKS} attacks hit a serving engine`);
    for (const end of ['answer', 'engine_crashed', 'engine_hung']) {
      assert.ok(total.has(end), `no request ended with ${end}`);
    }
    assert.equal(second.files, first.files);
    const ratio = second.bytes / first.bytes;
    t.diagnostic(
      `the server holds ${(second.bytes / 2 ** 20).toFixed(1)} MiB, ${ratio.toFixed(3)} of before`,
    );
    assert.ok(ratio < MOST_GROWTH, `resident memory grew to ${ratio.toFixed(3)} of what it was`);
    assert.equal((await getJson(`${server.url}/health`)).status, 200);
  });
});
