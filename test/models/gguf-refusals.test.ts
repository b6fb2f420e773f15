/** Every reason for which a model's file is refused before anything native reads it, each by a file. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { HoshikageError, words } from '../../src/errors.js';
import { readSoundFile, refusal } from '../../src/models/gguf.js';
import { REASON_CODES, type ReasonCode } from '../../src/models/gguf-reasons.js';
import { readModelFiles } from '../../src/models/model-files.js';
import {
  type GgufFile,
  type GgufTensor,
  type GgufValue,
  ggufBytes,
  smallGguf,
  splitValues,
  text,
  u64,
  withValues,
} from '../helpers/gguf-bytes.js';

let directory = '';
let counter = 0;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-refusals-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

function save(content: GgufFile | Buffer, name = `${counter++}.gguf`): string {
  const path = join(directory, name);
  writeFileSync(path, Buffer.isBuffer(content) ? content : ggufBytes(content).file);
  return path;
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const withRaw = (key: string, ...parts: readonly Buffer[]): GgufFile =>
  withValues(smallGguf(), { [key]: { type: 'raw', value: Buffer.concat(parts) } });
const withTensor = (tensor: Partial<GgufTensor>): GgufFile =>
  smallGguf({ tensors: [{ name: 't', dimensions: [64], ...tensor }] });
const u32Of = (value: number): GgufValue => ({ type: 'u32', value });
const having = (changes: Readonly<Record<string, GgufValue | null>>): GgufFile =>
  withValues(smallGguf(), changes);
const f32s = (count: number): GgufValue => ({
  type: 'raw',
  value: Buffer.concat([u32(9), u32(6), u64(count), Buffer.alloc(4 * count)]),
});

/** Writes part 1 of 2 and whatever is given as part 2; gives the path of the first. */
function saveSplit(first: GgufFile, second: GgufFile): string {
  const name = `split${counter++}`;
  save(second, `${name}-00002-of-00002.gguf`);
  return save(first, `${name}-00001-of-00002.gguf`);
}

const part = (index: number, tensors?: number): GgufFile => {
  const all = smallGguf({ tensors: [{ name: `t${index}`, dimensions: [64] }] });
  return withValues(all, splitValues(index, 2, tensors));
};

