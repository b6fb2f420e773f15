/**
 * Bodies made to hurt: deep, endless, broken, with numbers beyond all reason. Each gets a 2xx or a 4xx,
 * and whoever is answered beside it does not notice.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import { before, describe, test } from 'node:test';
import { writeEncoder } from '../helpers/encoder-model.js';
import { madeModel } from '../helpers/models.js';
import { suiteOwner } from '../helpers/owner.js';
import type { TestServer } from '../helpers/server.js';
import { assertUnharmed, attack, besiege, besiegedServer, SHORT } from '../helpers/siege.js';
import { tries } from '../helpers/thorough.js';
import { within } from '../helpers/waiting.js';
import { chat, chatBody } from '../helpers/wire.js';

const CHAT = '/v1/chat/completions';
const DEPTH = 100_000;
const MANY = 100_000;

/** The smallest request that each route answers, as far as these models can. */
const SMALLEST: Readonly<Record<string, object>> = {
  [CHAT]: chatBody('besieged', 'x', { max_tokens: 2 }),
  '/v1/chat/completions/input_tokens': chatBody('besieged', 'x'),
  '/v1/completions': { model: 'besieged', prompt: 'x', max_tokens: 2 },
  '/infill': { model: 'besieged', input_prefix: 'a', input_suffix: 'b', n_predict: 2 },
  '/tokenize': { model: 'besieged', content: 'x' },
  '/detokenize': { model: 'besieged', tokens: [300] },
  '/v1/embeddings': { model: 'encoder', input: 'star' },
  '/v1/rerank': { model: 'encoder', query: 'star', documents: ['star'] },
};
const ROUTES = Object.keys(SMALLEST);

/** A body with one more field, whose value is JSON text, so that it may be any. */
const having = (body: object | undefined, field: string, value: string) =>
  `${JSON.stringify(body).slice(0, -1)},${JSON.stringify(field)}:${value}}`;
const times = (count: number, part: string) => Array(count).fill(part).join(',');

/** Every fourth, from another place for every `at`; all of them in a thorough run. */
const someOf = <T>(all: readonly T[], at: number): readonly T[] =>
  all.filter((_, index) => (index + at) % tries(4, 1) === 0);

const owner = suiteOwner();
let server: TestServer;

before(async () => {
  const encoder = await madeModel(['encoder', 1], (path) => writeEncoder(path, 1));
  server = await besiegedServer(owner, { models: { encoder } });
});

describe('JSON nested a hundred thousand deep', () => {
  const list = `${'['.repeat(DEPTH)}${']'.repeat(DEPTH)}`;
  const object = `${'{"a":'.repeat(DEPTH)}1${'}'.repeat(DEPTH)}`;
  const chatWith = (field: string, value: string) => having(SMALLEST[CHAT], field, value);
  const placed = (value: string): readonly string[] => [
    value,
    chatWith('messages', value),
    chatWith('messages', `[{"role":"user","content":${value}}]`),
    chatWith('tools', `[{"type":"function","function":{"name":"f","parameters":{"a":${value}}}}]`),
    chatWith('response_format', `{"type":"json_schema","json_schema":{"schema":{"a":${value}}}}`),
    chatWith('chat_template_kwargs', `{"a":${value}}`),
    chatWith('logit_bias', value),
    chatWith('metadata', `{"a":${value}}`),
    chatWith('unheard_of', value),
  ];

  test('is refused wherever it stands', async () => {
    await besiege(server, async () => {
      for (const body of [list, object].flatMap(placed)) {
        const { status, code } = await attack(server, CHAT, body);
        assert.deepEqual([status, code], [400, 'invalid_value']);
      }
      for (const path of ROUTES) {
        for (const deep of [list, object]) {
          const body = having(SMALLEST[path], 'input', deep);
          assert.equal((await attack(server, path, body)).status, 400, path);
        }
      }
    });
  });

  test('is text where it is text: as the arguments of a call that was made', async () => {
    await besiege(server, async () => {
      for (const deep of [list, object]) {
        const call = { type: 'function', function: { name: 'f', arguments: deep } };
        const messages = [{ role: 'assistant', tool_calls: [call] }];
        const body = JSON.stringify({ ...SMALLEST[CHAT], messages });
        const { status, code } = await attack(server, CHAT, body);
        assert.deepEqual([status, code], [400, 'context_length_exceeded']);
      }
    });
  });
});

