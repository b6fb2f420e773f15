/**
 * A fresh clone's first minute: an empty home, the built-in model, curl and an OpenAI client. And what
 * the built-in model says, by real attention over a real cache.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { type Language, readLessons } from '../../scripts/train-guide/dialogues.js';
import { suiteOwner } from '../helpers/owner.js';
import { startServer, type TestServer } from '../helpers/server.js';
import { until } from '../helpers/waiting.js';
import { chat, chatBody, getJson, streamChat } from '../helpers/wire.js';

const GUIDE = 'hoshikage-guide';
/** Questions with what they are about. */
const TAUGHT = [
  ['星影とは何ですか？', 'what-is', 'ja'],
  ['What is Hoshikage?', 'what-is', 'en'],
  ['モデルを登録するには？', 'add', 'ja'],
  ['How do I add a model?', 'add', 'en'],
  ['port_in_use と出ました', 'port-in-use', 'ja'],
  ['How do I swap libllama?', 'lib-use', 'en'],
] as const;
const SHORTEST: readonly (readonly [question: string, id: string, language: Language])[] = [
  ['hello', 'hello', 'en'],
  ['Hi', 'hello', 'en'],
  ['hey', 'hello', 'en'],
  ['test', 'hello', 'en'],
  ['テスト', 'hello', 'ja'],
  ['こんにちは！', 'hello', 'ja'],
  ['Help', 'what-can-you-do', 'en'],
  ['ヘルプ', 'what-can-you-do', 'ja'],
  ['何ができますか', 'what-can-you-do', 'ja'],
  ['who are you?', 'who-are-you', 'en'],
  ['thanks', 'thanks', 'en'],
  ['bye', 'bye', 'en'],
];
const OUTSIDE = [
  ['富士山とは何ですか？', 'ja'],
  ['東京の天気は？', 'ja'],
  ['Who was Napoleon?', 'en'],
  ['What is 3 plus 5?', 'en'],
] as const;
const OPENING = 'こんにちは、星影ガイドです。';

