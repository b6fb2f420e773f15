import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serve } from '@hono/node-server';
import OpenAI from 'openai';
import { fakeApp, renderer } from '../helpers/fake-app.js';
import { FakeEngine, type Step } from '../helpers/fake-engine.js';

after(() => renderer.close());

/** The application behind a real socket, for the length of `work`. */
async function served(
  script: readonly Step[],
  work: (app: ReturnType<typeof fakeApp>, port: number) => Promise<void>,
): Promise<void> {
  const app = fakeApp({ engine: new FakeEngine({ script }) });
  const { server, port } = await new Promise<{ server: ReturnType<typeof serve>; port: number }>(
    (resolve) => {
      const server = serve({ fetch: app.app.fetch, hostname: '127.0.0.1', port: 0 }, (address) => {
        resolve({ server, port: address.port });
      });
    },
  );
  try {
    await work(app, port);
  } finally {
    if ('closeAllConnections' in server) server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!isTrue()) {
    if (Date.now() > deadline) assert.fail(`never came true: ${what}`);
    await sleep(2);
  }
}

const body = (stream: boolean) =>
  JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], stream });

/** Sends a chat and gives a way to hang up. */
function call(port: number, stream: boolean) {
  const sent = request({
    port,
    host: '127.0.0.1',
    path: '/v1/chat/completions',
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    agent: false,
  });
  sent.on('error', () => {});
  const answered = new Promise<void>((resolve) => {
    sent.on('response', (response) => {
      response.on('error', () => {});
      response.once('data', () => resolve());
    });
  });
  sent.end(body(stream));
  return { answered, hangUp: () => sent.destroy() };
}

describe('on the wire: a client that hangs up', () => {
  for (const stream of [false, true]) {
    it(`before the first text ends the completion (${stream ? 'stream' : 'JSON'})`, async () => {
      await served([{ waitMs: 60_000 }, 'late'], async ({ engine, pool }, port) => {
        const { hangUp } = call(port, stream);
        await until('the engine is at work', () => engine.started.length === 1);
        hangUp();
        await until('the lease is back', () => pool.released === 1);
        assert.equal(engine.started[0]?.cancelled, true);
      });
    });
  }

  it('in the middle of a stream ends the completion', async () => {
    await served(['a', { waitMs: 60_000 }, 'b'], async ({ engine, pool }, port) => {
      const { answered, hangUp } = call(port, true);
      await answered;
      hangUp();
      await until('the lease is back', () => pool.released === 1);
      assert.equal(engine.started[0]?.cancelled, true);
    });
  });

  it('in the queue leaves it', async () => {
    await served(['a'], async ({ pool, lines }, port) => {
      pool.gate = new Promise(() => {});
      const { hangUp } = call(port, true);
      await sleep(30);
      hangUp();
      await until('the log has it', () => lines.some(({ message }) => /went away/.test(message)));
      assert.equal(pool.given, 0);
    });
  });
});

describe('on the wire: the openai client', () => {
  const ask = { model: 'm', messages: [{ role: 'user' as const, content: 'Hi' }] };
  const client = (port: number) =>
    new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'any', maxRetries: 0 });

  it('reads a JSON answer and a stream alike', async () => {
    const script = ['星', '影', ' ok', { text: '</s>', control: true, eog: true }];
    await served(script, async (_, port) => {
      const whole = await client(port).chat.completions.create(ask);
      assert.equal(whole.choices[0]?.message.content, '星影 ok');
      const stream = await client(port).chat.completions.create({
        ...ask,
        stream: true,
        stream_options: { include_usage: true },
      });
      let text = '';
      let tokens = 0;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? '';
        tokens = chunk.usage?.completion_tokens ?? tokens;
      }
      assert.equal(text, '星影 ok');
      assert.equal(tokens, whole.usage?.completion_tokens);
    });
  });

  it('understands our errors', async () => {
    await served(['a'], async (_, port) => {
      const asking = client(port).chat.completions.create({ ...ask, temperature: 9 });
      await assert.rejects(asking, (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError);
        assert.deepEqual([error.code, error.param], ['invalid_value', 'temperature']);
        return true;
      });
    });
  });

  it('lists and finds models', async () => {
    await served(['a'], async (_, port) => {
      const models = await client(port).models.list();
      assert.deepEqual(
        models.data.map(({ id }) => id),
        ['m'],
      );
      assert.equal((await client(port).models.retrieve('m')).owned_by, 'tane');
    });
  });
});

describe('on the wire: long streams and long bodies', () => {
  it('a stream of many tokens arrives whole', async () => {
    const script = Array.from({ length: 3000 }, (_, index) => `<${index}>`);
    await served(script, async (_, port) => {
      const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: body(true),
      });
      const wire = await response.text();
      const deltas = [...wire.matchAll(/"delta":\{"content":"([^"]*)"\}/g)].map(([, one]) => one);
      assert.equal(deltas.join(''), script.join(''));
    });
  });

  it('a chunked body that gets too long is answered by 413 while it still comes', async () => {
    await served(['a'], async (_, port) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      let answer = '';
      socket.on('data', (data) => {
        answer += data;
      });
      socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n');
      socket.write('content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n');
      const piece = ' '.repeat(1024 * 1024);
      const pump = setInterval(() => {
        if (socket.writable) socket.write(`100000\r\n${piece}\r\n`);
      }, 1);
      try {
        await until('there is an answer', () => answer.includes('\r\n\r\n'));
      } finally {
        clearInterval(pump);
        socket.destroy();
      }
      assert.match(answer, /^HTTP\/1\.1 413 /);
    });
  });
});
