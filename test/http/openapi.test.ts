import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { loadConfig } from '../../src/config.js';
import { HoshikageError } from '../../src/errors.js';
import { ROUTES } from '../../src/http/app.js';
import { ChatCollector, ChunkWriter } from '../../src/http/chat-shape.js';
import { errorBody } from '../../src/http/error.js';
import { parseAdd, parseLoad, parseUnload, parseUse } from '../../src/http/schema/admin.js';
import { parseChat } from '../../src/http/schema/chat.js';
import * as tables from '../../src/http/schema/fields.js';
import { type FieldRule, isRecord } from '../../src/http/schema/fields.js';
import { openApiDocument } from '../../src/http/schema/openapi.js';
import { OPERATIONS } from '../../src/http/schema/operations.js';
import { parseDetokenize, parseEmbedding, parseTokenize } from '../../src/http/schema/tokens.js';
import { ADMIN, fakeApp, renderer } from '../helpers/fake-app.js';

after(() => renderer.close());

const config = loadConfig({ env: {}, home: '/nowhere', cwd: '/' });
const made = openApiDocument({ config, version: '1.2.3' });
/** As a client gets it. */
const document: unknown = JSON.parse(JSON.stringify(made));

/** A part of the document; fails where there is none. */
function part(...path: readonly (string | number)[]): Readonly<Record<string, unknown>> {
  let node: unknown = document;
  for (const key of path)
    node = isRecord(node) || Array.isArray(node) ? Reflect.get(node, key) : undefined;
  assert.ok(isRecord(node), path.join(' '));
  return node;
}

const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addSchema({ $id: 'doc', ...part() });

/** What one of the document's schemas says of a value. */
function complaints(schema: string, value: unknown): string {
  const validate = ajv.getSchema(`doc#/components/schemas/${schema}`);
  assert.ok(validate, schema);
  return validate(value) ? '' : ajv.errorsText(validate.errors);
}

/** Every object in the document with its place. */
function* objects(node: unknown, at = '#'): Generator<[string, Readonly<Record<string, unknown>>]> {
  if (Array.isArray(node)) {
    for (const [index, one] of node.entries()) yield* objects(one, `${at}/${index}`);
  } else if (isRecord(node)) {
    yield [at, node];
    for (const [key, one] of Object.entries(node)) yield* objects(one, `${at}/${key}`);
  }
}

const all = [...objects(document)];

describe('openapi: the document', () => {
  it('is of version 3.1 and says what it describes', () => {
    assert.equal(part().openapi, '3.1.0');
    assert.equal(part('info').version, '1.2.3');
    assert.deepEqual(part().servers, [{ url: '/' }]);
  });

  it('has every route of the application and no other', () => {
    const described = Object.entries(part('paths')).flatMap(([path, operations]) =>
      Object.keys(isRecord(operations) ? operations : {}).map(
        (method) => `${method.toUpperCase()} ${path}`,
      ),
    );
    assert.deepEqual(
      described.sort(),
      ROUTES.map(({ method, path }) => `${method} ${path}`).sort(),
    );
  });

  it('gives every operation a name of its own, words in both languages and answers', () => {
    const ids = new Set<unknown>();
    for (const { method, path } of OPERATIONS) {
      const operation = part('paths', path, method.toLowerCase());
      ids.add(operation.operationId);
      assert.match(String(operation.summary), /\p{scx=Hira}.* \/ [ -~]+$/u, path);
      assert.deepEqual(Object.keys(part('paths', path, method.toLowerCase(), 'responses')), [
        '200',
        'default',
      ]);
      const content = part('paths', path, method.toLowerCase(), 'responses', 200, 'content');
      assert.ok(Object.keys(content).length > 0, path);
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const parameters: unknown = operation.parameters ?? [];
      assert.ok(Array.isArray(parameters), path);
      const inPath = parameters.filter((one) => one.in === 'path').map((one) => one.name);
      assert.deepEqual(inPath, named);
    }
    assert.equal(ids.size, OPERATIONS.length);
  });

  it('has something behind every $ref', () => {
    const refs = all.flatMap(([, node]) => (typeof node.$ref === 'string' ? [node.$ref] : []));
    assert.ok(refs.length > 20, `${refs.length} references`);
    const places = new Set(all.map(([at]) => at));
    assert.deepEqual(
      refs.filter((ref) => !places.has(ref)),
      [],
    );
  });

  it('has only schemas that a validator takes', () => {
    const meta = ajv.getSchema('https://json-schema.org/draft/2020-12/schema');
    assert.ok(meta, 'the validator knows its own language');
    for (const [name, schema] of Object.entries(part('components', 'schemas'))) {
      assert.ok(meta(schema), `${name}: ${ajv.errorsText(meta.errors)}`);
      complaints(name, null);
    }
  });

  it('knows the items of every list', () => {
    const blind = all.filter(
      ([at, { type, items, maxItems }]) =>
        at.startsWith('#/components/schemas/') &&
        [type].flat().includes('array') &&
        maxItems !== 0 &&
        (!isRecord(items) || Object.keys(items).length === 0),
    );
    assert.deepEqual(
      blind.map(([at]) => at),
      [],
    );
  });

  it('has a form for every field that is honoured', () => {
    const free = all.filter(
      ([, node]) =>
        node['x-hoshikage'] === 'honoured' &&
        !('type' in node || 'anyOf' in node || 'enum' in node),
    );
    assert.deepEqual(
      free.map(([at]) => at),
      [],
    );
  });

  it('has examples that it takes itself', () => {
    for (const { body } of OPERATIONS) {
      if (body) assert.equal(complaints(body.title, body.example), '', body.title);
    }
  });
});

