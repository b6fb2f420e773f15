/**
 * Requests that share what their prompts begin with, and a slot that is free again when its client has
 * gone, over HTTP and by counting tokens: `usage`, and the counters of /v1/status.
 */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { rambler, TEXT, talker } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer, untilFree } from '../helpers/server.js';
import { shuffled } from '../helpers/shuffle.js';
import { until } from '../helpers/waiting.js';
import { type Answer, chat, chatBody, chunksOf, getJson, openStream } from '../helpers/wire.js';

const LONG = '前置きです。'.repeat(80);
/** What each question is answered. */
const QUESTIONS: readonly (readonly [question: string, answer: string])[] = [
  [`${LONG}こんにちは`, TEXT.greeting],
  [`${LONG}設定を教えてください`, TEXT.settings],
  [`${LONG}Say it in English`, TEXT.english],
  [`${LONG}設定は?`, TEXT.settings],
  [`${LONG}では?`, TEXT.greeting],
];

interface Counters {
  readonly prompt_tokens: number;
  readonly cached_tokens: number;
  readonly shared_tokens: number;
}

async function counters(server: TestServer): Promise<Counters> {
  const { body } = await getJson(`${server.url}/v1/status`);
  return (body as { model: { counters: Counters } }).model.counters;
}

const cachedOf = ({ usage }: Answer) => usage.prompt_tokens_details?.cached_tokens ?? 0;

describe('Requests with one beginning', () => {
  const owner = suiteOwner();
  let server: TestServer;
  const ask = async ([question, answer]: readonly [string, string]): Promise<Answer> => {
    const { body } = await chat(server, chatBody('talker', question, { temperature: 0 }));
    assert.equal(body.choices[0]?.message.content, answer);
    return body;
  };

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({ talker: await talker() });
    const env = { N_SLOTS: '4', N_CTX: '2048', N_BATCH: '64', PREFIX_CACHE_BYTES: '0' };
    server = await startServer(owner, { home, env });
  });

  test('compute it once, four at a time and none of it known before', async () => {
    const answers = await Promise.all(QUESTIONS.slice(0, 4).map(ask));
    const lengths = answers.map(({ usage }) => usage.prompt_tokens);
    const computed = answers.reduce((sum, one) => sum + one.usage.prompt_tokens - cachedOf(one), 0);
    const told = await counters(server);
    assert.equal(told.prompt_tokens, computed, 'what answers say is what was computed');
    assert.ok(told.shared_tokens > 0);
    // The beginning once, and of each what is its own: a question and the marks around it.
    assert.ok(computed < Math.max(...lengths) + 4 * 60, `${computed} of ${lengths}`);
  });

  test('say what was computed and what was not, in whatever order five of them come', async () => {
    for (let seed = 0; seed < 16; seed++) {
      const earlier = await counters(server);
      const order = shuffled(QUESTIONS, seed);
      // A text that no other round begins with, so that nothing of it is known.
      const fresh = order.map(([text, answer]) => [`${seed} ${text}`, answer] as const);
      const running: Promise<Answer>[] = [];
      for (const [index, question] of fresh.entries()) {
        running.push(ask(question));
        if ((seed + index) % 3 === 0) await running.at(-1);
        else if ((seed + index) % 3 === 1) await new Promise((resolve) => setTimeout(resolve, 3));
      }
      const answers = await Promise.all(running);
      const told = await counters(server);
      const computed = answers.reduce(
        (sum, one) => sum + one.usage.prompt_tokens - cachedOf(one),
        0,
      );
      assert.equal(told.prompt_tokens - earlier.prompt_tokens, computed, `seed ${seed}`);
      const longest = Math.max(...answers.map(({ usage }) => usage.prompt_tokens));
      assert.ok(computed < longest + 5 * 60, `seed ${seed}: ${computed}`);
    }
  });
});

describe('A client that goes', () => {
  const owner = suiteOwner();
  let server: TestServer;
  before(async () => {
    const home = makeHome(owner);
    home.writeMap({ rambler: await rambler() });
    const env = { N_SLOTS: '2', N_CTX: '4096', N_BATCH: '512' };
    server = await startServer(owner, { home, env });
  });

  for (const stream of [true, false]) {
    test(`frees its slot while another streams, ${stream ? 'streaming' : 'waiting'} itself`, async () => {
      const stays = new AbortController();
      const goes = new AbortController();
      const reading = (async () => {
        const reply = await openStream(server, chatBody('rambler', '話して'), {
          signal: stays.signal,
        });
        let pieces = 0;
        for await (const _ of chunksOf(reply)) pieces++;
        return pieces;
      })().catch(() => 0);
      const busy = async (count: number) => (await server.status()).model?.active === count;
      await until('the first stream', () => busy(1));
      const body = chatBody('rambler', `${'長い前置き。'.repeat(100)}話して`, { stream });
      const leaving = getJson(`${server.url}/v1/chat/completions`, {
        json: body,
        signal: goes.signal,
      }).catch(() => null);
      await until('the second', () => busy(2));
      goes.abort();
      await leaving;
      await until('its slot', () => busy(1));
      // It can be had at once, while the other goes on.
      const short = await chat(server, chatBody('rambler', '短く', { temperature: 0 }));
      assert.equal(short.body.choices[0]?.message.content, 'はい、短く答えます。');
      assert.equal((await server.status()).model?.active, 1);
      stays.abort();
      await reading;
      await untilFree(server);
    });
  }
});
