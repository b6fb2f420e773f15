/** POST /v1/chat/completions on a scripted model: texts, ends, counts and refusals on the wire. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { rambler, randomModel, scriptedModel, TEXT, talker } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import { makeHome, startServer, type TestServer } from '../helpers/server.js';
import { chat, chatBody, getJson, streamChat } from '../helpers/wire.js';

/** The stop string 終わり lies over three tokens, the middle one with half of a character. */
function stopper(): Promise<string> {
  const [first = 0, ...rest] = Buffer.from('わ');
  return scriptedModel({
    name: 'stopper',
    answers: [
      {
        say: [
          ...['これは', '終', '点では', 'なく、終'],
          ...[Uint8Array.of(first), Uint8Array.from(rest), 'り', 'の後は', '見えません'],
        ],
      },
      { when: '壊れた', say: ['前', Uint8Array.of(0xf0, 0x9f), '後ろ'] },
    ],
  });
}

describe('A chat', () => {
  const owner = suiteOwner();
  let server: TestServer;
  const ask = (user: string, more: object = {}) =>
    chatBody('talker', user, { temperature: 0, ...more });

  before(async () => {
    const home = makeHome(owner);
    home.writeMap({
      talker: await talker(),
      'with/stop 停止': { file: await stopper(), stop: ['終わり'] },
      stopper: await stopper(),
      rambler: await rambler(),
      noise: await randomModel(),
    });
    server = await startServer(owner, { home, env: { N_CTX: '512' } });
  });

  test('says the text of the model, byte for byte, under the default settings', async () => {
    const { status, body } = await chat(server, chatBody('talker', 'こんにちは'));
    assert.equal(status, 200);
    assert.equal(body.object, 'chat.completion');
    assert.equal(body.model, 'talker');
    assert.match(body.id, /^chatcmpl-/);
    assert.deepEqual(body.choices[0]?.message.content, TEXT.greeting);
    assert.equal(body.choices[0]?.message.role, 'assistant');
    assert.equal(body.choices[0]?.finish_reason, 'stop');
  });

  test('looks at the last user message', async () => {
    const messages = [
      { role: 'system', content: 'English' },
      { role: 'user', content: 'English' },
      { role: 'assistant', content: TEXT.english },
      { role: 'user', content: '設定は?' },
    ];
    const { body } = await chat(server, { model: 'talker', messages, temperature: 0 });
    assert.equal(body.choices[0]?.message.content, TEXT.settings);
  });

  test('streams the same text, every chunk valid UTF-8, under one id', async () => {
    const streamed = await streamChat(
      server,
      ask('English', { stream_options: { include_usage: true } }),
    );
    assert.match(String(streamed.headers['content-type']), /^text\/event-stream; ?charset=utf-8$/);
    assert.equal(streamed.text, TEXT.english);
    assert.equal(streamed.finish, 'stop');
    assert.equal(streamed.done, true);
    const { chunks } = streamed;
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
    assert.deepEqual([...new Set(chunks.map(({ model }) => model))], ['talker']);
    const { role, content } = chunks[0]?.choices?.[0]?.delta ?? {};
    assert.deepEqual({ role, content }, { role: 'assistant', content: '' });
    for (const chunk of chunks) {
      const content = chunk.choices?.[0]?.delta.content ?? '';
      assert.ok(!/\p{Cs}|\uFFFD/u.test(content), JSON.stringify(content));
    }
    assert.deepEqual(chunks.at(-1)?.choices, []);
    assert.deepEqual([...new Set(chunks.slice(0, -1).map(({ usage }) => usage))], [null]);
    const { usage } = streamed;
    assert.ok(usage, 'no usage');
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    const whole = await chat(server, ask('English'));
    assert.equal(whole.body.usage.completion_tokens, usage.completion_tokens);
    assert.equal(whole.body.usage.prompt_tokens, usage.prompt_tokens);
  });

  test('ends at max_tokens with the reason length, and counts exactly', async () => {
    for (const name of ['max_tokens', 'max_completion_tokens']) {
      const { body } = await chat(server, ask('こんにちは', { [name]: 5 }));
      assert.equal(body.choices[0]?.finish_reason, 'length');
      assert.equal(body.usage.completion_tokens, 5);
      const { content = '' } = body.choices[0]?.message ?? {};
      assert.ok(TEXT.greeting.startsWith(content.replaceAll('\uFFFD', '')), content);
    }
    const streamed = await streamChat(server, ask('こんにちは', { max_tokens: 5 }));
    assert.equal(streamed.finish, 'length');
    assert.equal(streamed.done, true);
  });

  test('ends with the reason length where the context is full', async () => {
    const { body } = await chat(server, chatBody('rambler', '話して', { temperature: 0 }));
    assert.equal(body.choices[0]?.finish_reason, 'length');
    assert.equal(body.usage.total_tokens, 512);
  });

  test('never shows a stop string of the model, the request or its parts', async () => {
    const before = 'これは終点ではなく、';
    for (const [model, stop] of [
      ['with/stop 停止', undefined],
      ['stopper', '終わり'],
      ['stopper', ['消えた', '終わり']],
    ] as const) {
      const body = chatBody(model, 'どうぞ', { temperature: 0, ...(stop && { stop }) });
      const whole = await chat(server, body);
      assert.equal(whole.body.choices[0]?.message.content, before);
      assert.equal(whole.body.choices[0]?.finish_reason, 'stop');
      const streamed = await streamChat(server, body);
      assert.equal(streamed.text, before);
      assert.equal(streamed.finish, 'stop');
      // これは 終 点では なく、終 and the three tokens that complete the stop string.
      assert.equal(whole.body.usage.completion_tokens, 7);
    }
  });

  test('gives held back text when the stop string does not come', async () => {
    const body = chatBody('stopper', 'どうぞ', { temperature: 0, stop: '終わりではない' });
    const { text } = await streamChat(server, body);
    assert.equal(text, 'これは終点ではなく、終わりの後は見えません');
  });

  test('replaces an impossible byte and goes on', async () => {
    const body = chatBody('stopper', '壊れた', { temperature: 0 });
    const { text, finish } = await streamChat(server, body);
    assert.match(text, /^前\uFFFD+後ろ$/);
    assert.equal(finish, 'stop');
    assert.equal((await chat(server, body)).body.choices[0]?.message.content, text);
  });

  test('tells which prompt tokens were reused', async () => {
    await chat(server, ask('設定'));
    const again = await chat(server, ask('設定'));
    const { usage } = again.body;
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    assert.ok(cached > 0 && cached < usage.prompt_tokens, `${cached} of ${usage.prompt_tokens}`);
    const fresh = await chat(server, ask('設定', { cache_prompt: false }));
    assert.equal(fresh.body.usage.prompt_tokens_details?.cached_tokens, 0);
    assert.equal(fresh.body.choices[0]?.message.content, again.body.choices[0]?.message.content);
  });

  test('gives the same text for the same seed, another for another', async () => {
    const say = async (seed: number): Promise<string | undefined> => {
      const more = { temperature: 1, top_p: 1, top_k: 0, seed, max_tokens: 24 };
      const { body } = await chat(server, chatBody('noise', 'こんにちは', more));
      return body.choices[0]?.message.content;
    };
    const first = await say(7);
    assert.equal(await say(7), first);
    assert.notEqual(await say(8), first);
    assert.equal(await say(7), first);
  });

  test('refuses a prompt that is too long with 400, in a stream too', async () => {
    const body = ask('とても長い話。'.repeat(400));
    for (const answer of [await chat(server, body), await streamChat(server, body)]) {
      assert.equal(answer.status, 400);
      const error = 'error' in answer ? answer.error : answer.body.error;
      assert.equal(error?.code, 'context_length_exceeded');
      assert.equal(error?.type, 'invalid_request_error');
      assert.match(error?.message ?? '', /512/);
    }
  });

  test('refuses bad fields by name', async () => {
    const cases: [object, string][] = [
      [{ temperature: 3 }, 'temperature'],
      [{ max_tokens: 0 }, 'max_tokens'],
      [{ stop: [''] }, 'stop'],
      [{ logit_bias: { '1': 101 } }, 'logit_bias'],
      [{ stream_options: { include_usage: true } }, 'stream_options'],
      [{ tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools'],
      [{ n: 9 }, 'n'],
      [{ messages: [] }, 'messages'],
    ];
    for (const [fields, param] of cases) {
      const { status, body } = await chat(server, ask('x', fields));
      assert.equal(status, 400, JSON.stringify(fields));
      assert.deepEqual(Object.keys(body.error ?? {}).sort(), ['code', 'message', 'param', 'type']);
      assert.ok(body.error?.param?.startsWith(param), `${body.error?.param} for ${param}`);
    }
  });

  test('names the fields it accepted without effect', async () => {
    const { status, headers } = await chat(
      server,
      ask('設定', { store: true, user: 'u', max_tokens: 1 }),
    );
    assert.equal(status, 200);
    assert.deepEqual(String(headers['x-hoshikage-ignored']).split(/, ?/).sort(), ['store', 'user']);
  });

  test('knows no other model', async () => {
    const { status, body } = await chat(server, chatBody('nobody', 'x'));
    assert.equal(status, 404);
    assert.equal(body.error?.code, 'model_not_found');
    assert.match(body.error?.message ?? '', / \/ /);
  });

  test('finds a model by an id with a slash, a space and Japanese', async () => {
    const id = 'with/stop 停止';
    const { status, body } = await getJson(`${server.url}/v1/models/${encodeURIComponent(id)}`);
    assert.equal(status, 200);
    assert.equal((body as { id: string }).id, id);
  });
});
