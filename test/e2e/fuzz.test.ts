/**
 * Thousands of bodies that are nearly right, for every route that takes JSON: each gets a 2xx or a 4xx,
 * nothing is kept of them, and the next ordinary request is answered as if nothing had been.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inProject } from '../../scripts/root.js';
import { writeGguf } from '../../src/models/gguf-write.js';
import { randomContent } from '../../src/models/random.js';
import { RANK, writeEncoder } from '../helpers/encoder-model.js';
import { BodyFuzzer, FUZZED_PATHS, type FuzzedBody } from '../helpers/fuzz.js';
import { madeModel } from '../helpers/models.js';
import { hasProc, residentBytes } from '../helpers/proc.js';
import { makeHome, startServer, type TestServer, untilFree } from '../helpers/server.js';
import { tries } from '../helpers/thorough.js';
import { pause } from '../helpers/waiting.js';
import { ask, chat, chatBody, textOf } from '../helpers/wire.js';

const BODIES = tries(1_600, 10_000);
const WARM_UP = tries(1_500, 2_500);
const CLIENTS = 4;
const SEED = 20_240;
/** How many of the bodies are answered at least, and refused at least, of all and of each route. */
const LEAST = 0.15;

/** How many answers of each class a route gave. */
type Counts = Map<string, { answered: number; refused: number }>;

/** Random weights, and three tokens by which a gap is marked. */
function gapModel(): Promise<string> {
  const small = { embedding: 64, layers: 1, heads: 2, kvHeads: 2, feedForward: 64 };
  const { metadata, tensors } = randomContent(small);
  const marks = ['pre', 'suf', 'mid'].map(
    (name, at) => [`tokenizer.ggml.fim_${name}_token_id`, ['u32', 400 + at]] as const,
  );
  const content = { metadata: { ...metadata, ...Object.fromEntries(marks) }, tensors };
  return madeModel(['gaps', small], (path) => writeGguf(path, content));
}

/** Sends bodies, a few at a time; gives what was answered. Fails at the first answer that must not be. */
async function send(server: TestServer, fuzzer: BodyFuzzer, count: number): Promise<Counts> {
  const counts: Counts = new Map(FUZZED_PATHS.map((path) => [path, { answered: 0, refused: 0 }]));
  let left = count;
  const client = async (): Promise<void> => {
    while (left-- > 0) {
      const body = fuzzer.next();
      const status = await statusOf(server, body);
      const one = counts.get(body.path);
      assert.ok(one, body.path);
      if (status < 300) one.answered++;
      else one.refused++;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return counts;
}

async function statusOf(server: TestServer, { path, bytes }: FuzzedBody): Promise<number> {
  const sent = () => `${path} ${JSON.stringify(bytes.toString('latin1').slice(0, 4000))}`;
  try {
    const headers = { 'content-type': 'application/json' };
    const reply = await ask(server.url + path, { body: bytes, headers });
    const text = await textOf(reply);
    const { status } = reply;
    const isFine = (status >= 200 && status < 300) || (status >= 400 && status < 500);
    assert.ok(isFine, `${status} ${text.slice(0, 500)}`);
    // Behind headers that said 200, an error is an event.
    assert.doesNotMatch(text.slice(-500), /"type":"server_error"/);
    return status;
  } catch (cause) {
    throw new Error(`the body was ${sent()}`, { cause });
  }
}

/** By which garbage is collected when the server is told to. */
const COLLECT = inProject('test/helpers/collect-on-signal.cjs');

/** Resident bytes of the server, without its garbage, and of its engine: the least of several looks. */
async function settledBytes(server: TestServer): Promise<{ server: number; engine: number }> {
  const { model } = await untilFree(server);
  const engine = model?.pid;
  assert.ok(engine, 'no engine');
  const looks: { server: number; engine: number }[] = [];
  for (let look = 0; look < 20; look++) {
    process.kill(server.pid, 'SIGUSR2');
    looks.push({ server: residentBytes(server.pid), engine: residentBytes(engine) });
    await pause(100);
  }
  return {
    server: Math.min(...looks.map((look) => look.server)),
    engine: Math.min(...looks.map((look) => look.engine)),
  };
}

describe(`${BODIES} fuzzed bodies`, { skip: !hasProc && 'needs /proc' }, () => {
  test('get 2xx and 4xx only, and leave nothing behind', { timeout: 600_000 }, async (t) => {
    const home = makeHome(t);
    const ranker = await madeModel(['encoder', RANK], (path) => writeEncoder(path, RANK));
    home.writeMap({ noise: await gapModel(), ranker });
    const env = {
      PREFIX_CACHE_BYTES: '0',
      N_SLOTS: '4',
      N_CTX: '1024',
      NODE_OPTIONS: `--require ${COLLECT}`,
    };
    const server = await startServer(t, { home, env });
    const ordinary = async () => {
      const body = chatBody('noise', '星', { temperature: 0, max_tokens: 12 });
      const { status, body: said } = await chat(server, body);
      assert.equal(status, 200);
      return said.choices[0]?.message.content;
    };
    const before = await ordinary();

    const models = { model: 'noise', reranker: 'ranker' };
    // Caches fill and code is compiled before anything is compared.
    await send(server, new BodyFuzzer(SEED + 1, models), WARM_UP);
    const fuzzer = new BodyFuzzer(SEED, models);
    const halves: Counts[] = [await send(server, fuzzer, BODIES / 2)];
    const first = await settledBytes(server);
    halves.push(await send(server, fuzzer, BODIES / 2));
    const second = await settledBytes(server);
    assert.equal(await ordinary(), before);

    let answered = 0;
    for (const path of FUZZED_PATHS) {
      const of = halves.map((counts) => counts.get(path) ?? { answered: 0, refused: 0 });
      const yes = of.reduce((sum, one) => sum + one.answered, 0);
      const no = of.reduce((sum, one) => sum + one.refused, 0);
      t.diagnostic(`${path}: ${yes} answered, ${no} refused`);
      assert.ok(yes > 0 && no > 0, `${path}: ${yes} answered, ${no} refused`);
      answered += yes;
    }
    assert.ok(answered >= LEAST * BODIES, `only ${answered} were answered`);
    assert.ok(answered <= (1 - LEAST) * BODIES, `${answered} were answered`);
    for (const who of ['server', 'engine'] as const) {
      const mebibytes = [first[who], second[who]].map((bytes) => Math.round(bytes / 2 ** 20));
      t.diagnostic(`${who}: ${mebibytes.join(' MiB, then ')} MiB`);
      assert.ok(second[who] <= first[who] * 1.1, `${who}: ${mebibytes.join(' MiB, then ')} MiB`);
    }
  });
});