/** For every reason, files that are refused for it. */
const CASES: Readonly<Record<ReasonCode, () => readonly string[]>> = {
  not_regular: () => {
    const path = join(directory, 'directory.gguf');
    mkdirSync(path);
    return process.platform === 'win32' ? [path] : [path, '/dev/null', '/dev/zero'];
  },
  impossible_path: () => [`${directory}/a\0b.gguf`],
  too_short: () => [save(Buffer.alloc(0)), save(Buffer.from('GGUF'))],
  not_gguf: () => [save(Buffer.from('PK\u0003\u0004'.repeat(100)))],
  big_endian: () => [save(smallGguf({ version: 0x03000000 }))],
  version: () => [0, 1, 4].map((version) => save(smallGguf({ version }))),
  tensor_count: () =>
    [2 ** 31, 262_145, 5000].map((tensorCount) => save(smallGguf({ tensorCount }))),
  key_count: () => [2 ** 31, 65_537, 5000].map((keyCount) => save(smallGguf({ keyCount }))),
  too_large: () => [
    save(smallGguf({ keyCount: 2n ** 64n - 1n })),
    save(withTensor({ dimensions: [2n ** 63n] })),
    save(withTensor({ offset: 2n ** 64n - 32n })),
  ],
  cut_off: () => [
    save(ggufBytes(smallGguf()).file.subarray(0, 300)),
    save(withRaw('note', u32(8), u64(2 ** 20), text('x'))),
  ],
  shrank: () => [],
  name_length: () => [
    save(having({ '': u32Of(1) })),
    save(having({ ['k'.repeat(4097)]: u32Of(1) })),
    save(withTensor({ name: 'n'.repeat(256) })),
    save(withTensor({ name: '' })),
  ],
  zero_byte: () => [
    // libllama would take them for general.alignment and token_embd.weight.
    save(having({ 'general.alignment\0x': u32Of(3) })),
    save(withTensor({ name: 'token_embd.weight\0x' })),
  ],
  value_type: () => [save(withRaw('x', u32(13), u64(1)))],
  nested_array: () => [save(withRaw('x', u32(9), u32(9), u64(1)))],
  array_type: () => [save(withRaw('x', u32(9), u32(77), u64(1)))],
  array_length: () => [4, 8].map((type) => save(withRaw('x', u32(9), u32(type), u64(2n ** 40n)))),
  key_twice: () => [
    save({ ...smallGguf(), values: [...smallGguf().values, ...smallGguf().values] }),
  ],
  key_type: () => [
    save(having({ 'general.architecture': u32Of(1) })),
    save(having({ 'general.alignment': { type: 'u64', value: 32 } })),
    save(having({ 'split.count': u32Of(2) })),
    save(having({ 'tokenizer.ggml.tokens': u32Of(2) })),
    save(having({ 'tokenizer.ggml.tokens': f32s(4) })),
    save(having({ 'tokenizer.ggml.merges': f32s(4) })),
    save(having({ 'tokenizer.ggml.scores': { type: 'strings', value: ['a', 'b', 'c', 'd'] } })),
    save(withRaw('tokenizer.ggml.scores', u32(9), u32(12), u64(4), Buffer.alloc(32))),
    save(having({ 'tokenizer.ggml.precompiled_charsmap': f32s(4) })),
  ],
  alignment: () =>
    [0, 3, 48, 2 ** 31].map((value) => save(having({ 'general.alignment': u32Of(value) }))),
  no_architecture: () => [
    save(having({ 'general.architecture': null })),
    save(having({ 'general.architecture': { type: 'string', value: '\0llama' } })),
    save(withValues(smallGguf(), { ...splitValues(0, 2), 'general.architecture': null })),
  ],
  tensor_twice: () => {
    const tensor = { name: 't', dimensions: [64] };
    return [save(smallGguf({ tensors: [tensor, tensor] }))];
  },
  dimension_count: () => [save(withTensor({ dimensions: [1, 1, 1, 1, 1] }))],
  dimensions: () => [
    save(withTensor({ dimensions: [0] })),
    save(withTensor({ dimensions: [64, 0, 1] })),
    save(withTensor({ dimensions: [2 ** 30, 2 ** 30] })),
  ],
  removed_type: () => [4, 31, 38].map((type) => save(withTensor({ type, bytes: 256 }))),
  matrix_type: () =>
    [9, 15, 24, 26, 28].map((type) =>
      save(smallGguf({ tensors: [{ name: 'blk.0.attn_q.weight', dimensions: [256], type }] })),
    ),
  block: () => [save(withTensor({ dimensions: [33], type: 8, bytes: 64 }))],
  not_aligned: () => [save(withTensor({ offset: 7 }))],
  beyond_end: () => [
    save(withTensor({ dimensions: [2 ** 40] })),
    save(withTensor({ offset: 2n ** 52n })),
    // Of a type nobody knows at least its beginning must be there.
    save(withTensor({ type: 99, offset: 2 ** 20, bytes: 32 })),
    save(ggufBytes(withTensor({ dimensions: [64, 64] })).file.subarray(0, -1)),
  ],
  overlap: () => [
    save(
      smallGguf({
        tensors: [
          { name: 'one', dimensions: [64], offset: 0 },
          { name: 'two', dimensions: [64], offset: 224 },
          { name: 'three', dimensions: [64] },
          { name: 'four', dimensions: [1024] },
        ],
      }),
    ),
  ],
  no_tensors: () => [save(smallGguf({ tensors: [] }))],
  split_numbers: () => [save(withValues(smallGguf(), splitValues(3, 3)))],
  split_name: () => [save(part(0))],
  split_first: () => [
    save(part(1), 'late-00002-of-00002.gguf'),
    save(part(1), 'b-00001-of-00002.gguf'),
  ],
  split_other: () => [saveSplit(part(0), part(0)), saveSplit(part(0), smallGguf())],
  split_tensors: () => [saveSplit(part(0, 3), part(1, 3))],
  layers: () =>
    [0, 513, 2 ** 32 - 1].map((count) => save(having({ 'llama.block_count': u32Of(count) }))),
  predicting_layers: () => [save(having({ 'llama.nextn_predict_layers': u32Of(3) }))],
  experts: () =>
    [
      [8, 9],
      [8, 0],
      [0, 2],
      [2 ** 31 + 8, 2],
    ].map(([count = 0, used = 0]) =>
      save(having({ 'llama.expert_count': u32Of(count), 'llama.expert_used_count': u32Of(used) })),
    ),
  heads: () => [
    save(
      having({
        'llama.attention.head_count': u32Of(4),
        'llama.attention.head_count_kv': u32Of(2 ** 31 + 1),
      }),
    ),
    save(
      having({
        'llama.attention.head_count': { type: 'u32s', value: [0, 4] },
        'llama.attention.head_count_kv': { type: 'u32s', value: [8, 5] },
      }),
    ),
  ],
  no_tokens: () => [save(having({ 'tokenizer.ggml.tokens': { type: 'strings', value: [] } }))],
  token_count: () => [
    // Nothing but the number is looked at.
    save(
      Buffer.concat([
        ggufBytes(withRaw('tokenizer.ggml.tokens', u32(9), u32(8), u64(2 ** 22 + 1))).file,
        Buffer.alloc(8 * (2 ** 22 + 1)),
      ]),
    ),
  ],
  token_twice: () => {
    const twins = (...value: string[]): GgufFile =>
      having({ 'tokenizer.ggml.tokens': { type: 'strings', value } });
    return [
      save(twins('a', 'b', 'a', 'c')),
      // As libllama reads them: up to a zero, and without a text by their number.
      save(twins('a', 'a\0b', 'c', 'd')),
      save(twins('', '[EMPTY_0]', 'c', 'd')),
    ];
  },
  token_list: () => [
    save(having({ 'tokenizer.ggml.scores': f32s(3) })),
    save(having({ 'tokenizer.ggml.token_type': { type: 'u32s', value: [1, 1, 1] } })),
  ],
  usual_token: () => [
    save(having({ 'tokenizer.ggml.eos_token_id': null })),
    save(having({ 'tokenizer.ggml.eos_token_id': u32Of(4) })),
  ],
  dummy_tokens: () => [
    save(having({ 'tokenizer.ggml.tokens': null, 'llama.vocab_size': u32Of(2 ** 32 - 1) })),
  ],
  embedding_rows: () => [
    save(smallGguf({ tensors: [{ name: 'token_embd.weight', dimensions: [64, 3] }] })),
  ],
  charsmap: () => [
    save(withRaw('tokenizer.ggml.precompiled_charsmap', u32(9), u32(0), u64(3), Buffer.alloc(3))),
  ],
};

