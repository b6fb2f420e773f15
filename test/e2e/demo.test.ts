/** A fresh clone's first minute: an empty home, the built-in model, curl and an OpenAI client. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import OpenAI from 'openai';
import { suiteOwner } from '../helpers/owner.js';
import { startServer, type TestServer } from '../helpers/server.js';
import { chat, chatBody, getJson, streamChat } from '../helpers/wire.js';

const DEMO = 'hoshikage-demo';
const OPENING = 'こんにちは、星影(Hoshikage)です。';

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
      [{ id: DEMO, object: 'model' }],
    );
    const one = await getJson(`${server.url}/v1/models/${DEMO}`);
    assert.equal((one.body as { id: string }).id, DEMO);
  });

  test('a plain HTTP client gets an answer, whole and streamed alike', async () => {
    const body = chatBody(DEMO, 'こんにちは', { temperature: 0 });
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
    const body = JSON.stringify(chatBody(DEMO, 'Hello', { temperature: 0 }));
    const args = ['-sS', '--max-time', '20', '-H', 'content-type: application/json', '-d', body];
    const done = spawnSync('curl', [...args, `${server.url}/v1/chat/completions`], {
      encoding: 'utf8',
      env: server.home.env,
      timeout: 30_000,
    });
    assert.equal(done.status, 0, done.stderr);
    assert.match(JSON.parse(done.stdout).choices[0].message.content, /^Hello! /);
  });

  test('the OpenAI client gets an answer as JSON, under the default settings', async () => {
    const completion = await client.chat.completions.create({
      model: DEMO,
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
      model: DEMO,
      messages: [
        { role: 'system', content: 'あなたは親切です。' },
        { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
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
    assert.match(text, /^Hello! I am the built-in sample/);
    assert.ok(chunks > 10, `${chunks} chunks`);
    assert.ok(usage && usage.completion_tokens > 10, 'usage');
  });

  test('the OpenAI client lists the models and understands an error', async () => {
    const ids: string[] = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.deepEqual(ids, [DEMO]);
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

function hasCurl(): boolean {
  return spawnSync('curl', ['--version']).status === 0;
}
