/** `hoshikage run` beside a server of the test's own: what it asks, what it writes where, how it ends. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { answer, error, fakeServer, type Seen, writeRunFile } from '../helpers/fake-admin.js';
import { until, within } from '../helpers/waiting.js';

const USAGE = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };
const TIMINGS = { queue_ms: 1, generation_tokens_per_second: 50 };
const MODELS = { object: 'list', data: [{ id: '星/影' }, { id: 'other' }] };

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }], usage: null })}\n\n`;

/** A stream of these deltas and its regular end. */
function stream(response: ServerResponse, deltas: readonly object[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'x-hoshikage-ignored': 'top_k' });
  response.write(': queued position=1\n\n');
  for (const delta of deltas) response.write(chunk(delta));
  response.write(chunk({}, 'stop').replace('}\n\n', `,"timings":${JSON.stringify(TIMINGS)}}\n\n`));
  response.write(`data: ${JSON.stringify({ choices: [], usage: USAGE })}\n\n`);
  response.end('data: [DONE]\n\n');
}

const ANSWER = [
  { role: 'assistant', content: '' },
  { reasoning_content: 'hmm, ' },
  { reasoning_content: '考える' },
  { content: 'こんに' },
  { content: 'ちは\u001b[31m。' },
];

/** A user beside a server that answers chats like this, and the bodies of those chats. */
async function userWith(
  context: TestContext,
  chat: (seen: Seen, response: ServerResponse) => void = (_, response) => stream(response, ANSWER),
): Promise<CommandUser & { readonly asked: () => readonly Seen[] }> {
  const user = commandUser(context);
  const server = await fakeServer(context, (seen, response) => {
    if (seen.url === '/v1/models') answer(response, 200, MODELS);
    else if (seen.url === '/v1/chat/completions') chat(seen, response);
    else answer(response, 404, error('route_not_found'));
  });
  writeRunFile(user, server);
  const asked = () => server.seen.filter(({ url }) => url === '/v1/chat/completions');
  return { ...user, asked };
}