describe('A body without end', () => {
  /** Sends headers and then chunks until the answer is there; gives it and how much was sent. */
  function pour(headers: http.OutgoingHttpHeaders, most: number) {
    return new Promise<{ status: number | null; sent: number }>((resolve) => {
      const request = http.request(server.url + CHAT, { method: 'POST', headers, agent: false });
      let sent = 0;
      let isAnswered = false;
      const part = Buffer.alloc(64 * 1024, ' ');
      const more = (): void => {
        if (isAnswered || sent >= most) return;
        sent += part.length;
        request.write(part, more);
      };
      request.once('response', (response) => {
        isAnswered = true;
        resolve({ status: response.statusCode ?? 0, sent });
        response.destroy();
        request.destroy();
      });
      // The answer is on its way, but whoever still writes may learn of the closed connection first.
      request.on('error', () => {
        if (!isAnswered) resolve({ status: null, sent });
      });
      more();
    });
  }

  test('is refused when its limit is passed, and no more of it is taken', async () => {
    await besiege(server, async () => {
      const headers = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' };
      const seen: (number | null)[] = [];
      for (let time = 0; time < 5 && !seen.includes(413); time++) {
        const poured = pour(headers, 1024 * 1024 * 1024);
        const { status, sent } = await within(poured, 60_000, 'answer to an endless body');
        assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes were taken`);
        seen.push(status);
      }
      assert.ok(seen.includes(413), String(seen));
    });
  });

  test('or that says it has a gigabyte is refused before any of it comes', async () => {
    await besiege(server, async () => {
      const headers = { 'content-type': 'application/json', 'content-length': 1024 ** 3 };
      const poured = pour(headers, 64 * 1024);
      assert.equal((await within(poured, 60_000, 'answer to a gigabyte')).status, 413);
    });
  });
});

describe('Text that is none', () => {
  test('bytes that are not UTF-8 are refused by every route', async () => {
    for (const path of ROUTES) {
      const text = JSON.stringify(SMALLEST[path]);
      for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80]]) {
        const body = Buffer.concat([
          Buffer.from(`${text.slice(0, -1)},"a":"`),
          Buffer.from(bytes),
          Buffer.from('"}'),
        ]);
        const { status, code } = await attack(server, path, body);
        assert.deepEqual([status, code], [400, 'invalid_json'], path);
      }
    }
  });

  const STRANGE = ['"\\ud800"', '"a\\udc00b"', '"\\u0000"', '"\\ufffe\\uffff"', '"\\u202e\\u2028"'];
  const format = (schema: string) =>
    `{"type":"json_schema","json_schema":{"name":"a","schema":${schema}}}`;
  const fields = (text: string): readonly (readonly [string, string])[] => [
    ['messages', `[{"role":"user","content":${text}}]`],
    ['messages', `[{"role":"user","name":${text},"content":[{"type":"text","text":${text}}]}]`],
    ['messages', `[{"role":"tool","tool_call_id":${text},"content":${text}}]`],
    ['messages', `[{"role":${text},"content":"x"}]`],
    ['model', text],
    ['stop', text],
    ['stop', `[${text}]`],
    ['grammar', text],
    ['tool_choice', text],
    ['tools', `[{"type":"function","function":{"name":${text}}}]`],
    ['tools', `[{"type":"function","function":{"name":"f","description":${text}}}]`],
    ['response_format', format(`{"type":${text}}`)],
    ['response_format', format(`{"pattern":${text},"type":"string"}`)],
    ['response_format', format(`{"$ref":${text}}`)],
    ['chat_template_kwargs', `{${text}:${text}}`],
    ['logit_bias', `{${text}:1}`],
    ['dry_sequence_breakers', `[${text}]`],
    ['samplers', `[${text}]`],
    ['reasoning_effort', text],
    [JSON.parse(text), text],
  ];

  test('halves of surrogate pairs and NUL characters harm nobody, wherever they stand', async () => {
    await besiege(server, async () => {
      for (const text of STRANGE) {
        for (const [field, value] of fields(text)) {
          await attack(server, CHAT, having(SMALLEST[CHAT], field, value));
        }
        const texts = ['prompt', 'suffix', 'content', 'input_prefix', 'input_suffix'];
        for (const path of ROUTES) {
          for (const field of [...texts, 'query', 'input', 'model', 'stop']) {
            await attack(server, path, having(SMALLEST[path], field, text));
          }
        }
      }
    });
  });
});