describe('With an empty home', () => {
  const owner = suiteOwner();
  let server: TestServer;
  let client: OpenAI;

  before(async () => {
    server = await startServer(owner);
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
  });

  test('the models offered are the built-in one alone', async () => {
    const { status, body } = await getJson(`${server.url}/v1/models`);
    assert.equal(status, 200);
    const { object, data } = body as { object: string; data: { id: string; object: string }[] };
    assert.equal(object, 'list');
    assert.deepEqual(
      data.map(({ id, object }) => ({ id, object })),
      [{ id: GUIDE, object: 'model' }],
    );
    const one = await getJson(`${server.url}/v1/models/${GUIDE}`);
    assert.equal((one.body as { id: string }).id, GUIDE);
  });

  test('a plain HTTP client gets an answer, whole and streamed alike', async () => {
    const body = chatBody(GUIDE, 'こんにちは', { temperature: 0 });
    const whole = await chat(server, body);
    assert.equal(whole.status, 200);
    const text = whole.body.choices[0]?.message.content ?? '';
    assert.ok(text.startsWith(OPENING), text);
    assert.equal(whole.body.choices[0]?.finish_reason, 'stop');
    const streamed = await streamChat(server, body);
    assert.equal(streamed.text, text);
    assert.equal(streamed.finish, 'stop');
    assert.equal(streamed.done, true);
  });

  test('curl gets an answer', { skip: !hasCurl() && 'curl is not installed' }, () => {
    const body = JSON.stringify(chatBody(GUIDE, 'Hello', { temperature: 0 }));
    const args = ['-sS', '--max-time', '20', '-H', 'content-type: application/json', '-d', body];
    const done = spawnSync('curl', [...args, `${server.url}/v1/chat/completions`], {
      encoding: 'utf8',
      env: server.home.env,
      timeout: 30_000,
    });
    assert.equal(done.status, 0, done.stderr);
    assert.match(
      JSON.parse(done.stdout).choices[0].message.content,
      /^Hello, I am the Hoshikage guide/,
    );
  });

  test('the OpenAI client gets an answer as JSON, under the default settings', async () => {
    const completion = await client.chat.completions.create({
      model: GUIDE,
      messages: [{ role: 'user', content: 'こんにちは' }],
    });
    assert.equal(completion.object, 'chat.completion');
    const { content = '' } = completion.choices[0]?.message ?? {};
    assert.ok(content?.startsWith(OPENING), `${content}`);
    const { usage } = completion;
    assert.ok(usage && usage.prompt_tokens > 0 && usage.completion_tokens > 10, 'usage');
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  });

  test('the OpenAI client gets the same answer as a stream', async () => {
    const stream = await client.chat.completions.create({
      model: GUIDE,
      messages: [
        { role: 'system', content: 'あなたは親切です。' },
        { role: 'user', content: [{ type: 'text', text: 'こんにちは' }] },
      ],
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let chunks = 0;
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      chunks += 1;
      usage = chunk.usage ?? usage;
    }
    assert.ok(text.startsWith(OPENING), text);
    // Role, text, end, usage: on a busy machine all text may have come to one chunk.
    assert.ok(chunks >= 4, `${chunks} chunks`);
    assert.ok(usage && usage.completion_tokens > 10, 'usage');
  });

  test('the OpenAI client lists the models and understands an error', async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.deepEqual(ids, [GUIDE]);
    await assert.rejects(
      client.chat.completions.create({
        model: 'nobody',
        messages: [{ role: 'user', content: 'x' }],
      }),
      (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found',
    );
  });

  test('the map of models is not written', () => {
    assert.equal(existsSync(server.home.configDir), true);
    assert.equal(existsSync(server.home.mapFile), false);
  });

  test('run.json is for its owner alone', { skip: process.platform === 'win32' }, () => {
    assert.equal(statSync(server.home.runFile).mode & 0o777, 0o600);
    assert.match(server.run.token, /^\w{32,}$/);
  });
});

describe('The guide', () => {
  const owner = suiteOwner();
  const lessons = readLessons();
  let server: TestServer;
  const answerTo = (id: string, language: Language): string => {
    const lesson = lessons.find((one) => one.id === id && one.language === language);
    return lesson?.answer ?? assert.fail(`nothing is taught of ${id}`);
  };
  const say = async (messages: readonly object[], more: object = {}) => {
    const { status, body } = await chat(server, { model: GUIDE, messages, ...more });
    assert.equal(status, 200);
    return { text: body.choices[0]?.message.content ?? '', usage: body.usage };
  };
  const user = (content: string) => ({ role: 'user', content });
  const assistant = (content: string) => ({ role: 'assistant', content });

  before(async () => {
    server = await startServer(owner);
  });

  test('answers what it was taught, with nothing but a model and a message', async () => {
    for (const [question, id, language] of TAUGHT) {
      const { text } = await say([user(question)]);
      assert.equal(text, answerTo(id, language), question);
    }
  });

  test('is greeted, asked for help and thanked in the fewest letters', async () => {
    for (const [question, id, language] of SHORTEST) {
      const { text } = await say([user(question)]);
      assert.equal(text, answerTo(id, language), question);
    }
  });

  test('says that it does not know where it does not', async () => {
    for (const [question, language] of OUTSIDE) {
      const { text } = await say([user(question)]);
      assert.equal(text, answerTo('unknown', language), question);
    }
  });

  test('answers the last question of a conversation, the same with a reused beginning and a fresh one', async () => {
    const first = user('モデルを登録するには？');
    const { text } = await say([first]);
    const turns = [first, assistant(text), user('What is Hoshikage?')];
    const reused = await say(turns);
    const fresh = await say(turns, { cache_prompt: false });
    assert.equal(reused.text, answerTo('what-is', 'en'));
    assert.equal(fresh.text, reused.text);
    assert.equal(fresh.usage.prompt_tokens_details?.cached_tokens, 0);
    const known = reused.usage.prompt_tokens_details?.cached_tokens ?? 0;
    assert.ok(known > 20 && known < reused.usage.prompt_tokens, `${known} tokens`);
  });

  test('goes on with a conversation after its model has left the memory', async () => {
    const first = user('ポートを変えるには？');
    const { text } = await say([first], { keep_alive: 0 });
    assert.equal(text, answerTo('port', 'ja'));
    await until('empty memory', async () => (await server.status()).model === null);
    const next = await say([first, assistant(text), user('モデルの一覧を見るには？')]);
    assert.equal(next.text, answerTo('list', 'ja'));
    const { prompt_tokens, prompt_tokens_details } = next.usage;
    const known = prompt_tokens_details?.cached_tokens ?? 0;
    assert.ok(known > 20 && known < prompt_tokens, `${known} tokens`);
  });
});

function hasCurl(): boolean {
  return spawnSync('curl', ['--version']).status === 0;
}
