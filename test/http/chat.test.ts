import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChatEvent } from '../../src/chat/complete.js';
import { HoshikageError } from '../../src/errors.js';
import { addTo } from '../../src/http/answer-stream.js';
import { ChatWriter } from '../../src/http/chat-shape.js';
import { errorOf, eventsOf, fakeApp, renderer } from '../helpers/fake-app.js';
import { FakeEngine, type Step } from '../helpers/fake-engine.js';

after(() => renderer.close());

const EOG: Step = { text: '<|im_end|>', control: true, eog: true };
const engineWith = (...script: readonly Step[]) => new FakeEngine({ script });

/** Waits for what must come true soon. */
async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!isTrue()) {
    if (Date.now() > deadline) assert.fail(`never came true: ${what}`);
    await sleep(2);
  }
}

interface Chunk {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    index: number;
    delta: { role?: string; content?: string };
    finish_reason: string;
  }[];
  readonly usage?: unknown;
  readonly error?: { code: string };
}

interface Answer {
  readonly id: string;
  readonly created: number;
  readonly system_fingerprint: string;
  readonly choices: readonly { message: { content: string }; finish_reason: string }[];
}

async function answerOf(response: Response): Promise<Answer> {
  return (await response.json()) as Answer; // each test says what must be in it
}

describe('chat: a JSON answer', () => {
  it('has every key of the contract', async () => {
    const response = await fakeApp().chat();
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
    const body = await answerOf(response);
    assert.match(body.id, /^chatcmpl-/);
    assert.ok(Math.abs(body.created - Date.now() / 1000) < 60);
    assert.match(body.system_fingerprint, /^fp_[0-9a-f]{16}$/);
    const { id, created, system_fingerprint, ...rest } = body;
    assert.deepEqual(rest, {
      object: 'chat.completion',
      model: 'm',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello world', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 21,
        completion_tokens: 3,
        total_tokens: 24,
        prompt_tokens_details: { cached_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 0 },
      },
      timings: {
        queue_ms: 1,
        load_ms: 2,
        recall_ms: 0,
        prefill_ms: 10,
        generation_ms: 20,
        retried_ms: 0,
        prefill_tokens_per_second: 2100,
        generation_tokens_per_second: 150,
      },
    });
  });

  it('ends by `length` at max_tokens', async () => {
    const body = await answerOf(await fakeApp().chat({ max_tokens: 1 }));
    assert.equal(body.choices[0]?.message.content, 'Hello');
    assert.equal(body.choices[0]?.finish_reason, 'length');
  });

  it('names in a header what had no effect', async () => {
    const plain = await fakeApp().chat();
    assert.equal(plain.headers.get('x-hoshikage-ignored'), null);
    const response = await fakeApp().chat({ store: true, '種類\r\n': 1, reasoning_effort: 'low' });
    assert.equal(
      response.headers.get('x-hoshikage-ignored'),
      'store,%E7%A8%AE%E9%A1%9E%0D%0A,reasoning_effort',
    );
  });

  it('refuses with STRICT_FIELDS what the schema or the template has no use for', async () => {
    const { chat } = fakeApp({ settings: { STRICT_FIELDS: '1' } });
    for (const [field, value] of [['store', true] as const, ['reasoning_effort', 'low'] as const]) {
      const response = await chat({ [field]: value });
      assert.equal(response.status, 400);
      const error = await errorOf(response);
      assert.deepEqual([error.code, error.param], ['unknown_parameter', field]);
    }
  });

  it('refuses a prompt that is too long, with its numbers', async () => {
    const { chat } = fakeApp({ engine: new FakeEngine({ contextTokens: 8 }) });
    for (const stream of [false, true]) {
      const response = await chat({ stream });
      assert.equal(response.status, 400);
      const error = await errorOf(response);
      assert.equal(error.code, 'context_length_exceeded');
      assert.deepEqual([error.n_prompt_tokens, error.n_ctx], [21, 8]);
    }
  });

  it('says why there is no engine, with figures, and when to come again', async () => {
    const GIB = 2 ** 30;
    const cases = [
      ['engine_crashed', { detail: 'SIGSEGV' }, '2', {}],
      ['engine_hung', { seconds: 120 }, '2', {}],
      ['engine_out_of_memory', {}, null, {}],
      ['model_held', { model: 'm', crashes: 3 }, null, { crashes: 3 }],
      [
        'memory_short',
        { model: 'm', needed: '3 GiB', free: '1 GiB', short: '2 GiB', advice: 'Lower N_CTX.' },
        null,
        { needed_bytes: 3 * GIB, free_bytes: GIB },
      ],
    ] as const;
    for (const [code, details, retryAfter, figures] of cases) {
      for (const stream of [false, true]) {
        const { chat, pool } = fakeApp();
        pool.refusal = new HoshikageError(code, { ...details, ...figures });
        const response = await chat({ stream });
        assert.deepEqual(
          [response.status, response.headers.get('retry-after')],
          [503, retryAfter],
          code,
        );
        const { message, ...rest } = await errorOf(response);
        assert.deepEqual(rest, { type: 'server_error', param: null, code, ...figures });
        assert.doesNotMatch(message, /\?/);
      }
    }
  });

  it('says a header when control texts had to be broken up', async () => {
    const template = '{{ messages[0].content|length }}{{ messages[0].content }}';
    const { chat } = fakeApp({ engine: new FakeEngine({ model: { chatTemplate: template } }) });
    const response = await chat({ messages: [{ role: 'user', content: '<|im_end|>' }] });
    assert.equal(response.headers.get('x-hoshikage-altered'), 'messages');
  });
});

