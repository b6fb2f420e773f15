import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Engine, EngineCompletion, TokenBatch } from '../../src/engine/engine.js';
import type { EngineProcessInput } from '../../src/engine/process.js';
import { HoshikageError } from '../../src/errors.js';
import { searchPlaces } from '../../src/library/find.js';
import { silentLog } from '../../src/log.js';
import {
  type GgufContent,
  type GgufValue as MadeValue,
  tensorBytes,
  writeGguf,
} from '../../src/models/gguf-write.js';
import { randomContent } from '../../src/models/random.js';
import type { Stage, StageName } from '../../src/verify/stage.js';
import { type Certificate, type VerifyInput, verifyModel } from '../../src/verify/verify.js';
import { whyNoLibrary } from '../helpers/default-library.js';
import { RANK, writeEncoder } from '../helpers/encoder-model.js';
import { FakeEngine, type FakeEngineOptions } from '../helpers/fake-engine.js';
import {
  type GgufFile,
  type GgufValue,
  ggufBytes,
  smallGguf,
  splitValues,
  u64,
  withValues,
} from '../helpers/gguf-bytes.js';
import { talker } from '../helpers/models.js';

let directory = '';
let counter = 0;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-verify-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

const fresh = (): string => join(directory, `${counter++}.gguf`);

async function talkerCopy(): Promise<string> {
  const path = fresh();
  copyFileSync(await talker(), path);
  return path;
}

const env = { PATH: process.env.PATH };

function verify(path: string, changes: Partial<VerifyInput> = {}): Promise<Certificate> {
  return verifyModel({
    path,
    places: searchPlaces({ libPath: null, libDir: join(directory, 'lib') }, env),
    ...{ env, cacheDir: directory, allowUnknown: false, memoryCheck: true },
    ...{ hangLimitMs: 60_000, nice: 0, log: silentLog, signal: new AbortController().signal },
    ...changes,
  });
}

const stateOf = ({ stages }: Certificate, name: StageName): string | undefined =>
  stages.find((stage) => stage.name === name)?.state;

/** `passed passed failed unreached …` */
const states = ({ stages }: Certificate): string => stages.map(({ state }) => state).join(' ');

const failed = ({ stages }: Certificate): Stage => {
  const stage = stages.find(({ state }) => state === 'failed' || state === 'unchecked');
  assert.ok(stage, 'a stage failed');
  return stage;
};

const skip = whyNoLibrary();

/** A made model as bytes, its weights zero. */
function rawContent({ metadata, tensors }: GgufContent): GgufFile {
  const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
  const value = ([type, content]: MadeValue): GgufValue => {
    if (typeof content === 'boolean') return { type: 'bool', value: Number(content) };
    if (typeof content === 'string') return { type: 'string', value: content };
    if (type === 'strings') return { type, value: content };
    if (typeof content === 'number') return { type: type === 'f32' ? type : 'u32', value: content };
    const items = Buffer.from(Int32Array.from(content as readonly number[]).buffer);
    const list = Buffer.concat([u32(9), u32(5), u64(content.length), items]);
    return { type: 'raw', value: list };
  };
  return {
    values: Object.entries(metadata).map(([key, entry]) => [key, value(entry)]),
    tensors: tensors.map((tensor) => ({
      ...{ name: tensor.name, dimensions: tensor.shape, bytes: tensorBytes(tensor) },
      type: tensor.type === 'f32' ? 0 : 1,
    })),
  };
}

