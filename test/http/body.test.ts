/** Bodies that are no use to anyone, refused before anything walks through them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { MAX_BODY_DEPTH, MAX_BODY_FIELDS, readJson } from '../../src/http/body.js';

const LIMIT = 20 * 1024 * 1024;

async function read(body: string | Uint8Array, maxBytes = LIMIT): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  const request = new Request('http://localhost/', { method: 'POST', headers, body });
  return readJson(request, maxBytes);
}

async function refusal(body: string | Uint8Array): Promise<string> {
  try {
    await read(body);
  } catch (thrown) {
    assert.ok(thrown instanceof HoshikageError, String(thrown));
    return `${thrown.code} ${thrown.details.param ?? ''} ${thrown.details.reason}`;
  }
  return 'accepted';
}

describe('A body', () => {
  test('is refused where it is nested too deeply, in lists or in objects, closed or not', async () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const nested = (depth: number) => `${open.repeat(depth)}1${close.repeat(depth)}`;
      assert.equal(await refusal(nested(MAX_BODY_DEPTH)), 'accepted');
      assert.match(await refusal(nested(MAX_BODY_DEPTH + 1)), /^invalid_value body it is nested/);
      assert.match(await refusal(nested(100_000)), /^invalid_value body it is nested/);
      assert.match(await refusal(open.repeat(100_000)), /^invalid_value body it is nested/);
    }
  });

  test('may hold any brackets, colons and quotes as text', async () => {
    const text = `${'[{:'.repeat(100_000)}"\\`;
    assert.deepEqual(await read(JSON.stringify({ [text]: text })), { [text]: text });
  });

  test('is refused where its objects have too many fields', async () => {
    const rows = (count: number) => `[${Array(count).fill('{"a":1}').join(',')}]`;
    assert.equal(await refusal(rows(MAX_BODY_FIELDS)), 'accepted');
    assert.match(await refusal(rows(MAX_BODY_FIELDS + 1)), /^invalid_value body its objects have/);
  });

  test('that is no JSON is still refused as such', async () => {
    for (const broken of ['', ']', '}}', '"', '"\\', '{"a":1', 'nul', '[1,]', '\u0000']) {
      assert.match(await refusal(broken), /^invalid_json/, JSON.stringify(broken));
    }
    assert.match(await refusal(Uint8Array.of(0x22, 0xff, 0x22)), /^invalid_json .*not UTF-8/);
  });
});
