/**
 * Headers that are nearly right, against the check that stands before every native load: each is accepted
 * or refused with a reason, and what is accepted goes to a real libllama in a process of its own.
 *
 * HOSHIKAGE_FUZZ_HEADERS=20000 tries more than the usual 2,000, HOSHIKAGE_FUZZ_SEED others.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { HoshikageError } from '../../src/errors.js';
import { REASON_CODES } from '../../src/models/gguf-reasons.js';
import { type GgufContent, writeGguf } from '../../src/models/gguf-write.js';
import { readModelFiles } from '../../src/models/model-files.js';
import { randomContent } from '../../src/models/random.js';
import { purposeOf } from '../../src/resources/purpose.js';
import { whyNoLibrary } from '../helpers/default-library.js';
import { writeEncoder } from '../helpers/encoder-model.js';
import { type Base, baseOf, HeaderFuzzer, type Mutation } from '../helpers/gguf-mutations.js';
import { Loader } from '../helpers/load-pool.js';
import { MEMORY_KINDS, memoryModel } from '../helpers/memory-models.js';
import { madeModel } from '../helpers/models.js';

const COUNT = Number(process.env.HOSHIKAGE_FUZZ_HEADERS) || 2000;
const SEED = Number(process.env.HOSHIKAGE_FUZZ_SEED) || 20_260_101;
/**
 * How an engine may answer a model that it does not like: by an error's code, or by libllama's last words
 * (an assert that is caught). A process that dies is no answer.
 */
const ANSWERS = /^(used|[a-z_]+|gave up: .*)$/s;

let directory = '';
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-header-fuzz-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** One of every kind of model whose loading takes another way through libllama. */
async function bases(): Promise<readonly Base[]> {
  const made = (name: string, content: () => GgufContent): Promise<string> =>
    madeModel(['header fuzz', name], (path) => writeGguf(path, content()));
  const encoder = await madeModel(['header fuzz', 'encoder'], (path) => writeEncoder(path, 1));
  const kinds = await Promise.all(
    MEMORY_KINDS.map(async (kind) => baseOf(kind, await memoryModel(kind))),
  );
  return [...kinds, baseOf('encoder', encoder), baseOf('pieces', await made('pieces', pieces))];
}

/** A llama whose tokens are pieces with scores, and bytes where there is no piece. */
function pieces(): GgufContent {
  const { metadata, tensors } = randomContent({
    ...{ embedding: 64, layers: 2, heads: 2, kvHeads: 1, feedForward: 128 },
    commonWords: false,
  });
  const bytes = Array.from({ length: 256 }, (_, byte) => {
    return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
  });
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, '\u2581star'];
  const { 'tokenizer.ggml.merges': _, ...kept } = metadata;
  return {
    metadata: {
      ...kept,
      'tokenizer.ggml.model': ['string', 'llama'],
      'tokenizer.ggml.tokens': ['strings', tokens],
      'tokenizer.ggml.scores': ['f32s', tokens.map((_, index) => -index)],
      'tokenizer.ggml.token_type': [
        'i32s',
        tokens.map((_, index) => (index < 3 ? 3 : index < 259 ? 6 : 1)),
      ],
      'tokenizer.ggml.bos_token_id': ['u32', 1],
      'tokenizer.ggml.eos_token_id': ['u32', 2],
      'tokenizer.ggml.eot_token_id': ['u32', 2],
      'tokenizer.ggml.unknown_token_id': ['u32', 0],
    },
    tensors,
  };
}

/** The header with nothing behind it: weights are a hole, and mean nothing here. */
function write(path: string, { header, size }: Mutation): void {
  const file = openSync(path, 'w');
  try {
    writeSync(file, header);
    ftruncateSync(file, size);
  } finally {
    closeSync(file);
  }
}

/** What the model is for where it is accepted, or the reason why it is not. */
async function check(path: string, what: string) {
  try {
    const [{ facts }] = await readModelFiles(path);
    return { purpose: purposeOf(facts), reason: null };
  } catch (error) {
    assert.ok(error instanceof HoshikageError, `${what}: ${error}`);
    assert.equal(error.code, 'model_file_invalid', `${what}: ${error.message}`);
    const reason = String(error.details.check);
    assert.ok(
      REASON_CODES.some((code) => code === reason),
      `${what}: ${reason}`,
    );
    return { purpose: null, reason };
  }
}

describe('a damaged header', { skip: whyNoLibrary(), timeout: 10 * 60_000 }, () => {
  test(`is refused, or harmless to libllama (${COUNT} of seed ${SEED})`, async (context) => {
    const fuzzer = new HeaderFuzzer(SEED, await bases());
    const loader = new Loader();
    context.after(() => loader.close());
    const reasons = new Map<string, number>();
    const path = join(directory, 'mutated.gguf');
    let accepted = 0;
    for (let index = 0; index < COUNT; index++) {
      const mutation = fuzzer.next();
      write(path, mutation);
      const { purpose, reason } = await check(path, mutation.what);
      if (reason !== null) {
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
        continue;
      }
      accepted += 1;
      const outcome = await loader.load({ path, embeds: purpose === 'embed' });
      assert.match(outcome, ANSWERS, `${mutation.what}: ${outcome}`);
    }
    const refused = [...reasons.values()].reduce((sum, count) => sum + count, 0);
    context.diagnostic(`${refused} refused for ${reasons.size} reasons, ${accepted} loaded`);
    context.diagnostic(`in ${loader.processes} engine processes`);
    // Mutations that are all refused, or all let through, would prove nothing.
    assert.ok(refused > COUNT / 2 && accepted > COUNT / 20);
    assert.ok(reasons.size > 15, [...reasons.keys()].join(' '));
  });

  test('cut off anywhere is refused, at every 4 KiB of the whole file', async () => {
    const source = await memoryModel('cache');
    const path = join(directory, 'cut.gguf');
    await copyFile(source, path);
    const { size, header } = baseOf('cache', source);
    const lengths = Array.from({ length: Math.ceil(size / 4096) }, (_, index) => index * 4096);
    const seen = new Set<string>();
    for (const length of [size - 1, ...lengths.reverse()]) {
      truncateSync(path, length);
      const { reason } = await check(path, `cut to ${length}`);
      assert.notEqual(reason, null, `cut to ${length}`);
      seen.add(String(reason));
    }
    assert.ok(lengths.length > 200 && header.length > 4096);
    for (const reason of ['beyond_end', 'array_length', 'too_short']) {
      assert.ok(seen.has(reason), [...seen].join(' '));
    }
  });
});