/** Every place in the document whose properties a table sorts, with that table. */
const sorted: readonly (readonly [place: string, Readonly<Record<string, FieldRule>>])[] = [
  ...OPERATIONS.flatMap(({ body }) => (body ? [[body.title, body.table.fields] as const] : [])),
  ['ChatCompletionRequest/properties/stream_options', tables.STREAM_OPTION_FIELDS],
  ['ChatCompletionRequest/properties/response_format', tables.RESPONSE_FORMAT_FIELDS],
  [
    'ChatCompletionRequest/properties/response_format/properties/json_schema',
    tables.JSON_SCHEMA_FIELDS,
  ],
  ['ChatCompletionRequest/properties/tools/items', tables.TOOL_FIELDS],
  [
    'ChatCompletionRequest/properties/tools/items/properties/function',
    tables.OFFERED_FUNCTION_FIELDS,
  ],
  ['ChatCompletionRequest/properties/messages/items', tables.MESSAGE_FIELDS],
  [
    'ChatCompletionRequest/properties/messages/items/properties/content/anyOf/1/items',
    tables.CONTENT_PART_FIELDS,
  ],
  [
    'ChatCompletionRequest/properties/messages/items/properties/tool_calls/items',
    tables.TOOL_CALL_FIELDS,
  ],
  [
    'ChatCompletionRequest/properties/messages/items/properties/tool_calls/items/properties/function',
    tables.TOOL_FUNCTION_FIELDS,
  ],
];

describe('openapi: fields', () => {
  const each = sorted.flatMap(([place, fields]) =>
    Object.entries(fields).map(([name, rule]) => {
      const at = ['components', 'schemas', ...place.split('/'), 'properties', name];
      return { at, rule, field: part(...at) };
    }),
  );

  it('are those of the tables, in their order, each with what becomes of it', () => {
    for (const [place, fields] of sorted) {
      const properties = part('components', 'schemas', ...place.split('/'), 'properties');
      assert.deepEqual(Object.keys(properties), Object.keys(fields), place);
    }
    for (const { at, rule, field } of each) {
      const kind = typeof rule === 'function' ? 'refused' : rule;
      assert.equal(field['x-hoshikage'], kind, at.join('/'));
    }
  });

  it('are put into words, Japanese and then English', () => {
    for (const { at, field } of each) {
      const [ja = '', en = '', ...more] = String(field.description).split(' / ');
      assert.match(ja, /[\p{scx=Hira}\p{scx=Kana}\p{scx=Han}]|^JSON Schema$/u, at.join('/'));
      assert.match(en, /^[ -~…’]+$/, at.join('/'));
      assert.deepEqual(more, [], at.join('/'));
    }
  });

  it('have defaults that they would take themselves', () => {
    const some = each.filter(({ field }) => 'default' in field);
    assert.ok(some.length > 30, `${some.length} defaults`);
    for (const { at, field } of some) {
      const validate = ajv.compile({ ...field });
      assert.ok(validate(field.default), `${at.join('/')}: ${ajv.errorsText(validate.errors)}`);
    }
  });

  it('that are refused say exactly which values are taken', () => {
    const values = [
      null,
      '',
      'none',
      'auto',
      'medium',
      'x',
      0,
      1,
      false,
      true,
      [],
      ['text'],
      ['audio'],
      {},
    ];
    const refused = each.filter(({ rule }) => typeof rule === 'function');
    assert.ok(refused.length >= 8, `${refused.length} refused`);
    for (const { at, rule, field } of refused) {
      const validate = ajv.compile({ ...field });
      assert.ok(typeof rule === 'function' && rule.accepts, at.join('/'));
      for (const value of values) {
        const isTaken: boolean = value === null || rule(value);
        assert.equal(validate(value), isTaken, `${at.join('/')} ${JSON.stringify(value)}`);
      }
    }
  });

  it('that a setting decides name it, and show its value', () => {
    const warm = loadConfig({ env: { TEMPERATURE: '0.9' }, home: '/nowhere', cwd: '/' });
    const { components } = openApiDocument({ config: warm, version: '1' });
    const field = /"temperature":(\{[^}]*\})/.exec(JSON.stringify(components))?.[1] ?? '';
    const { default: value, 'x-hoshikage-setting': setting } = JSON.parse(field);
    assert.deepEqual([value, setting], [0.9, 'TEMPERATURE']);
  });
});