describe('hoshikage run', { concurrency: 2 }, () => {
  it('writes the answer, as the model said it, and nothing else to standard output', async (context) => {
    const user = await userWith(context);
    const args = ['run', '星/影', 'two', '"words"', '--system', 'be brief', '--top-k', '3'];
    const { code, stdout, stderr } = await user.run(
      [...args, '--stop', 'a', '--stop', '-1', '--field', 'logit_bias={"1":2}', '--field', 'x=y'],
      { API_KEY: 'sesame' },
    );
    assert.deepEqual([code, stdout], [0, 'こんにちは\u001b[31m。\n'], stderr);
    assert.match(stderr, /^Without effect on this model: top_k$/m);
    assert.doesNotMatch(stderr, /考える/);
    const [asked] = user.asked();
    assert.equal(asked?.authorization, 'Bearer sesame');
    assert.deepEqual(asked?.body, {
      top_k: 3,
      stop: ['a', '-1'],
      logit_bias: { 1: 2 },
      x: 'y',
      model: '星/影',
      messages: [
        { role: 'system', content: 'be brief' },
        { role: 'user', content: 'two "words"' },
      ],
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  it('puts what comes by a pipe in front of the words, or asks just that', async (context) => {
    const user = await userWith(context);
    const both = await user.run(['run', 'other', '要約して'], {}, '長い文章\n二行目\n\n');
    const alone = await user.run(['run', 'other'], {}, '質問\n');
    assert.deepEqual([both.code, alone.code], [0, 0]);
    const prompts = user.asked().map(({ body }) => (body as { messages: object[] }).messages);
    assert.deepEqual(prompts, [
      [{ role: 'user', content: '長い文章\n二行目\n\n要約して' }],
      [{ role: 'user', content: '質問' }],
    ]);
  });

  it('says so where it waits for a pipe that stays silent, and goes on when that ends', async (context) => {
    const user = await userWith(context);
    const running = user.start(['run', 'other', '要約して', '--lang', 'en'], {}, null);
    await until('a word about it', () => running.stderr().includes('Waiting for the end of'));
    assert.equal(user.asked().length, 0);
    running.child.stdin?.end('文章\n');
    const { code, stderr } = await running.ended;
    assert.equal(code, 0, stderr);
    assert.equal(stderr.match(/Waiting/g)?.length, 1);
  });

  it('--json gives one object with the answer, its thoughts, counts and times', async (context) => {
    const user = await userWith(context);
    const { code, stdout } = await user.run(['run', '星/影', 'x', '--json']);
    const { first_token_ms: firstTokenMs, ...rest } = JSON.parse(stdout);
    assert.equal(code, 0);
    assert.equal(typeof firstTokenMs, 'number');
    assert.deepEqual(rest, {
      model: '星/影',
      text: 'こんにちは\u001b[31m。',
      reasoning: 'hmm, 考える',
      finish_reason: 'stop',
      usage: USAGE,
      timings: TIMINGS,
    });
  });

  it('ends with the exit code of the error, whenever it comes', async (context) => {
    const user = await userWith(context, ({ body }, response) => {
      const { temperature } = body as { temperature: number };
      if (temperature === 9) answer(response, 400, error('invalid_value', 'だめ / no good'));
      else {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write(chunk({ content: 'so far' }));
        const late = error('engine_crashed', '落ちた / crashed');
        if (temperature === 8) response.end(`data: ${JSON.stringify(late)}\n\n`);
        else setTimeout(() => response.destroy(), 100);
      }
    });
    const of = (temperature: string) =>
      user.run(['run', 'other', 'x', '--temperature', temperature]);
    const [refused, late, cut] = [await of('9'), await of('8'), await of('7')];
    assert.deepEqual([refused.code, refused.stdout], [2, '']);
    assert.match(refused.stderr, /^hoshikage: no good\n +だめ\n$/);
    assert.deepEqual([late.code, late.stdout], [1, 'so far']);
    assert.match(late.stderr, /crashed/);
    assert.deepEqual([cut.code, cut.stdout], [1, 'so far']);
    assert.match(cut.stderr, /The connection to the server \(127\.0\.0\.1:\d+\) broke/);
  });

  it('suggests the name that was meant', async (context) => {
    const user = await userWith(context, (_, response) => {
      answer(response, 404, error('model_not_found'));
    });
    user.writeFile(user.mapFile, JSON.stringify({ 'neko-7b': { path: '/x', model: 'y' } }));
    const { code, stderr } = await user.run(['run', 'neko', 'x']);
    assert.equal(code, 1);
    assert.match(stderr, /Model not found: neko;.*\n.*\n +もしかして \/ Did you mean: neko-7b\n$/);
  });

  it('stops the request by Ctrl-C, and when its reader has gone', async (context) => {
    let left = 0;
    const user = await userWith(context, (_, response) => {
      response.on('close', () => {
        left += 1;
      });
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const talk = setInterval(() => response.write(chunk({ content: 'and on\n' })), 20);
      response.on('close', () => clearInterval(talk));
    });
    const talking = user.start(['run', 'other', 'x']);
    await until('words', () => talking.stdout().includes('and on'), { deadlineMs: 30_000 });
    talking.child.kill('SIGINT');
    const stopped = await within(talking.ended, 10_000, 'end after Ctrl-C');
    assert.deepEqual([stopped.code, left], [130, 1]);
    assert.match(stopped.stderr, /^hoshikage: Stopped\n/);
    const heard = user.start(['run', 'other', 'x']);
    await until('words', () => heard.stdout().includes('and on'), { deadlineMs: 30_000 });
    heard.child.stdout?.destroy();
    const { code, stderr } = await within(heard.ended, 10_000, 'end without a reader');
    assert.deepEqual([code, stderr, left], [0, '', 2]);
  });

  it('ends with 2 for what is no request, and asks nobody', async (context) => {
    const user = await userWith(context);
    for (const [args, words] of [
      [['run', 'other'], /There is no prompt/],
      [['run', 'other', ' '], /There is no prompt/],
      [['run', 'other', 'x', '--seed', 'many'], /--seed many: expected a number/],
      [['run', 'other', 'x', '--seed', '1', '--seed', '2'], /--seed was given twice/],
      [['run', 'other', 'x', '--field', 'stream=false'], /the command itself decides/],
      [['run', 'other', 'x', '--field', 'half'], /write NAME=VALUE/],
      [['chat'], /chat needs a terminal/],
    ] as const) {
      const { code, stdout, stderr } = await user.run(args);
      assert.deepEqual([code, stdout], [2, ''], stderr);
      assert.match(stderr, words);
    }
    const binary = await user.run(['run', 'other'], {}, Buffer.from([0xff, 0xfe, 0x00]));
    assert.equal(binary.code, 2);
    assert.match(binary.stderr, /cannot be read as UTF-8/);
    assert.deepEqual(user.asked(), []);
  });

  it('says what is missing where the server wants a key or does not answer', async (context) => {
    const [locked, mute] = [commandUser(context), commandUser(context)];
    const server = await fakeServer(context, (_, response) =>
      answer(response, 401, error('invalid_api_key')),
    );
    writeRunFile(locked, server);
    const refused = await locked.run(['run', 'm', 'x']);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /The server wants its API_KEY/);
    writeRunFile(mute, await fakeServer(context, (_, response) => void response.destroy()));
    const silent = await mute.run(['run', 'm', 'x']);
    assert.equal(silent.code, 1);
    assert.match(silent.stderr, /does not answer, so nobody can talk to it/);
  });
});