describe('chat: tokens guessed ahead', () => {
  const timingsOf = async (drafts: readonly [number, number]) => {
    const { chat } = fakeApp({ engine: new FakeEngine({ drafts }) });
    // Each test says what must be in it.
    return ((await (await chat({ n: 2 })).json()) as { timings: Record<string, number> }).timings;
  };

  it('are told with the times, of all choices together', async () => {
    const { draft_n: drafted, draft_n_accepted: accepted } = await timingsOf([5, 3]);
    assert.deepEqual([drafted, accepted], [10, 6]);
  });

  it('are not spoken of where there were none', async () => {
    const timings = await timingsOf([0, 0]);
    assert.deepEqual(
      Object.keys(timings).filter((name) => name.startsWith('draft')),
      [],
    );
  });
});

describe('chat: a turn', () => {
  const turnsOf = async (body: object, headers: Record<string, string> = {}) => {
    const { post, pool, engine } = fakeApp();
    const messages = [{ role: 'user', content: 'a' }];
    const response = await post('/v1/chat/completions', { model: 'm', messages, ...body }, headers);
    assert.equal(response.headers.get('x-hoshikage-ignored'), null);
    const [asked] = pool.asked;
    const error = response.status === 200 ? null : await errorOf(response);
    return { asked, status: response.status, error, told: engine.started[0]?.request.priority };
  };

  it('has a priority by its header, and keep_alive by its body', async () => {
    const batch = await turnsOf({ keep_alive: '1h30m' }, { 'x-hoshikage-priority': 'batch' });
    assert.deepEqual([batch.asked?.priority, batch.asked?.keepAliveMs], ['batch', 5_400_000]);
    assert.equal(batch.told, 'batch', 'the engine is told as well');
    const stays = await turnsOf({ keep_alive: -1 }, { 'x-hoshikage-priority': 'Interactive' });
    assert.deepEqual([stays.asked?.priority, stays.told], ['interactive', 'interactive']);
    assert.equal(stays.asked?.keepAliveMs, Number.POSITIVE_INFINITY);
    assert.equal((await turnsOf({ keep_alive: 0 })).asked?.keepAliveMs, 0);
  });

  it('is left to the entry and the settings where the request says nothing', async () => {
    for (const body of [{}, { keep_alive: null }]) {
      const { asked } = await turnsOf(body);
      assert.deepEqual(Object.keys(asked ?? {}), ['signal']);
    }
  });

  it('is refused by name where it is something else', async () => {
    for (const keepAlive of ['soon', '', true, [], 1e9, '100000h']) {
      const { status, error, asked } = await turnsOf({ keep_alive: keepAlive });
      assert.deepEqual([status, error?.code, error?.param], [400, 'invalid_value', 'keep_alive']);
      assert.match(error?.message ?? '', /"5m".* \/ .*"5m"/);
      assert.equal(asked, undefined);
    }
    for (const priority of ['high', '', 'batch, batch']) {
      const { status, error } = await turnsOf({}, { 'x-hoshikage-priority': priority });
      assert.deepEqual([status, error?.param], [400, 'x-hoshikage-priority']);
    }
  });
});

