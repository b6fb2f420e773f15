import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { loadConfig } from '../../src/config.js';
import { ROUTES } from '../../src/http/app.js';
import * as tables from '../../src/http/schema/fields.js';
import { type FieldRule, isRecord } from '../../src/http/schema/fields.js';
import { EXTRA_FIELDS } from '../../src/http/schema/infill.js';
import { openApiDocument } from '../../src/http/schema/openapi.js';
import { OPERATIONS } from '../../src/http/schema/operations.js';
import { DOCUMENT_FIELDS } from '../../src/http/schema/rerank.js';
import { ajv, complaints, document, part } from '../helpers/api-document.js';
import { fakeApp, renderer } from '../helpers/fake-app.js';

after(() => renderer.close());

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
  ['CompletionRequest/properties/stream_options', tables.STREAM_OPTION_FIELDS],
  ['InfillRequest/properties/input_extra/items', EXTRA_FIELDS],
  ['RerankRequest/properties/documents/items/anyOf/1', DOCUMENT_FIELDS],
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
      { type: 'text' },
      { type: 'json_object' },
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