async function refusalOf(path: string): Promise<HoshikageError> {
  try {
    await readModelFiles(path);
  } catch (error) {
    assert.ok(error instanceof HoshikageError, String(error));
    return error;
  }
  return assert.fail(`${path} was accepted`);
}

describe('a model\u2019s file is refused for', () => {
  for (const code of REASON_CODES) {
    // It takes another process to shorten a file while it is read: see below.
    if (code === 'shrank') continue;
    test(code, async () => {
      const paths = CASES[code]();
      assert.ok(paths.length > 0);
      for (const path of paths) {
        const error = await refusalOf(path);
        assert.equal(error.code, 'model_file_invalid', `${path}: ${error.message}`);
        assert.equal(error.details.check, code, error.message);
        for (const language of ['ja', 'en'] as const) {
          const said = words(error.code, language, error.details).replace(path, '');
          assert.doesNotMatch(said, /[?{}\p{Cc}]/u);
        }
        assert.match(words(error.code, 'ja', error.details), /[ぁ-ん]/);
      }
    });
  }

  test('being a FIFO or a socket, without opening it', {
    skip: process.platform === 'win32',
  }, async () => {
    const { execFileSync } = await import('node:child_process');
    const fifo = join(directory, 'fifo.gguf');
    execFileSync('mkfifo', [fifo]);
    const socket = join(directory, 'socket.gguf');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      for (const path of [fifo, socket]) {
        assert.equal((await refusalOf(path)).details.check, 'not_regular');
      }
    } finally {
      server.close();
    }
  });

  test('becoming shorter while it is read', async () => {
    const tokens = Array.from({ length: 400_000 }, (_, index) => `t${index}`);
    const path = save(
      having({
        'tokenizer.ggml.tokens': { type: 'strings', value: tokens },
        'tokenizer.ggml.token_type': null,
        // Behind the tokens, so that there is something left to read.
        note: { type: 'string', value: 'x'.repeat(100_000) },
      }),
    );
    const reading = readSoundFile(path);
    const { truncate } = await import('node:fs/promises');
    await truncate(path, 2_000_000);
    const error = await reading.catch((thrown: unknown) => thrown);
    // Whichever came first: it ended, or was seen to be too short from the start.
    assert.ok(
      error instanceof HoshikageError && error.code === 'model_file_invalid',
      String(error),
    );
    assert.match(String(error.details.check), /^(shrank|cut_off|array_length|beyond_end)$/);
  });
});

