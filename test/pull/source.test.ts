/** What a user may name, and what it means. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KNOWN_MODELS } from '../../src/pull/known.js';
import { type HubSource, parseSource } from '../../src/pull/source.js';

const HUB = 'https://huggingface.co';
const MIRROR = 'http://127.0.0.1:8080/hf';

function hub(text: string, endpoint = HUB): Partial<HubSource> {
  const source = parseSource(text, endpoint);
  assert.equal(source.kind, 'hub', text);
  return source;
}

test('a repository of the hub is named by owner and name, with a form or a file', () => {
  const plain = { owner: 'Qwen', repository: 'Qwen3-4B-GGUF', revision: 'main' };
  for (const [text, quantisation, file] of [
    ['hf:Qwen/Qwen3-4B-GGUF', null, null],
    ['hf://Qwen/Qwen3-4B-GGUF/', null, null],
    ['hf:Qwen/Qwen3-4B-GGUF:q4_k_m', 'q4_k_m', null],
    ['hf.co/Qwen/Qwen3-4B-GGUF:UD-Q4_K_XL', 'UD-Q4_K_XL', null],
    ['hf:Qwen/Qwen3-4B-GGUF/sub/a.Q8_0.gguf', null, 'sub/a.Q8_0.gguf'],
    ['https://huggingface.co/Qwen/Qwen3-4B-GGUF', null, null],
    ['https://huggingface.co/Qwen/Qwen3-4B-GGUF/tree/main', null, null],
    ['https://huggingface.co/Qwen/Qwen3-4B-GGUF/resolve/main/a.gguf?download=true', null, 'a.gguf'],
    ['https://huggingface.co/Qwen/Qwen3-4B-GGUF/blob/main/x%20y.gguf', null, 'x y.gguf'],
  ] as const) {
    assert.deepEqual(hub(text), { kind: 'hub', ...plain, quantisation, file, known: null }, text);
  }
  assert.equal(hub('https://huggingface.co/a/b/resolve/v1.0/c.gguf').revision, 'v1.0');
});

test('pages of the hub and of the mirror in its place mean the same', () => {
  for (const text of [
    'https://huggingface.co/a/b/blob/main/c.gguf',
    'http://127.0.0.1:8080/hf/a/b/resolve/main/c.gguf',
  ]) {
    const { owner, repository, file } = hub(text, MIRROR);
    assert.deepEqual([owner, repository, file], ['a', 'b', 'c.gguf']);
  }
  for (const text of ['http://127.0.0.1:8080/other/c.gguf', 'http://127.0.0.1:8080/hf/c.gguf']) {
    assert.equal(parseSource(text, MIRROR).kind, 'url', text);
  }
});

test('a short name means its repository, in its usual form unless another is named', () => {
  const [first] = KNOWN_MODELS;
  assert.equal(first?.name, 'lfm2.5-1.2b-jp');
  const usual = hub('LFM2.5-1.2B-JP');
  assert.deepEqual(
    [usual.owner, usual.repository, usual.quantisation, usual.known],
    ['LiquidAI', 'LFM2.5-1.2B-JP-GGUF', 'Q8_0', 'lfm2.5-1.2b-jp'],
  );
  const other = hub('lfm2.5-1.2b-jp:Q4_K_M');
  assert.deepEqual([other.quantisation, other.known], ['Q4_K_M', null]);
  for (const { name, repository } of KNOWN_MODELS) {
    const { owner, repository: own, known } = hub(name);
    assert.deepEqual([`${owner}/${own}`, known], [repository, name]);
  }
});

test('the address of a file anywhere is taken as it is', () => {
  const source = parseSource('https://models.example/a/b.gguf?key=1#top', HUB);
  assert.equal(source.kind === 'url' && source.url.href, 'https://models.example/a/b.gguf?key=1');
});

test('whatever names no model is refused in words', () => {
  for (const text of [
    ...['', 'nonsense', 'hf:', 'hf:a', 'hf:a/', 'hf:/b', 'hf:../b', 'hf:a/..', 'hf:a/b..c'],
    ...['hf:a/b:', 'hf:a/b:Q4:Q5', 'hf:a/b:Q4/x.gguf', 'hf:a/b/c.txt', 'hf:a b/c', 'hf:a/.b'],
    ...['ftp://a.example/b.gguf', 'http://', 'https://huggingface.co/a', 'hf:a/b\n'],
    ...['https://huggingface.co/a/b/blob/main/%E0%A4%A.gguf', `hf:a/${'b'.repeat(200)}`],
  ]) {
    assert.throws(() => parseSource(text, HUB), { code: 'usage' }, JSON.stringify(text));
  }
  assert.throws(() => parseSource('Qwen/Qwen3-4B-GGUF', HUB), /hf:Qwen\/Qwen3-4B-GGUF\?/);
  assert.throws(
    () => parseSource('https://me:secret@a.example/b.gguf', HUB),
    (error: Error) => {
      assert.ok(!error.message.includes('secret'), error.message);
      return /password/.test(error.message);
    },
  );
});