describe('chat: an engine that is lost, with RETRY_ON_CRASH=1', () => {
  it('costs neither a JSON answer nor a stream that had said nothing', async () => {
    for (const stream of [false, true]) {
      const { chat, engine } = fakeApp({ settings: { RETRY_ON_CRASH: '1' } });
      const start = engine.start.bind(engine);
      const half = stream ? [] : ['half'];
      const scripts: Step[][] = [
        [...half, { fail: new HoshikageError('engine_hung', { seconds: 1 }) }],
        ['whole'],
      ];
      engine.start = (request) => {
        engine.script = scripts.shift() ?? [];
        return start(request);
      };
      const response = await chat({ stream });
      assert.equal(response.status, 200);
      const wire = await response.text();
      assert.match(wire, /"content":"whole"/);
      assert.match(wire, /"retried_ms":[\d.]*[1-9]/);
      assert.equal(wire.split('"role":"assistant"').length, 2);
    }
  });
});

describe('chat: a stream', () => {
  it('is a role, text deltas, a finish chunk and [DONE]', async () => {
    const response = await fakeApp().chat({ stream: true });
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    assert.equal(response.headers.get('cache-control'), 'no-cache, no-transform');
    assert.equal(response.headers.get('x-accel-buffering'), 'no');
    const events = await eventsOf(response);
    assert.equal(events.pop(), '[DONE]');
    const chunks = events as Chunk[]; // chunks but for [DONE]
    assert.deepEqual(
      chunks.map(({ choices }) => [choices[0]?.delta, choices[0]?.finish_reason]),
      [
        [{ role: 'assistant', content: '', refusal: null }, null],
        [{ content: 'Hello' }, null],
        [{ content: ' world' }, null],
        [{}, 'stop'],
      ],
    );
    assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
    assert.equal(new Set(chunks.map(({ created }) => created)).size, 1);
    for (const chunk of chunks) {
      assert.equal(chunk.model, 'm');
      assert.ok(!('usage' in chunk));
    }
  });

  it('has a usage chunk with include_usage, and usage null in all others', async () => {
    const options = { stream: true, stream_options: { include_usage: true } };
    const events = await eventsOf(await fakeApp().chat(options));
    assert.equal(events.pop(), '[DONE]');
    const last = events.pop() as Chunk; // the usage chunk
    assert.deepEqual(last.choices, []);
    assert.deepEqual(last.usage, {
      prompt_tokens: 21,
      completion_tokens: 3,
      total_tokens: 24,
      prompt_tokens_details: { cached_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0 },
    });
    for (const chunk of events as Chunk[]) assert.equal(chunk.usage, null);
  });

  it('says the same as the JSON answer, for text that is split anywhere', async () => {
    const bytes = new TextEncoder().encode('星影 🌠 </ ok');
    const script = [...bytes].map((byte) => Uint8Array.of(byte));
    const whole = await answerOf(await fakeApp({ engine: engineWith(...script) }).chat());
    const response = await fakeApp({ engine: engineWith(...script) }).chat({ stream: true });
    const deltas = (await eventsOf(response)).map((event) =>
      typeof event === 'string' ? '' : ((event as Chunk).choices[0]?.delta.content ?? ''),
    );
    assert.equal(deltas.join(''), '星影 🌠 </ ok');
    assert.equal(whole.choices[0]?.message.content, '星影 🌠 </ ok');
  });

  it('without any text is still complete', async () => {
    const { chat } = fakeApp({ engine: engineWith({ text: '', eog: true }) });
    const events = await eventsOf(await chat({ stream: true }));
    assert.equal(events.length, 3);
    assert.equal(events.at(-1), '[DONE]');
  });

  it('gives an error before the first text its own status', async () => {
    const failing = engineWith({ fail: new HoshikageError('engine_crashed') });
    const response = await fakeApp({ engine: failing }).chat({ stream: true });
    assert.equal(response.status, 503);
    assert.equal((await errorOf(response)).code, 'engine_crashed');
    assert.equal((await fakeApp().chat({ stream: true, model: 'x' })).status, 404);
  });

  it('ends by one error event, without [DONE], when it fails later', async () => {
    const failing = engineWith('Hello', { fail: new HoshikageError('engine_crashed') });
    const { chat, lines } = fakeApp({ engine: failing });
    const events = await eventsOf(await chat({ stream: true }));
    const last = events.at(-1) as Chunk; // the error event
    assert.equal(last.error?.code, 'engine_crashed');
    assert.equal(events.length, 3);
    await until('the failure is in the log', () => lines.some(({ level }) => level === 'error'));
  });

  it('ends the completion when its reader goes', async () => {
    const { chat, engine, pool, lines } = fakeApp({
      engine: engineWith('a', { waitMs: 60_000 }, 'b'),
    });
    const response = await chat({ stream: true });
    await response.body?.cancel();
    await until('the lease is back', () => pool.released === 1);
    assert.equal(engine.started[0]?.cancelled, true);
    await until('the log has it', () => lines.some(({ message }) => /went away/.test(message)));
  });
});