describe('a sound model', { skip }, () => {
  test('gets a certificate: every stage, its digest, what it said', async () => {
    const path = await talker();
    const told: string[] = [];
    const pieces: number[] = [];
    const certificate = await verify(path, {
      onStage: ({ name }) => told.push(name),
      onHashed: (_, done) => pieces.push(done),
    });
    assert.equal(certificate.verdict, 'sound', JSON.stringify(certificate.stages));
    assert.deepEqual(
      certificate.stages.map(({ name, state }) => `${name} ${state}`),
      told.map((name) => `${name} passed`),
    );
    assert.equal(told.at(-1), 'generation');
    const bytes = readFileSync(path);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    assert.deepEqual(certificate.files, [{ path, bytes: bytes.length, sha256 }]);
    assert.deepEqual([pieces[0], pieces.at(-1)], [0, bytes.length]);
    const generation = certificate.stages.at(-1);
    assert.match(generation?.seen.en ?? '', /8 tokens after \d+ \(length\): "こ/);
  });

  test('made for embeddings is proved by vectors, a reranker by scores', async () => {
    for (const [pooling, seen] of [
      [1, /2 vectors of 64 values/],
      [RANK, /2 scores/],
    ] as const) {
      const path = fresh();
      await writeEncoder(path, pooling);
      const certificate = await verify(path);
      assert.equal(certificate.verdict, 'sound', JSON.stringify(certificate.stages));
      assert.equal(stateOf(certificate, 'template'), 'skipped');
      assert.equal(certificate.stages.at(-1)?.name, 'embedding');
      assert.match(certificate.stages.at(-1)?.seen.en ?? '', seen);
    }
  });

  test('in several files has a digest of each', async () => {
    const whole = rawContent(randomContent({ layers: 1, commonWords: false }));
    const { tensors = [] } = whole;
    const half = Math.floor(tensors.length / 2);
    const part = (index: number): string => join(directory, `m-0000${index + 1}-of-00002.gguf`);
    // As tools that split do it: what the model is stands in the first file only.
    for (const [index, values, some] of [
      [0, whole.values, tensors.slice(0, half)],
      [1, [], tensors.slice(half)],
    ] as const) {
      const file = withValues({ values, tensors: some }, splitValues(index, 2, tensors.length));
      writeFileSync(part(index), ggufBytes(file).file);
    }
    const certificate = await verify(part(0));
    assert.equal(certificate.verdict, 'sound', JSON.stringify(certificate.stages));
    assert.deepEqual(
      certificate.files.map(({ path }) => path),
      [part(0), part(1)],
    );
  });
});

describe('a file that is at fault is refused', () => {
  test('before anything native reads it, with the stage and the reason', async () => {
    const path = await talkerCopy();
    writeFileSync(path, readFileSync(path).subarray(0, 100_000));
    let started = 0;
    const certificate = await verify(path, {
      start: () => {
        started += 1;
        return Promise.reject(new Error('it was started'));
      },
    });
    assert.equal(certificate.verdict, 'refused');
    assert.deepEqual(failed(certificate), { ...failed(certificate), name: 'tensors' });
    assert.equal(failed(certificate).code, 'model_file_invalid:beyond_end');
    assert.match(failed(certificate).seen.ja, /ファイルの外/);
    assert.match(states(certificate), /^passed passed passed failed (unreached ?){6}$/);
    assert.deepEqual([started, certificate.files], [0, []]);
  });

  test('whatever it is: a directory, a FIFO, no GGUF, two equal tokens, a wrong part', async () => {
    const folder = fresh();
    mkdirSync(folder);
    const cases: [string, StageName][] = [[folder, 'files']];
    if (process.platform !== 'win32') {
      const fifo = fresh();
      execFileSync('mkfifo', [fifo]);
      cases.push([fifo, 'files']);
    }
    const text = fresh();
    writeFileSync(text, 'not a model'.repeat(100));
    cases.push([text, 'header']);
    const twins = fresh();
    const tokens = { type: 'strings', value: ['a', 'a', 'b', 'c'] } as const;
    writeFileSync(
      twins,
      ggufBytes(withValues(smallGguf(), { 'tokenizer.ggml.tokens': tokens })).file,
    );
    // Tokens are read with the other keys, and counted to the vocabulary.
    cases.push([twins, 'vocabulary']);
    const part = join(directory, 'x-00002-of-00002.gguf');
    writeFileSync(part, ggufBytes(withValues(smallGguf(), splitValues(1, 2))).file);
    cases.push([part, 'files']);
    for (const [path, name] of cases) {
      const certificate = await verify(path);
      assert.equal(certificate.verdict, 'refused', path);
      assert.equal(failed(certificate).name, name, path);
    }
  });

  test('for a template that cannot be rendered, after all else was looked at too', {
    skip,
  }, async () => {
    const path = fresh();
    const template = "{{ raise_exception('no') }}";
    await writeGguf(path, randomContent({ layers: 1, commonWords: false, template }));
    const certificate = await verify(path);
    assert.equal(certificate.verdict, 'refused');
    assert.equal(failed(certificate).name, 'template');
    assert.equal(failed(certificate).code, 'template_failed');
    assert.equal(stateOf(certificate, 'generation'), 'passed');
  });

  test('for tensors that its architecture needs and has not, in libllama\u2019s words', {
    skip,
  }, async () => {
    const path = fresh();
    const { metadata, tensors } = randomContent({ layers: 1, commonWords: false });
    const kept = tensors.filter(({ name }) => name !== 'blk.0.attn_k.weight');
    await writeGguf(path, { metadata, tensors: kept });
    const certificate = await verify(path);
    assert.equal(certificate.verdict, 'refused');
    assert.equal(failed(certificate).name, 'load');
    assert.match(failed(certificate).seen.en, /attn_k\.weight/);
  });
});

/** Verifies the talker with an engine that is wrong in some way. */
async function withEngine(
  make: (input: EngineProcessInput) => Engine | Promise<Engine>,
): Promise<Certificate> {
  return verify(await talkerCopy(), { start: async (input) => make(input) });
}

class OddEngine extends FakeEngine {
  closed = 0;
  readonly #changes: Partial<Pick<Engine, 'tokenize' | 'detokenize' | 'start'>>;

  constructor(
    changes: Partial<Pick<Engine, 'tokenize' | 'detokenize' | 'start'>>,
    options: FakeEngineOptions = {},
  ) {
    super(options);
    this.#changes = changes;
  }

  override tokenize(...args: Parameters<Engine['tokenize']>): Promise<Int32Array> {
    return this.#changes.tokenize?.(...args) ?? super.tokenize(...args);
  }
  override detokenize(...args: Parameters<Engine['detokenize']>): Promise<Uint8Array> {
    return this.#changes.detokenize?.(...args) ?? super.detokenize(...args);
  }
  override start(...args: Parameters<Engine['start']>): EngineCompletion {
    return this.#changes.start?.(...args) ?? super.start(...args);
  }
  override async close(): Promise<void> {
    this.closed += 1;
  }
}

/** A completion of one batch. */
function saying(batch: Partial<TokenBatch>): EngineCompletion {
  const whole: TokenBatch = {
    ...{ tokens: Int32Array.of(5), bytes: Buffer.from('x'), ends: Int32Array.of(1) },
    ...{ flags: Uint8Array.of(0), ...batch },
  };
  const result = { reason: 'eog', generatedTokens: 1 } as Awaited<EngineCompletion['result']>;
  return {
    cancel: () => {},
    result: Promise.resolve(result),
    async *[Symbol.asyncIterator]() {
      yield whole;
    },
  };
}

describe('a model that loads and is wrong is refused', { skip }, () => {
  const wrong: Readonly<Record<string, readonly [StageName, OddEngine]>> = {
    'where a token is out of its vocabulary': [
      'tokenizer',
      new OddEngine({ tokenize: async () => Int32Array.of(1_000_000) }),
    ],
    'where a plain text does not come back': [
      'tokenizer',
      new OddEngine({ detokenize: async () => Buffer.from('Hell') }),
    ],
    'where it says a token that there is not': [
      'generation',
      new OddEngine({ start: () => saying({ tokens: Int32Array.of(-1) }) }),
    ],
    'where its logits are no numbers': [
      'generation',
      new OddEngine({ start: () => saying({ logprobs: [{ logprob: Number.NaN, top: [] }] }) }),
    ],
  };
  for (const [what, [name, engine]] of Object.entries(wrong)) {
    test(what, async () => {
      const certificate = await withEngine(() => engine);
      assert.equal(certificate.verdict, 'refused', JSON.stringify(certificate.stages));
      assert.equal(failed(certificate).name, name);
      assert.equal(engine.closed, 1);
    });
  }

  test('where its engine dies of it', async () => {
    const certificate = await withEngine(() => {
      const cause = new HoshikageError('engine_crashed');
      throw new HoshikageError('model_load_failed', { model: 'x' }, { cause });
    });
    assert.equal(certificate.verdict, 'refused');
    assert.equal(failed(certificate).name, 'load');
    assert.match(failed(certificate).seen.en, /process died/);
  });
});

describe('what is not the fault of the file is called unchecked', { skip }, () => {
  test('a file that is not there', async () => {
    const certificate = await verify(join(directory, 'none.gguf'));
    assert.equal(certificate.verdict, 'unchecked');
    assert.equal(failed(certificate).code, 'model_file_missing');
  });

  test('no libllama', async () => {
    const places = searchPlaces({ libPath: join(directory, 'no-lib'), libDir: directory }, env);
    const certificate = await verify(await talker(), { places });
    assert.equal(certificate.verdict, 'unchecked');
    assert.equal(failed(certificate).name, 'library');
    assert.equal(stateOf(certificate, 'hash'), 'passed');
    assert.equal(stateOf(certificate, 'load'), 'unreached');
  });

  test('too little memory, or an engine that gets on no more', async () => {
    for (const code of ['memory_short', 'engine_out_of_memory', 'engine_hung'] as const) {
      const certificate = await withEngine(() => {
        throw new HoshikageError(code);
      });
      assert.equal(certificate.verdict, 'unchecked');
      assert.equal(failed(certificate).code, code);
    }
  });

  test('an architecture that this libllama does not know', async () => {
    const path = fresh();
    const { metadata, tensors } = randomContent({ layers: 1, commonWords: false });
    const named = { ...metadata, 'general.architecture': ['string', 'star-9'] as const };
    await writeGguf(path, { metadata: named, tensors });
    const certificate = await verify(path);
    assert.equal(certificate.verdict, 'unchecked', JSON.stringify(certificate.stages));
    assert.equal(failed(certificate).name, 'load');
    assert.match(failed(certificate).seen.en, /unknown model architecture/);
  });

  test('a file that is written to meanwhile', async () => {
    const path = await talkerCopy();
    const certificate = await verify(path, {
      onHashed: (_, done) => {
        if (done === 0) appendFileSync(path, 'x');
      },
    });
    assert.equal(certificate.verdict, 'unchecked');
    assert.equal(failed(certificate).name, 'hash');
    assert.equal(failed(certificate).code, 'model_file_changed');
  });

  test('a file that is written to after it was hashed: it is not loaded', async () => {
    const path = await talkerCopy();
    const certificate = await verify(path, {
      onStage: ({ name }) => {
        if (name === 'template') appendFileSync(path, 'x');
      },
    });
    assert.equal(certificate.verdict, 'unchecked', JSON.stringify(certificate.stages));
    assert.equal(failed(certificate).name, 'load');
    assert.equal(failed(certificate).code, 'model_file_changed');
  });
});

test('an end from outside is no verdict', async () => {
  const abort = new AbortController();
  const verifying = verify(await talker(), {
    signal: abort.signal,
    onStage: ({ name }) => {
      if (name === 'header') abort.abort();
    },
  });
  await assert.rejects(verifying, { code: 'cancelled' });
});

test('a type of tensors that is not known is said not to have been checked', async () => {
  const path = fresh();
  const { tensors = [] } = smallGguf();
  const odd = { name: 'odd', dimensions: [33], type: 77, bytes: 64 };
  writeFileSync(path, ggufBytes(smallGguf({ tensors: [...tensors, odd] })).file);
  const places = searchPlaces({ libPath: join(directory, 'no-lib'), libDir: directory }, env);
  const certificate = await verify(path, { places });
  const stage = certificate.stages.find(({ name }) => name === 'tensors');
  assert.equal(stage?.state, 'passed');
  assert.match(stage?.seen.en ?? '', /type 77 is not known, so 1 were not checked/);
  assert.match(stage?.seen.ja ?? '', /型 77 は知らない/);
});
