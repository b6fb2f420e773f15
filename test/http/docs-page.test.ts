import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { loadConfig } from '../../src/config.js';
import { docsPage } from '../../src/http/docs-page.js';
import { DOCS_SCRIPT } from '../../src/http/docs-script.js';
import { openApiDocument } from '../../src/http/schema/openapi.js';
import { OPERATIONS } from '../../src/http/schema/operations.js';
import { fakeApp, renderer } from '../helpers/fake-app.js';

after(() => renderer.close());

const page = docsPage();
const policy = page.headers.get('content-security-policy') ?? '';
const html = await page.text();

/** What stands between the tags of the only element of a name. */
function inside(tag: 'script' | 'style'): string {
  const found = [...html.matchAll(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`, 'g'))];
  assert.equal(found.length, 1);
  return found[0]?.[1] ?? '';
}

const hashOf = (text: string): string =>
  `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** The little of an element that the script uses; children are elements and texts, as appended. */
class FakeElement {
  readonly attributes = new Map<string, string>();
  readonly children: (FakeElement | string)[] = [];

  constructor(readonly tag: string) {}

  setAttribute(name: string, value: string): void {
    this.attributes.set(name, value);
  }

  append(...children: (FakeElement | string)[]): void {
    this.children.push(...children);
  }

  get text(): string {
    return this.children.map((one) => (typeof one === 'string' ? one : one.text)).join('');
  }

  *all(): Generator<FakeElement> {
    yield this;
    for (const one of this.children) if (typeof one !== 'string') yield* one.all();
  }
}

/** Runs the page's script over what the server would answer; gives the elements by their ids. */
async function shown(body: unknown, ok = true): Promise<Record<string, FakeElement>> {
  const places: Record<string, FakeElement> = Object.fromEntries(
    ['routes', 'list', 'version', 'about'].map((id) => [id, new FakeElement(id)]),
  );
  const asked: string[] = [];
  runInNewContext(inside('script'), {
    document: {
      getElementById: (id: string) => places[id],
      createElement: (tag: string) => new FakeElement(tag),
    },
    location: { origin: 'http://127.0.0.1:3030', hash: '' },
    fetch: async (path: string) => {
      asked.push(path);
      return { ok, json: async () => body };
    },
  });
  await nextTurn();
  assert.deepEqual(asked, ['openapi.json']);
  return places;
}

const source = (env: Record<string, string> = {}) => ({
  config: loadConfig({ env, home: '/nowhere', cwd: '/' }),
  version: '1.2.3',
});
const documentOf = (env?: Record<string, string>): unknown =>
  JSON.parse(JSON.stringify(openApiDocument(source(env))));

const textsOf = (place: FakeElement | undefined, tag: string): string[] =>
  [...(place?.all() ?? [])].filter((one) => one.tag === tag).map((one) => one.text);

describe('GET /docs: the page', () => {
  it('is HTML, Japanese first, and answers while the rooms are being built', async () => {
    const response = await fakeApp({ opening: new Promise(() => {}) }).ask('/docs');
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.match(await response.text(), /^<!doctype html>\n<html lang="ja">/);
  });

  it('wants the key where there is one', async () => {
    const { ask } = fakeApp({ settings: { API_KEY: 'secret-key' } });
    assert.equal((await ask('/docs')).status, 401);
    const headers = { authorization: 'Bearer secret-key' };
    assert.equal((await ask('/docs', { headers })).status, 200);
  });

  it('lets in its own script and style by their hashes, and nothing else', () => {
    const rules = new Map(
      policy.split('; ').map((rule) => {
        const [name = '', ...values] = rule.split(' ');
        return [name, values.join(' ')];
      }),
    );
    assert.equal(rules.get('default-src'), "'none'");
    assert.equal(rules.get('script-src'), hashOf(inside('script')));
    assert.equal(rules.get('style-src'), hashOf(inside('style')));
    assert.equal(rules.get('connect-src'), "'self'");
    assert.equal(rules.get('require-trusted-types-for'), "'script'");
    assert.equal(rules.get('frame-ancestors'), "'none'");
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
  });

  it('brings nothing from elsewhere and makes no markup of a text', () => {
    assert.doesNotMatch(html, /https?:\/\/|\/\/[a-z]+\.|\bsrc=|\bon[a-z]+=|style=|@import|url\(/);
    assert.doesNotMatch(
      DOCS_SCRIPT,
      /innerHTML|outerHTML|insertAdjacent|\.write\(|eval|Function\(/,
    );
  });

  it('follows the reader’s light or dark, and has a way past the list for the keyboard', () => {
    assert.match(html, /color-scheme: light dark/);
    assert.match(html, /prefers-color-scheme: dark/);
    assert.match(html, /<a class="skip" href="#routes">/);
  });
});

describe('GET /docs: what it shows', () => {
  it('is every route, in the list and with a section of its own', async () => {
    const { routes, list } = await shown(documentOf());
    const rows = OPERATIONS.map(({ method, path }) => `${method} ${path}`).sort();
    assert.deepEqual(textsOf(routes, 'h3').sort(), rows);
    assert.deepEqual(textsOf(list, 'a').sort(), rows);
    const ids = new Set([...(routes?.all() ?? [])].map((one) => one.attributes.get('id')));
    for (const one of list?.all() ?? []) {
      const href = one.attributes.get('href');
      if (href !== undefined) assert.ok(ids.has(href.slice(1)), href);
    }
  });

  it('is every field of a body with its range, its default and both languages', async () => {
    const { routes } = await shown(documentOf());
    const rows = textsOf(routes, 'tr');
    for (const { body } of OPERATIONS) {
      for (const name of Object.keys(body?.table.fields ?? {})) {
        assert.ok(
          rows.some((row) => row.startsWith(name)),
          name,
        );
      }
    }
    const row = (name: string) => rows.find((one) => one.startsWith(name)) ?? '';
    assert.match(
      row('temperature'),
      /^temperaturenumber 0 – 20\.2設定 TEMPERATURE温度.*Temperature/,
    );
    assert.match(row('messages[].role'), /必須 required"system" \| "developer" \| "user"/);
    assert.match(row('stop'), /string 1 – 256 文字 charsstring\[\] ≤ 16 個 items/);
    assert.match(row('functions'), /^functions\[\]/);
    assert.match(row('web_search_options'), /^web_search_optionsなし none/);
  });

  it('sorts them into honoured, refused and ignored', async () => {
    const { routes } = await shown(documentOf());
    const chat = [...(routes?.all() ?? [])].find(
      (one) => one.attributes.get('id') === 'createChatCompletion',
    );
    const tables = [...(chat?.all() ?? [])].filter((one) => one.tag === 'details');
    const namesOf = (at: number) => textsOf(tables[at], 'th');
    const placesOf = (name: string) => [0, 1, 2].filter((at) => namesOf(at).includes(name));
    assert.deepEqual(placesOf('temperature'), [0]);
    assert.deepEqual(placesOf('stream_options.include_usage'), [0]);
    assert.deepEqual(placesOf('verbosity'), [1]);
    assert.deepEqual(placesOf('messages[].audio'), [1]);
    assert.deepEqual(placesOf('store'), [2]);
  });

  it('is what an answer has, with what may be null and what may be absent', async () => {
    const { routes } = await shown(documentOf());
    const rows = textsOf(routes, 'li');
    const row = (name: string) => rows.find((one) => one.startsWith(name));
    const message = 'choices[].message';
    assert.equal(row('id'), 'id string');
    assert.equal(row(`${message}.content`), `${message}.content string | null`);
    const stops = rows.filter((one) => one.startsWith('stop '));
    assert.deepEqual(stops, ['stop true', 'stop false', 'stop true'], 'whole, then each event');
    assert.equal(row(`${message}.refusal`), `${message}.refusal null`);
    assert.equal(row(`${message}.tool_calls`), `${message}.tool_calls object[] 省略あり optional`);
  });

  it('says of a body that stands elsewhere where that is', async () => {
    const { routes } = await shown(documentOf());
    const count = [...(routes?.all() ?? [])].find(
      (one) => one.attributes.get('id') === 'countChatTokens',
    );
    const [link, ...others] = [...(count?.all() ?? [])].filter((one) => one.tag === 'a');
    assert.equal(link?.attributes.get('href'), '#createChatCompletion');
    assert.equal(link?.text, 'POST /v1/chat/completions');
    assert.deepEqual(others, []);
    assert.equal(textsOf(count, 'th').includes('messages'), false);
  });

  it('has a command to try, with the key only where one is wanted', async () => {
    const open = textsOf((await shown(documentOf())).routes, 'pre');
    assert.equal(
      open[0],
      [
        "curl -s 'http://127.0.0.1:3030/v1/chat/completions' \\",
        "  -H 'Content-Type: application/json' \\",
        '  -d \'{"model":"hoshikage-guide","messages":[{"role":"user","content":"こんにちは"}],"max_tokens":64}\'',
      ].join('\n'),
    );
    const closed = textsOf((await shown(documentOf({ API_KEY: 'k' }))).routes, 'pre');
    assert.match(closed[0] ?? '', /-H "Authorization: Bearer \$API_KEY" \\\n/);
    const remove = open.find((text) => text.includes('DELETE'));
    assert.match(
      remove ?? '',
      /admin\/models\/hoshikage-guide' -X DELETE \\\n {2}-H "Authorization: Bearer \$TOKEN"$/,
    );
  });

  it('stays text, whatever a document holds', async () => {
    const evil = `"'><img src=x onerror=alert(1)> / <script>alert(2)</script>`;
    const schema = {
      properties: {
        [evil]: { type: evil, description: evil, default: evil, 'x-hoshikage': 'honoured' },
      },
    };
    const content = { 'application/json': { schema, example: { a: "it's" } } };
    const { routes } = await shown({
      info: { version: evil, description: evil },
      tags: [{ name: 'a', description: evil }],
      paths: {
        [`/${evil}`]: {
          post: {
            operationId: 'x',
            summary: evil,
            tags: ['a'],
            security: [],
            requestBody: { content },
            responses: { 200: { content } },
          },
        },
      },
    });
    const tags = new Set([...(routes?.all() ?? [])].map((one) => one.tag));
    assert.deepEqual([tags.has('img'), tags.has('script')], [false, false]);
    assert.equal(textsOf(routes, 'th').at(-1), evil);
    assert.match(textsOf(routes, 'pre')[0] ?? '', /-d '\{"a":"it'\\''s"\}'$/);
  });

  it('says what the server said where it refuses', async () => {
    const refusal = { error: { message: '鍵がありません / The key is missing' } };
    const { routes } = await shown(refusal, false);
    assert.match(routes?.text ?? '', /^鍵がありません The key is missing$/);
    assert.match((await shown({ not: 'a document' })).routes?.text ?? '', /受け取れませんでした/);
  });
});
