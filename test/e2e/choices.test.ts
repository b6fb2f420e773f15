/** Several choices of one request on a server with several slots: mixed on the wire, each one whole. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { TEXT, talker } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer, untilFree } from '../helpers/server.js';
import { ask, chatBody, eventsOf, getJson } from '../helpers/wire.js';

interface Answer {
  readonly choices: readonly {
    readonly index: number;
    readonly message: { readonly content: string };
  }[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
}

describe('Choices of one request, with four slots', () => {
  const owner = suiteOwner();
  let server: TestServer;
  const bodyOf = (more: object): object =>
    chatBody('talker', 'こんにちは', { temperature: 0, ...more });

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({ talker: await talker() });
    server = await startServer(owner, { home, env: { N_CTX: '512', N_SLOTS: '4' } });
  });

  async function whole(more: object): Promise<Answer> {
    const url = `${server.url}/v1/chat/completions`;
    const { status, body } = await getJson(url, { json: bodyOf(more) });
    assert.equal(status, 200, JSON.stringify(body));
    return body as Answer; // the tests say what must be in it
  }

  test('are whole, in order, and count their prompt once', async () => {
    const one = await whole({});
    const four = await whole({ n: 4 });
    assert.deepEqual(
      four.choices.map(({ index, message }) => [index, message.content]),
      [0, 1, 2, 3].map((index) => [index, TEXT.greeting]),
    );
    assert.equal(four.usage.prompt_tokens, one.usage.prompt_tokens);
    assert.equal(four.usage.completion_tokens, 4 * one.usage.completion_tokens);
  });

  test('are made at once: a stream has them mixed, each with its role, its text and its end', async () => {
    const url = `${server.url}/v1/chat/completions`;
    const reply = await ask(url, { json: bodyOf({ n: 4, stream: true }) });
    const parts: { index: number; role: boolean; text: string; end: string | null }[] = [];
    for await (const data of eventsOf(reply)) {
      if (data === '[DONE]') continue;
      for (const { index, delta, finish_reason: end } of JSON.parse(data).choices) {
        parts.push({ index, role: 'role' in delta, text: delta.content ?? '', end });
      }
    }
    for (const index of [0, 1, 2, 3]) {
      const own = parts.filter((part) => part.index === index);
      assert.deepEqual([own.filter(({ role }) => role).length, own[0]?.role], [1, true]);
      assert.equal(own.map(({ text }) => text).join(''), TEXT.greeting);
      assert.deepEqual([own.filter(({ end }) => end).length, own.at(-1)?.end], [1, 'stop']);
    }
    const firstEnd = parts.findIndex(({ end }) => end !== null);
    const begun = new Set(parts.slice(0, firstEnd).map(({ index }) => index));
    assert.equal(begun.size, 4, 'all have begun before one has ended');
    assert.equal((await untilFree(server)).model?.active, 0);
  });

  test('of several requests at once all come to their end', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => whole({ n: 3 })));
    for (const { choices } of answers) {
      assert.deepEqual(
        choices.map(({ message }) => message.content),
        Array(3).fill(TEXT.greeting),
      );
    }
  });

  test('all leave their slots when the client goes', async () => {
    const leaving = new AbortController();
    const url = `${server.url}/v1/chat/completions`;
    const endless = bodyOf({ n: 4, stream: true, ignore_eos: true });
    const reply = await ask(url, { json: endless, signal: leaving.signal });
    for await (const _ of reply.bytes) break;
    leaving.abort();
    const { model } = await untilFree(server);
    assert.deepEqual(
      model?.slots.map(({ state }) => state),
      ['idle', 'idle', 'idle', 'idle'],
    );
  });
});