describe('Names that JavaScript knows', () => {
  const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then'];

  test('are names as any other, in every object of a body', async () => {
    await besiege(server, async () => {
      for (const name of NAMES) {
        const own = `{${JSON.stringify(name)}:{"polluted":true}}`;
        const tool = `{"type":"function","function":{"name":"f","parameters":{"properties":${own}}}}`;
        for (const [field, value] of [
          [name, own],
          ['messages', `[{"role":"user","content":"x",${own.slice(1, -1)}}]`],
          ['chat_template_kwargs', own],
          ['logit_bias', own],
          ['stream_options', own],
          ['response_format', own],
          ['tools', `[${tool}]`],
          ['tools', `[{"type":"function","function":{"name":${JSON.stringify(name)}}}]`],
          ['samplers', `[${JSON.stringify(name)}]`],
          ['model', JSON.stringify(name)],
        ] as const) {
          await attack(server, CHAT, having(SMALLEST[CHAT], field, value));
        }
        for (const path of ROUTES) await attack(server, path, having(SMALLEST[path], name, own));
      }
      const { body, headers } = await chat(server, chatBody('besieged', 'x', { temperature: 0 }));
      assert.equal(headers['x-hoshikage-ignored'], undefined);
      assert.equal(body.choices[0]?.message.content, SHORT);
      assert.equal('polluted' in body, false);
    });
  });
});

describe('Numbers beyond all reason', () => {
  const SAMPLING = [
    ...['temperature', 'top_p', 'top_k', 'min_p', 'typical_p', 'top_n_sigma', 'xtc_probability'],
    ...['xtc_threshold', 'mirostat', 'mirostat_tau', 'mirostat_eta', 'dynatemp_range', 'seed'],
    ...['dynatemp_exponent', 'presence_penalty', 'frequency_penalty', 'repeat_penalty'],
    ...['repeat_last_n', 'dry_multiplier', 'dry_base', 'dry_allowed_length', 'dry_penalty_last_n'],
  ];
  const CHAT_NUMBERS = ['max_tokens', 'max_completion_tokens', 'n', 'top_logprobs'];
  const NUMBERS: Readonly<Record<string, readonly string[]>> = {
    [CHAT]: [...SAMPLING, ...CHAT_NUMBERS, 'reasoning_budget'],
    '/v1/chat/completions/input_tokens': [...SAMPLING, ...CHAT_NUMBERS],
    '/v1/completions': [...SAMPLING, 'max_tokens', 'n', 'best_of', 'logprobs'],
    '/infill': [...SAMPLING, 'n_predict'],
    '/v1/embeddings': ['dimensions', 'input'],
    '/v1/rerank': ['top_n'],
    '/tokenize': ['content'],
    '/detokenize': ['tokens'],
  };
  const VALUES = [
    ...['-1', '-0', '0.5', '-1e308', '1e308', '1e-320', '2147483647', '2147483648', '-2147483649'],
    ...['4294967296', '9007199254740991', '9007199254740993', '"1"', 'true', '[1]', '{"a":1}'],
  ];

  for (const path of ROUTES) {
    test(`are refused or taken by ${path}, and 1e999 is refused by the name of its field`, async () => {
      await besiege(server, async () => {
        for (const [at, field] of (NUMBERS[path] ?? []).entries()) {
          for (const value of ['1e999', '-1e999']) {
            const body = having(SMALLEST[path], field, value);
            const { status, param } = await attack(server, path, body);
            assert.deepEqual([status, param], [400, field], `${field} ${value}`);
          }
          for (const value of someOf(VALUES, at)) {
            await attack(server, path, having(SMALLEST[path], field, value));
          }
        }
      });
    });
  }

  test('as times to keep a model are refused or taken', async () => {
    const asking = async () => {
      for (const [at, path] of ROUTES.entries()) {
        for (const value of [...someOf(VALUES, at), '1e999', '-1e999', '0', '"1e999s"', '"-1s"']) {
          await attack(server, path, having(SMALLEST[path], 'keep_alive', value));
        }
      }
    };
    await besiege(server, asking, { keeps: false });
  });

  test('among token ids and biases are refused', async () => {
    for (const value of ['1e999', '-1', '0.5', '4294967296', '2147483647', '"a"', 'null']) {
      const bodies = [
        ['/detokenize', 'tokens', `[${value}]`],
        ['/v1/completions', 'prompt', `[300,${value}]`],
        ['/v1/embeddings', 'input', `[1,${value}]`],
        [CHAT, 'logit_bias', `{"2147483647":${value}}`],
        [CHAT, 'logit_bias', `{${JSON.stringify(value)}:1}`],
      ] as const;
      for (const [path, field, list] of bodies) {
        const { status } = await attack(server, path, having(SMALLEST[path], field, list));
        assert.equal(status, 400, `${path} ${list}`);
      }
    }
    await assertUnharmed(server);
  });

  test('a million of log-probabilities is refused', async () => {
    const more = { logprobs: true, top_logprobs: 1_000_000 };
    const asked = JSON.stringify({ ...SMALLEST[CHAT], ...more });
    const { status, param } = await attack(server, CHAT, asked);
    assert.deepEqual([status, param], [400, 'top_logprobs']);
  });
});