describe('a file that cannot be read', () => {
  test('is called missing, or unreadable, and never invalid', async () => {
    const missing = join(directory, 'none.gguf');
    const long = join(directory, 'n'.repeat(300));
    for (const path of [missing, join(save(smallGguf()), 'under'), long]) {
      assert.equal((await refusalOf(path)).code, 'model_file_missing');
    }
    // As whoever runs the tests may read everything.
    for (const code of ['EACCES', 'EPERM', 'EIO', 'EMFILE']) {
      const cause = Object.assign(new Error(code), { code });
      const error = refusal(missing, cause);
      assert.deepEqual([error.code, error.details.reason], ['model_file_unreadable', code]);
    }
  });
});

describe('a model that is merely odd is accepted', () => {
  const accepted: Readonly<Record<string, GgufFile>> = {
    'with an architecture, keys and a type of tensor that nobody knows': smallGguf({
      values: [
        ['general.architecture', { type: 'string', value: 'star-9' }],
        ['star-9.what', { type: 'bool', value: 7 }],
      ],
      tensors: [
        { name: 'token_embd.weight', dimensions: [64, 4], type: 77, bytes: 64 },
        { name: 'b', dimensions: [33], type: 2 ** 31, bytes: 64 },
      ],
    }),
    'with the numbers of special tokens that are not there': having({
      'tokenizer.ggml.padding_token_id': u32Of(4),
      'tokenizer.ggml.unknown_token_id': u32Of(2 ** 32 - 1),
      'tokenizer.ggml.eot_token_id': { type: 'i32', value: -1 },
    }),
    'with scores and types of more tokens than there are': having({
      'tokenizer.ggml.scores': f32s(9),
      'tokenizer.ggml.token_type': { type: 'u32s', value: [1, 1, 1, 1, 1] },
    }),
    'with more rows of embeddings than tokens': smallGguf({
      tensors: [{ name: 'token_embd.weight', dimensions: [64, 32] }],
    }),
    'with several tokens without text': having({
      'tokenizer.ggml.tokens': { type: 'strings', value: ['', '', '\0', 'x'] },
    }),
    'with a tensor of no dimension, a gap between two, and some in another order': smallGguf({
      tensors: [
        { name: 'late', dimensions: [64], offset: 1024 },
        { name: 'one', dimensions: [], offset: 0 },
        { name: 'end', dimensions: [2048], offset: 4096 },
      ],
    }),
    'with fewer heads of keys, or none in some layers': having({
      'llama.attention.head_count': u32Of(4),
      'llama.attention.head_count_kv': { type: 'u32s', value: [0, 2] },
    }),
    'without heads, or with the keys of experts that it has not': having({
      'llama.attention.head_count_kv': u32Of(2),
      'llama.expert_count': u32Of(0),
      'llama.expert_used_count': u32Of(0),
      'llama.attention.head_count': u32Of(0),
    }),
  };
  for (const [what, file] of Object.entries(accepted)) {
    test(what, async () => {
      const padded = Buffer.concat([ggufBytes(file).file, Buffer.alloc(16_384)]);
      const [{ facts }] = await readModelFiles(save(padded));
      assert.ok(facts.tensorCount > 0);
    });
  }

  test('a hunyuan with one expert, which stands for none', async () => {
    const values = smallGguf().values.map(
      ([key, value]) => [key.replace(/^llama\./, 'hunyuan-dense.'), value] as const,
    );
    const file = withValues(smallGguf({ values }), {
      'general.architecture': { type: 'string', value: 'hunyuan-dense' },
      'hunyuan-dense.expert_count': u32Of(1),
    });
    await readModelFiles(save(file));
  });
});