const messages = [{ role: 'user', content: 'Hi' }];
const chat = (more: object) => ({ model: 'm', messages, ...more });
const said = (message: object) => chat({ messages: [message] });
const tool = (offered: object) => chat({ tools: [{ type: 'function', function: offered }] });

/** Bodies that both the parser and the document take, and bodies that neither takes. */
const BODIES: readonly {
  readonly schema: string;
  readonly parse: (body: unknown, strict: boolean) => unknown;
  readonly good: readonly unknown[];
  readonly bad: readonly unknown[];
}[] = [
  {
    schema: 'ChatCompletionRequest',
    parse: parseChat,
    good: [
      chat({}),
      chat({ temperature: null, stop: null, tools: null, keep_alive: null, audio: null }),
      chat({ temperature: 0, top_p: 1, top_k: 0, min_p: 1, typical_p: 0.5, seed: -1, n: 8 }),
      chat({ stop: 'END' }),
      chat({ stop: ['a', 'b'] }),
      chat({ keep_alive: '1h30m' }),
      chat({ keep_alive: -1 }),
      chat({ logit_bias: { 12: -100 }, mirostat: 2, samplers: ['temp', 'top_k'] }),
      chat({ response_format: { type: 'json_schema', json_schema: { name: 'a', schema: true } } }),
      chat({ tool_choice: 'none', functions: [], modalities: ['text'], verbosity: 'medium' }),
      chat({ store: true, metadata: { a: 'b' }, unheard_of: [1] }),
      chat({ chat_template_kwargs: { enable_thinking: false }, truncation: 'auto' }),
      tool({ name: 'f', parameters: { type: 'object' }, strict: true }),
      said({
        role: 'tool',
        content: [{ type: 'text', text: 'a' }],
        tool_call_id: 'c',
        refusal: 'x',
      }),
      said({
        role: 'assistant',
        content: null,
        tool_calls: [{ function: { name: 'f' }, index: 0 }],
      }),
    ],
    bad: [
      null,
      [],
      {},
      { model: 'm' },
      chat({ model: '' }),
      chat({ model: 'x'.repeat(1025) }),
      chat({ messages: [] }),
      chat({ messages: 'Hi' }),
      said({ content: 'Hi' }),
      said({ role: 'robot', content: 'Hi' }),
      said({ role: 'user', content: 5 }),
      said({ role: 'user', content: [{ type: 'text' }] }),
      said({ role: 'user', content: [{ type: 'image_url', image_url: {} }] }),
      said({ role: 'assistant', tool_calls: [{ function: { name: '' } }] }),
      said({ role: 'assistant', audio: { id: 'a' } }),
      chat({ temperature: 2.1 }),
      chat({ temperature: '1' }),
      chat({ top_k: 1.5 }),
      chat({ n: 9 }),
      chat({ repeat_penalty: 0 }),
      chat({ mirostat: 1 }),
      chat({ samplers: ['dice'] }),
      chat({ samplers: ['top_k', 'top_k'] }),
      chat({ stop: [''] }),
      chat({ stop: Array(17).fill('a') }),
      chat({ logit_bias: { hello: 1 } }),
      chat({ logit_bias: { 1: 101 } }),
      chat({ keep_alive: 'soon' }),
      chat({ keep_alive: 3_000_000 }),
      chat({ keep_alive: true }),
      chat({ max_tokens: 0 }),
      chat({ response_format: { type: 'xml' } }),
      chat({ response_format: { type: 'json_schema', json_schema: { name: 'a b' } } }),
      chat({ chat_template_kwargs: { messages: [] } }),
      chat({ tool_choice: 'perhaps' }),
      chat({ audio: {} }),
      chat({ functions: [{}] }),
      chat({ verbosity: 'high' }),
      tool({ name: 'no spaces' }),
      chat({ tools: [{ type: 'function' }] }),
      chat({ tools: Array(129).fill({ type: 'function', function: { name: 'f' } }) }),
    ],
  },
  {
    schema: 'EmbeddingRequest',
    parse: parseEmbedding,
    good: [
      { model: 'm', input: 'a' },
      { model: 'm', input: [1, 2] },
      { model: 'm', input: ['a', 'b'], encoding_format: 'base64', dimensions: 4, user: 'u' },
      { model: 'm', input: [[1], [2, 3]] },
    ],
    bad: [
      { model: 'm' },
      { input: 'a' },
      { model: 'm', input: '' },
      { model: 'm', input: [] },
      { model: 'm', input: [-1] },
      { model: 'm', input: ['a', 1] },
      { model: 'm', input: [[]] },
      { model: 'm', input: Array(2049).fill('a') },
      { model: 'm', input: 'a', encoding_format: 'int8' },
      { model: 'm', input: 'a', dimensions: 0 },
    ],
  },
  {
    schema: 'TokenizeRequest',
    parse: parseTokenize,
    good: [{ content: '' }, { model: 'm', content: 'a', add_special: true, with_pieces: null }],
    bad: [{}, { content: 1 }, { content: 'a', parse_special: 'yes' }],
  },
  {
    schema: 'DetokenizeRequest',
    parse: parseDetokenize,
    good: [{ tokens: [] }, { tokens: [0, 2 ** 31 - 1] }],
    bad: [{}, { tokens: [1.5] }, { tokens: [2 ** 31] }, { tokens: 'a' }],
  },
  {
    schema: 'AddModelRequest',
    parse: parseAdd,
    good: [
      { name: 'm', path: '/m.gguf', n_ctx: 1, n_gpu_layers: 'auto', stop: ['a'], force: null },
    ],
    bad: [{ name: 'm' }, { name: '', path: '/m' }, { name: 'm', path: '/m', n_ctx: 0 }],
  },
  {
    schema: 'UseLibraryRequest',
    parse: parseUse,
    good: [{ id: null }, { id: 'b9999-vulkan' }],
    bad: [{}, { id: '../x' }, { id: 1 }],
  },
  {
    schema: 'LoadModelRequest',
    parse: parseLoad,
    good: [{}, { keep_alive: 5 }],
    bad: [{ keep_alive: [] }],
  },
  {
    schema: 'UnloadRequest',
    parse: parseUnload,
    good: [{}, { model: null }, { model: 'm' }],
    bad: [{ model: '' }, { model: 1 }],
  },
];

