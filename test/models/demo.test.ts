/** The built-in sample model. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { GREEDY } from '../../src/canary/canary-text.js';
import { DEMO_ID, demoModelPath, ensureDemoModel } from '../../src/models/demo.js';
import { readGguf } from '../../src/models/gguf.js';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';

/** Raise DEMO_VERSION when the bytes change: a new name here, and their new sum. */
const PINNED = {
  'hoshikage-demo-v3.gguf': '733273e8fe27319e2f80005bb59e4c2f2cb9f9d18cbdf3d4bd67d14b89dfe077',
};

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hoshikage-demo-'));
});
after(() => rm(folder, { recursive: true, force: true }));

describe('the built-in model', () => {
  it('is made on first use, by several at once too, and then left alone', async () => {
    const cache = join(folder, 'cache', 'deep');
    const paths = await Promise.all([1, 2, 3].map(() => ensureDemoModel(cache)));
    assert.deepEqual(new Set(paths), new Set([demoModelPath(cache)]));
    assert.deepEqual(await readdir(cache), [basename(demoModelPath(cache))]);
    const first = await stat(demoModelPath(cache));
    await ensureDemoModel(cache);
    assert.equal((await stat(demoModelPath(cache))).mtimeMs, first.mtimeMs);
    assert.ok(first.size < 4 * 2 ** 20);
  });

  it('has other bytes only under another version', async () => {
    const path = await ensureDemoModel(folder);
    const sum = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
    assert.deepEqual({ [basename(path)]: sum }, PINNED);
  });

  it('is a sound GGUF file with a chat template', async () => {
    const facts = await readGguf(await ensureDemoModel(folder));
    assert.equal(facts.architecture, 'llama');
    assert.equal(facts.name, DEMO_ID);
    assert.match(facts.chatTemplate ?? '', /im_start/);
  });

  it('says what it is and how to add a real model', { skip: whyNoLibrary() }, async () => {
    const engine = await openRealEngine(await ensureDemoModel(folder));
    const ask = async (text: string): Promise<string> => {
      const prompt = await engine.tokenize(
        [{ text: `<|im_start|>user\n${text}<|im_end|>\n<|im_start|>assistant\n`, special: true }],
        true,
      );
      const sampling = { ...GREEDY, temperature: 0.2, repeatPenalty: 1.1, repeatLastN: 64 };
      const completion = engine.start({ prompt, maxTokens: -1, cachePrompt: true, sampling });
      const bytes: number[] = [];
      for await (const batch of completion) bytes.push(...batch.bytes);
      assert.equal((await completion.result).reason, 'eog');
      return Buffer.from(bytes).toString();
    };
    try {
      const usual = await ask('こんにちは');
      assert.match(
        usual,
        /^こんにちは、星影.*本物の言語モデルではありません.*hoshikage add .* 名前/s,
      );
      assert.match(await ask('Hello! Who are you?'), /not a real language model.*hoshikage add /s);
      assert.match(await ask('Is there the option of using a GPU?'), /not a real language model/);
      assert.match(await ask('モデルはどう追加しますか'), /hoshikage add .*hoshikage rm/s);
      assert.match(await ask('設定について'), /\.env.*N_CTX/s);
      assert.match(await ask('ライブラリを替えたい'), /hoshikage lib use/);
    } finally {
      await engine.close();
    }
  });
});