describe('A hundred thousand of everything', () => {
  const LISTS: readonly (readonly [string, string, string])[] = [
    [CHAT, 'stop', '"a"'],
    [CHAT, 'stop', '[]'],
    [CHAT, 'samplers', '"top_k"'],
    [CHAT, 'dry_sequence_breakers', '"a"'],
    [CHAT, 'tools', '{"type":"function","function":{"name":"f"}}'],
    [CHAT, 'messages', '{"role":"user","content":"x"}'],
    [CHAT, 'messages', '{"role":"assistant"}'],
    [CHAT, 'messages', '{"role":"user"}'],
    [CHAT, 'messages', '7'],
    ['/v1/completions', 'prompt', '"x"'],
    ['/v1/completions', 'prompt', '[300]'],
    ['/v1/completions', 'prompt', '300'],
    ['/v1/embeddings', 'input', '"star"'],
    ['/v1/embeddings', 'input', '[1]'],
    ['/v1/embeddings', 'input', '1'],
    ['/v1/rerank', 'documents', '"star"'],
    ['/v1/rerank', 'documents', '{"text":"star"}'],
    ['/detokenize', 'tokens', '300'],
    ['/infill', 'input_extra', '{"text":"a"}'],
  ];

  test('is answered or refused', async () => {
    await besiege(server, async () => {
      for (const [path, field, item] of LISTS) {
        const list = `[${times(MANY, item)}]`;
        await attack(server, path, having(SMALLEST[path], field, list));
      }
      for (const truncation of ['auto', 'disabled']) {
        for (const [count, part] of [
          [MANY, '{"role":"user","content":"x"},{"role":"assistant","content":"y"}'],
          [1, `{"role":"user","content":[${times(MANY, '{"type":"text","text":"x"}')}]}`],
          [1, `{"role":"assistant","tool_calls":[${times(MANY, '{"function":{"name":"f"}}')}]}`],
        ] as const) {
          const body = having(
            { ...SMALLEST[CHAT], truncation },
            'messages',
            `[${times(count, part)}]`,
          );
          const { status } = await attack(server, CHAT, body);
          assert.equal(status, 400);
        }
      }
    });
  });

  test('fields in one object are refused, or named in a header that stays short', async () => {
    await besiege(server, async () => {
      const fields = (count: number) =>
        Array.from({ length: count }, (_, at) => `"field ${at}":1`).join(',');
      for (const [path, body] of Object.entries(SMALLEST)) {
        const some = `${JSON.stringify(body).slice(0, -1)},${fields(MANY)}}`;
        assert.ok((await attack(server, path, some)).status < 500);
        const many = `${JSON.stringify(body).slice(0, -1)},${fields(3 * MANY)}}`;
        assert.equal((await attack(server, path, many)).status, 400);
      }
      const kwargs = having(SMALLEST[CHAT], 'chat_template_kwargs', `{${fields(MANY)}}`);
      assert.equal((await attack(server, CHAT, kwargs)).param, 'chat_template_kwargs');
    });
  });
});