describe('openapi: bodies', () => {
  it('have a table of examples for every request that has one', () => {
    const titles = OPERATIONS.flatMap(({ body }) => (body ? [body.title] : []));
    assert.deepEqual(BODIES.map(({ schema }) => schema).sort(), titles.sort());
  });

  for (const { schema, parse, good, bad } of BODIES) {
    it(`${schema}: what the parser takes fits, and what it refuses does not`, () => {
      for (const body of good) {
        parse(body, false);
        assert.equal(complaints(schema, body), '', JSON.stringify(body));
      }
      for (const body of bad) {
        assert.throws(() => parse(body, false), HoshikageError, JSON.stringify(body).slice(0, 200));
        assert.notEqual(complaints(schema, body), '', JSON.stringify(body).slice(0, 200));
      }
    });
  }
});

describe('openapi: answers', () => {
  it('of the routes that need no model fit their schemas', async () => {
    const { ask } = fakeApp();
    for (const { method, path, answer } of OPERATIONS) {
      if (method !== 'GET' || !answer || answer === 'OpenApi') continue;
      const response = await ask(path.replace('{id}', 'm'), { headers: ADMIN });
      assert.equal(response.status, 200, path);
      assert.equal(complaints(answer, await response.json()), '', path);
    }
  });

  it('that are errors fit theirs', () => {
    const codes = ['invalid_value', 'model_not_found', 'queue_full', 'internal_error'] as const;
    for (const code of codes) {
      const body = errorBody(new HoshikageError(code, { param: 'model', crashes: 2 }));
      assert.equal(complaints('Error', body), '', code);
    }
  });

  it('of a chat fit theirs, whole and in chunks', () => {
    const answer = { id: 'chatcmpl-1', created: 1, model: 'm' };
    const piece = { token: 1, bytes: Uint8Array.of(72), logprob: -1 };
    const logprobs = [{ ...piece, top: [piece] }];
    const usage = {
      promptTokens: 3,
      completionTokens: 1,
      cachedTokens: 0,
      reasoningTokens: 0,
      truncatedTokens: 1,
    };
    const timings = {
      queueMs: 1,
      loadMs: 0,
      recallMs: 0,
      prefillMs: 2,
      generationMs: 0,
      retriedMs: 0,
    };
    const call = { type: 'call', choice: 0, index: 0, id: 'call_1', name: 'f' } as const;
    const finish = { type: 'finish', choice: 0, finishReason: 'tool_calls' } as const;
    const end = { type: 'end', usage, timings } as const;
    const collector = new ChatCollector(answer, { withLogprobs: true });
    for (const event of [
      { type: 'content', choice: 0, text: 'H', logprobs } as const,
      { type: 'reasoning', choice: 0, text: 'Hm', logprobs: null } as const,
      call,
      { type: 'arguments', choice: 0, index: 0, text: '{}' } as const,
      { type: 'called', choice: 0, index: 0, raw: 'f({})', complete: true } as const,
      finish,
    ]) {
      collector.take(event);
    }
    assert.equal(complaints('ChatCompletion', JSON.parse(JSON.stringify(collector.take(end)))), '');
    const writer = new ChunkWriter(answer, 'fp', { includeUsage: true, withLogprobs: true });
    for (const chunk of [
      writer.role(0),
      writer.content(0, 'H', logprobs),
      writer.reasoning(0, 'Hm'),
      writer.call(call),
      writer.arguments(0, 0, '{}'),
      writer.finish(finish, end),
      writer.usage(end),
    ]) {
      assert.equal(complaints('ChatCompletionChunk', JSON.parse(chunk)), '', chunk);
    }
  });
});