describe('chat: a client that goes before the answer', () => {
  for (const stream of [false, true]) {
    it(`ends what it waited for (${stream ? 'stream' : 'JSON'})`, async () => {
      const { app, pool, engine } = fakeApp({ engine: engineWith({ waitMs: 60_000 }, 'late') });
      const going = new AbortController();
      const request = new Request('http://localhost/v1/chat/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'a' }], stream }),
        signal: going.signal,
      });
      const answer = app.request(request);
      await until('the engine is at work', () => engine.started.length === 1);
      going.abort();
      assert.equal((await answer).status, 499);
      assert.equal(engine.started[0]?.cancelled, true);
      assert.equal(pool.released, 1);
    });
  }

  it('leaves the queue', async () => {
    const { app, pool } = fakeApp();
    pool.gate = new Promise(() => {});
    const going = new AbortController();
    const request = new Request('http://localhost/v1/chat/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'a' }] }),
      signal: going.signal,
    });
    const answer = app.request(request);
    await sleep(10);
    going.abort();
    assert.equal((await answer).status, 499);
    assert.equal(pool.given, 0);
  });
});

describe('chat: choices side by side', () => {
  const set = () => {
    const app = fakeApp({ engine: engineWith('a', 'b', 'c', EOG) });
    app.pool.spareSlots = 1;
    return app;
  };

  it('are told apart in a stream: a role first, an end each, the times with the last', async () => {
    const { chat, pool } = set();
    const events = await eventsOf(await chat({ stream: true, n: 3 }));
    const chunks = events.slice(0, -1) as Chunk[]; // all but [DONE]
    const said = chunks.map(({ choices: [choice] }) => {
      const { role, content = '' } = choice?.delta ?? {};
      return [choice?.index, role ? 'role' : (choice?.finish_reason ?? content)] as const;
    });
    for (const index of [0, 1, 2]) {
      const own = said.filter(([of]) => of === index).map(([, what]) => what);
      assert.deepEqual(own, ['role', 'a', 'b', 'c', 'stop']);
    }
    const first = said.findIndex(([index]) => index === 1);
    const end = said.findIndex(([index, what]) => index === 0 && what === 'stop');
    assert.ok(first < end, 'the second begins before the first has ended');
    assert.deepEqual(
      chunks.map((chunk) => 'timings' in chunk),
      chunks.map((_, at) => at === chunks.length - 1),
    );
    assert.deepEqual([pool.takenSlots, pool.given, pool.released], [0, 1, 1]);
  });

  it('count their prompt once, and have their seeds', async () => {
    const { chat, engine } = set();
    const body = (await (await chat({ n: 2, seed: 7 })).json()) as {
      readonly choices: readonly { readonly index: number }[];
      readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number };
    };
    const [first] = engine.started;
    assert.deepEqual(
      body.choices.map(({ index }) => index),
      [0, 1],
    );
    assert.equal(body.usage.prompt_tokens, first?.request.prompt.length);
    assert.equal(body.usage.completion_tokens, 8);
    assert.deepEqual(
      engine.started.map(({ request }) => request.sampling.seed),
      [7, 8],
    );
  });

  it('are joined choice by choice for a reader that is behind', () => {
    const writer = new ChatWriter(
      { id: 'x', created: 1, model: 'm' },
      { includeUsage: false, withLogprobs: false },
    );
    const pending: ChatEvent[] = [];
    for (const text of ['a', 'b', 'c']) {
      for (const choice of [0, 1]) {
        addTo(pending, { type: 'content', choice, text, logprobs: null }, writer);
      }
    }
    assert.deepEqual(
      pending.map((event) => ('text' in event ? event.text : '')),
      ['abc', 'abc'],
    );
  });

  it('all end when the client goes', async () => {
    const engine = engineWith('a', { waitMs: 60_000 }, 'b');
    const { chat, pool } = fakeApp({ engine });
    pool.spareSlots = 3;
    const response = await chat({ stream: true, n: 4 });
    await response.body?.cancel();
    await until('the lease is back', () => pool.released === 1);
    assert.deepEqual(
      [engine.started.map(({ cancelled }) => cancelled), pool.takenSlots],
      [[true, true, true, true], 0],
    );
  });
});
