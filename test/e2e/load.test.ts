/** Many requests with drops in between: nothing stays stuck, open or allocated. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { scriptedModel } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { hasProc, openFiles, residentBytes } from '../helpers/proc.js';
import { makeHome, startServer, type TestServer, untilFree } from '../helpers/server.js';
import { pause, until } from '../helpers/waiting.js';
import { chatBody, chunksOf, openStream } from '../helpers/wire.js';

const CLIENTS = 8;
const TEXT = Array.from({ length: 25 }, (_, i) => `${i}番目の文です。`).join('');

/** What those are told who will leave: it never ends by itself. */
const ENDLESS = 'この話には終わりがありません、だから途中で席を立つしかないのです、';

interface Outcome {
  readonly text: string;
  readonly dropped: boolean;
}

/** One streamed chat; a dropped one is left after a few chunks, in mid-answer. */
async function one(server: TestServer, turn: number, drop: boolean): Promise<Outcome> {
  const question = `${drop ? '永遠に' : '質問'} ${turn % 17}`;
  const body = chatBody('counter', question, { temperature: 0 });
  const reply = await openStream(server, body);
  assert.equal(reply.status, 200);
  let text = '';
  let chunks = 0;
  for await (const chunk of chunksOf(reply)) {
    assert.equal(chunk.error, undefined);
    text += chunk.choices?.[0]?.delta.content ?? '';
    chunks += 1;
    // Leaving the loop closes the connection.
    if (drop && chunks === 3 + (turn % 20)) return { text, dropped: true };
  }
  return { text, dropped: false };
}

/** A hundred streams, eight at a time, every third dropped half-way. */
async function hundred(server: TestServer): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < 100) {
      const turn = next++;
      outcomes.push(await one(server, turn, turn % 3 === 0));
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return outcomes;
}

function check(outcomes: readonly Outcome[]): void {
  assert.equal(outcomes.length, 100);
  assert.equal(outcomes.filter(({ dropped }) => dropped).length, 34);
  for (const { text, dropped } of outcomes) {
    const said = dropped ? ENDLESS.repeat(40).slice(0, text.length) : TEXT;
    assert.equal(text, said);
  }
}

describe('Two hundred streams, a third of them dropped half-way', {
  skip: !hasProc && 'needs /proc',
}, () => {
  for (const slots of [1, 4]) {
    describe(`with ${slots} slot${slots > 1 ? 's' : ''}`, () => {
      const owner = suiteOwner();
      let server: TestServer;

      before(async () => {
        const home = makeHome(owner);
        const answers = [{ say: TEXT }, { when: '永遠に', say: ENDLESS, endless: true }];
        const model = await scriptedModel({ answers, ballastMiB: 2 });
        home.writeMap({ counter: model });
        // Full after the first hundred: conversations without a slot are kept up to this.
        const env = { N_SLOTS: String(slots), N_CTX: '1024', PREFIX_CACHE_BYTES: '1000000' };
        server = await startServer(owner, { home, env });
      });

      test('leave memory, descriptors and the queue as after the first hundred', async () => {
        check(await watched(server, () => hundred(server)));
        const first = await snapshot(server);
        check(await watched(server, () => hundred(server)));
        const second = await snapshot(server);
        assert.equal(second.engine, first.engine);
        assert.deepEqual(second.files, first.files);
        const ratio = second.bytes / first.bytes;
        assert.ok(ratio < 1.1, `resident memory grew to ${ratio.toFixed(3)} of what it was`);
        const { queue, model } = await server.status();
        assert.equal(queue.length, 0);
        assert.equal(model?.active, 0);
        assert.deepEqual([...new Set(model?.slots.map(({ state }) => state))], ['idle']);
      });
    });
  }
});

/** Does the work while /v1/status is asked again and again; it has to answer all the while. */
async function watched<T>(server: TestServer, work: () => Promise<T>): Promise<T> {
  let answers = 0;
  let watching = true;
  const watcher = (async () => {
    while (watching) {
      const { status, queue } = await server.status();
      assert.equal(status, 'ok');
      assert.ok(queue.length <= CLIENTS, `${queue.length} waiting`);
      answers += 1;
      await pause(20);
    }
  })();
  try {
    return await work();
  } finally {
    watching = false;
    await watcher;
    assert.ok(answers > 10, `${answers} answers of /v1/status`);
  }
}

interface Snapshot {
  readonly engine: number;
  readonly files: readonly string[];
  readonly bytes: number;
}

/** Memory and descriptors of server and engine when nothing runs and nobody is connected. */
async function snapshot(server: TestServer): Promise<Snapshot> {
  const { model } = await untilFree(server);
  assert.ok(model?.pid, 'no engine');
  const pids = [server.pid, model.pid];
  return {
    engine: model.pid,
    files: await settled(() => pids.flatMap(kindsOfFiles)),
    bytes: pids.map(residentBytes).reduce((sum, bytes) => sum + bytes),
  };
}

/** What each descriptor is, without the numbers that name one socket or pipe among many. */
function kindsOfFiles(pid: number): string[] {
  return [...openFiles(pid).values()].map((target) => target.replace(/\d+/g, '#')).sort();
}

/** A reading that stays the same for a while. */
async function settled(read: () => string[]): Promise<string[]> {
  let last = read();
  let same = 0;
  return until('steady descriptors', async () => {
    await pause(50);
    const now = read();
    same = now.join() === last.join() ? same + 1 : 0;
    last = now;
    return same >= 4 ? now : null;
  });
}