describe('GET /openapi.json', () => {
  it('answers while the rooms are being built, with the same text each time', async () => {
    const { ask } = fakeApp({ opening: new Promise(() => {}) });
    const first = await ask('/openapi.json');
    assert.equal(first.headers.get('content-type'), 'application/json; charset=utf-8');
    const text = await first.text();
    assert.deepEqual(JSON.parse(text), document);
    assert.equal(await (await ask('/openapi.json')).text(), text);
  });

  it('is not sent again to who has it', async () => {
    const { ask } = fakeApp();
    const etag = (await ask('/openapi.json')).headers.get('etag') ?? '';
    const again = await ask('/openapi.json', { headers: { 'if-none-match': etag } });
    assert.equal(again.status, 304);
    assert.equal(await again.text(), '');
    const other = await ask('/openapi.json', { headers: { 'if-none-match': '"other"' } });
    assert.equal(other.status, 200);
  });

  it('wants the key where there is one, and says which routes do', async () => {
    const { ask } = fakeApp({ settings: { API_KEY: 'secret-key' } });
    assert.equal((await ask('/openapi.json')).status, 401);
    const headers = { authorization: 'Bearer secret-key' };
    const text = await (await ask('/openapi.json', { headers })).text();
    assert.equal(text.includes('secret-key'), false);
    const { paths } = JSON.parse(text);
    assert.deepEqual(paths['/v1/models'].get.security, [{ apiKey: [] }]);
    assert.deepEqual(paths['/health'].get.security, []);
    assert.deepEqual(paths['/admin/models'].get.security, [{ admin: [] }]);
    assert.deepEqual(part('paths', '/v1/models', 'get').security, []);
  });
});
