import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { GGMLFileQuantizationType, GGMLQuantizationType, gguf } from '@huggingface/gguf';
import fc from 'fast-check';
import { HoshikageError } from '../../src/errors.js';
import { readGguf } from '../../src/models/gguf.js';
import { FILE_TYPE_NAMES, TENSOR_TYPES } from '../../src/models/gguf-types.js';
import {
  type GgufFile,
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
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-gguf-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

function save(bytes: Buffer, name = `${counter++}.gguf`): string {
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

const saveFile = (file: GgufFile): string => save(ggufBytes(file).file);

function withValue(key: string, value: GgufValue): GgufFile {
  return withValues(smallGguf(), { [key]: value });
}

async function reasonFor(path: string): Promise<string> {
  try {
    await readGguf(path);
  } catch (error) {
    assert.ok(error instanceof HoshikageError, String(error));
    assert.equal(error.code, 'model_file_invalid');
    return String(error.details.reason);
  }
  return assert.fail('the file was accepted');
}

describe('a sound file', () => {
  test('says what it is', async () => {
    const path = saveFile(smallGguf());
    const { sizeBytes, weights, memory, ...facts } = await readGguf(path);
    assert.ok(sizeBytes > 17_000);
    assert.deepEqual(
      weights.layers.map(({ bytes }) => bytes),
      [64 * 64 * 4],
    );
    assert.equal(memory.kvHeads, null);
    assert.deepEqual(facts, {
      version: 3,
      architecture: 'llama',
      name: '小さな星',
      contextLength: 2048,
      embeddingLength: 64,
      layers: 2,
      quantisation: 'F16',
      elements: 64 * 4 + 64 * 64 + 64,
      parameters: 64 * 4 + 64 * 64 + 64,
      chatTemplate: '{{ messages[0].content }}',
      tensorCount: 3,
      tensorTypes: [{ type: 0, name: 'F32', tensors: 3, elements: 4416, bytes: 4416 * 4 }],
      tokenizerModel: 'gpt2',
      tokenizerPre: null,
      vocabularySize: 4,
      embeddingRows: 4,
      merges: null,
      bosToken: 0,
      eosToken: 3,
      specialTokens: [
        { role: 'bos', id: 0, text: 'a' },
        { role: 'eos', id: 3, text: '<eos>' },
      ],
      split: null,
      poolingType: null,
    });
  });

  test('is understood as the reference reader understands it', async () => {
    const path = saveFile(smallGguf());
    const facts = await readGguf(path);
    const oracle = await gguf(path, { allowLocalFile: true, computeParametersCount: true });
    const metadata: Readonly<Record<string, unknown>> = { ...oracle.metadata };
    assert.equal(facts.architecture, metadata['general.architecture']);
    assert.equal(facts.name, metadata['general.name']);
    assert.equal(facts.contextLength, metadata['llama.context_length']);
    assert.equal(facts.embeddingLength, metadata['llama.embedding_length']);
    assert.equal(facts.layers, metadata['llama.block_count']);
    assert.equal(facts.chatTemplate, metadata['tokenizer.chat_template']);
    assert.equal(facts.tokenizerModel, metadata['tokenizer.ggml.model']);
    assert.equal(facts.bosToken, metadata['tokenizer.ggml.bos_token_id']);
    assert.equal(facts.eosToken, metadata['tokenizer.ggml.eos_token_id']);
    assert.deepEqual(metadata['tokenizer.ggml.tokens'], ['a', 'い', '', '<eos>']);
    assert.equal(facts.tensorCount, oracle.tensorInfos.length);
    assert.equal(facts.parameters, oracle.parameterCount);
  });

  test('may be of version 2, with its keys in any order and another alignment', async () => {
    const base = smallGguf();
    const path = saveFile({
      ...base,
      version: 2,
      alignment: 128,
      values: [['general.alignment', { type: 'u32', value: 128 }], ...[...base.values].reverse()],
    });
    const facts = await readGguf(path);
    assert.equal(facts.version, 2);
    assert.equal(facts.contextLength, 2048);
  });

  test('has its vocabulary of 150 000 tokens looked through, and not kept', async () => {
    const tokens = Array.from({ length: 150_000 }, (_, index) => `<token-${index}>`);
    const file = withValues(smallGguf(), {
      'tokenizer.ggml.tokens': { type: 'strings', value: tokens },
      'tokenizer.ggml.token_type': null,
      'tokenizer.ggml.eos_token_id': { type: 'u32', value: 149_999 },
    });
    const facts = await readGguf(saveFile(file));
    assert.equal(facts.vocabularySize, 150_000);
    assert.deepEqual(facts.specialTokens, [
      { role: 'bos', id: 0, text: '<token-0>' },
      { role: 'eos', id: 149_999, text: '<token-149999>' },
    ]);
    assert.equal(facts.chatTemplate, '{{ messages[0].content }}');
    assert.equal(facts.parameters, 4416);
  });

  test('has a string of megabytes under a key nobody asked for passed over', async () => {
    const path = saveFile(withValue('a.note', { type: 'string', value: 'x'.repeat(3_000_000) }));
    assert.equal((await readGguf(path)).architecture, 'llama');
  });

  test('keeps a template up to 256 KiB and no longer one', async () => {
    const template = (length: number): GgufFile =>
      withValue('tokenizer.chat_template', { type: 'string', value: 'x'.repeat(length) });
    const kept = await readGguf(saveFile(template(256 * 1024)));
    assert.equal(kept.chatTemplate?.length, 256 * 1024);
    assert.equal((await readGguf(saveFile(template(256 * 1024 + 1)))).chatTemplate, null);
  });

  test('has numbers of any integer type', async () => {
    const path = saveFile(withValue('llama.context_length', { type: 'u64', value: 131_072 }));
    assert.equal((await readGguf(path)).contextLength, 131_072);
  });

  test('has control characters of its name replaced, since names get printed', async () => {
    const path = saveFile(withValue('general.name', { type: 'string', value: 'a\u001b[31mb' }));
    assert.equal((await readGguf(path)).name, 'a\ufffd[31mb');
  });

  test('says its part of a split model', async () => {
    const facts = await readGguf(saveFile(withValues(smallGguf(), splitValues(1, 3, 9))));
    assert.deepEqual(facts.split, { index: 1, count: 3, tensors: 9 });
    assert.equal(facts.parameters, null);
  });
});

describe('the quantisation', () => {
  test('is named for every file type as the reference names it', () => {
    for (const [type, name] of FILE_TYPE_NAMES) {
      assert.equal(GGMLFileQuantizationType[type], name);
    }
    assert.ok(FILE_TYPE_NAMES.size > 35);
  });

  test('is read from the file type, also where the writer only guessed it', async () => {
    const quantisation = async (value: number): Promise<string | null> =>
      (await readGguf(saveFile(withValue('general.file_type', { type: 'u32', value }))))
        .quantisation;
    assert.equal(await quantisation(15), 'Q4_K_M');
    assert.equal(await quantisation(7), 'Q8_0');
    assert.equal(await quantisation(1024 + 17), 'Q5_K_M');
  });

  test('is the type of most weights where the file does not say', async () => {
    const base = smallGguf();
    const path = saveFile({
      values: base.values.filter(([key]) => key !== 'general.file_type'),
      tensors: [
        { name: 'norm', dimensions: [64] },
        { name: 'big', dimensions: [256, 256], type: 8, bytes: (256 * 256 * 34) / 32 },
      ],
    });
    assert.equal((await readGguf(path)).quantisation, 'Q8_0');
  });
});

describe('the tensor types', () => {
  test('have the reference reader\u2019s names', () => {
    for (const [type, { name }] of TENSOR_TYPES) assert.equal(GGMLQuantizationType[type], name);
  });

  test('take the bits per weight they are known for', () => {
    const known: Readonly<Record<string, number>> = {
      F32: 32,
      F16: 16,
      BF16: 16,
      Q8_0: 8.5,
      Q6_K: 6.5625,
      Q5_0: 5.5,
      Q5_1: 6,
      Q5_K: 5.5,
      Q4_0: 4.5,
      Q4_1: 5,
      Q4_K: 4.5,
      Q3_K: 3.4375,
      Q2_K: 2.625,
      IQ4_NL: 4.5,
      IQ4_XS: 4.25,
      IQ3_S: 3.4375,
      IQ3_XXS: 3.0625,
      IQ2_S: 2.5625,
      IQ2_XS: 2.3125,
      IQ2_XXS: 2.0625,
      IQ1_M: 1.75,
      IQ1_S: 1.5625,
      TQ1_0: 1.6875,
      TQ2_0: 2.0625,
      MXFP4: 4.25,
    };
    const bits = new Map(
      [...TENSOR_TYPES.values()].map((type) => [
        type.name,
        (type.blockBytes * 8) / type.blockElements,
      ]),
    );
    for (const [name, expected] of Object.entries(known)) assert.equal(bits.get(name), expected);
  });
});

describe('a file that is no sound GGUF file', () => {
  test('is called missing when it is not there', async () => {
    for (const path of [join(directory, 'none.gguf'), join(save(Buffer.from('x')), 'under')]) {
      await assert.rejects(readGguf(path), { code: 'model_file_missing' });
    }
  });

  test('is refused when it is a directory', async () => {
    const path = join(directory, 'directory.gguf');
    mkdirSync(path);
    assert.match(await reasonFor(path), /regular file|EISDIR/);
  });

  test('is refused at once when it is a FIFO', { skip: process.platform === 'win32' }, async () => {
    const path = join(directory, 'fifo.gguf');
    execFileSync('mkfifo', [path]);
    assert.equal(await reasonFor(path), 'not a regular file');
  });

  test('is refused when its name cannot be a name', async () => {
    await reasonFor(`${directory}/a\0b.gguf`);
  });

  test('is refused when it begins otherwise, is big-endian or of an unknown version', async () => {
    assert.match(await reasonFor(save(Buffer.from('PK\u0003\u0004'.repeat(100)))), /begin/);
    assert.match(await reasonFor(save(Buffer.alloc(0))), /too short/);
    assert.match(await reasonFor(saveFile(smallGguf({ version: 0x03000000 }))), /big-endian/);
    assert.match(await reasonFor(saveFile(smallGguf({ version: 1 }))), /version 1/);
    assert.match(await reasonFor(saveFile(smallGguf({ version: 4 }))), /version 4/);
  });

  test('is refused when its counts cannot fit into it', async () => {
    for (const count of [2 ** 31, 2n ** 53n - 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      await reasonFor(saveFile(smallGguf({ keyCount: count })));
      await reasonFor(saveFile(smallGguf({ tensorCount: count })));
    }
  });

  test('is refused when an array is longer than the file, nested or of no type', async () => {
    const array = (type: number, count: number | bigint): GgufValue => {
      const head = Buffer.alloc(8);
      head.writeUInt32LE(9, 0);
      head.writeUInt32LE(type, 4);
      return { type: 'raw', value: Buffer.concat([head, u64(count)]) };
    };
    assert.match(await reasonFor(saveFile(withValue('x', array(4, 2n ** 40n)))), /does not fit/);
    assert.match(await reasonFor(saveFile(withValue('x', array(8, 2n ** 32n)))), /does not fit/);
    assert.match(await reasonFor(saveFile(withValue('x', array(9, 1)))), /array of arrays/);
    assert.match(await reasonFor(saveFile(withValue('x', array(77, 1)))), /unknown type 77/);
  });

  test('is refused when a string announces more than there is', async () => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(8);
    for (const length of [2 ** 20, 2n ** 40n, 2n ** 60n]) {
      const value = Buffer.concat([head, u64(length), text('x')]);
      await reasonFor(saveFile(withValue('general.name', { type: 'raw', value })));
      await reasonFor(saveFile(withValue('other', { type: 'raw', value })));
    }
  });

  test('is refused when it says a key or a tensor twice', async () => {
    const base = smallGguf();
    const [first] = base.values;
    const [tensor] = base.tensors ?? [];
    assert.ok(first && tensor);
    assert.match(await reasonFor(saveFile({ ...base, values: [...base.values, first] })), /twice/);
    assert.match(await reasonFor(saveFile({ ...base, tensors: [tensor, tensor] })), /twice/);
  });

  test('is refused when its alignment is no power of two', async () => {
    for (const value of [0, 3, 48, 2 ** 31]) {
      const path = saveFile(withValue('general.alignment', { type: 'u32', value }));
      assert.match(await reasonFor(path), /alignment/);
    }
  });

  test('is refused when a tensor cannot be what it says', async () => {
    const reason = (
      tensor: Partial<{ dimensions: (number | bigint)[]; offset: number | bigint }>,
    ) => reasonFor(saveFile(smallGguf({ tensors: [{ name: 't', dimensions: [64], ...tensor }] })));
    assert.match(await reason({ dimensions: [1, 1, 1, 1, 1] }), /dimensions/);
    assert.match(await reason({ dimensions: [0] }), /impossible/);
    assert.match(await reason({ dimensions: [2 ** 30, 2 ** 30] }), /impossible/);
    assert.match(await reason({ dimensions: [2n ** 63n] }), /2\^53/);
    assert.match(await reason({ dimensions: [2 ** 40] }), /beyond the file/);
    assert.match(await reason({ offset: 2n ** 52n }), /beyond the file/);
    assert.match(await reason({ offset: 2n ** 64n - 32n }), /2\^53/);
    assert.match(await reason({ offset: 7 }), /aligned/);
  });

  test('is refused when a row is no multiple of a quantisation block', async () => {
    const tensors = [{ name: 't', dimensions: [33], type: 8, bytes: 64 }];
    assert.match(await reasonFor(saveFile(smallGguf({ tensors }))), /block/);
  });

  test('is refused when the weights are cut off by one byte', async () => {
    const { file } = ggufBytes(
      smallGguf({ tensors: [{ name: 't', dimensions: [64, 64] }] }), // ends without padding
    );
    await readGguf(save(file));
    assert.match(await reasonFor(save(file.subarray(0, -1))), /beyond the file/);
  });

  test('is refused when it names no architecture', async () => {
    const values = smallGguf().values.filter(([key]) => key !== 'general.architecture');
    assert.match(await reasonFor(saveFile(smallGguf({ values }))), /architecture/);
  });
});

describe('damage', () => {
  test('of any kind never crashes, hangs or ends in another error', async () => {
    const { header, file } = ggufBytes(smallGguf());
    for (let length = 0; length < header.length; length += 3) {
      await reasonFor(save(file.subarray(0, length), 'cut.gguf'));
    }
    const readOrRefuse = async (bytes: Buffer): Promise<void> => {
      await readGguf(save(bytes, 'damaged.gguf')).catch((error: unknown) => {
        assert.ok(error instanceof HoshikageError && error.code === 'model_file_invalid');
      });
    };
    for (let at = 0; at < header.length; at++) {
      const bytes = Buffer.from(file);
      bytes[at] = (bytes[at] ?? 0) ^ 0xff;
      await readOrRefuse(bytes);
    }
    const spot = fc.tuple(fc.nat(header.length - 8), fc.bigInt(0n, 2n ** 64n - 1n));
    await fc.assert(
      fc.asyncProperty(fc.array(spot, { minLength: 1, maxLength: 4 }), async (spots) => {
        const bytes = Buffer.from(file);
        for (const [at, value] of spots) bytes.writeBigUInt64LE(value, at);
        await readOrRefuse(bytes);
      }),
      { numRuns: 500, seed: 20260101 },
    );
  });
});
