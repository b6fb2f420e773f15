/** Loading and decoding with the fake: what every outcome of the library becomes, and that it heals. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { program } from '../helpers/grammar-program.js';
import { BAD_ALLOC, skipReason, THROW, THROW_INT, within } from './fake.js';
import { NOTHING_LEFT, Rig } from './rig.js';

describe('the addon with a fake libllama', { skip: skipReason }, () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.open();
  });
  after(() => rig.close());

  const assertNothingLeft = (): void => assert.deepEqual(rig.leftovers(), NOTHING_LEFT);

  describe('a model', () => {
    it('loads with progress from 0 to 1 and tells its facts', async () => {
      rig.control.reset();
      const seen: number[] = [];
      const load = rig.addon.loadModel({ path: rig.modelPath, gpuLayers: -1 }, (f) => seen.push(f));
      const model = await load.promise;
      assert.equal(rig.control.get('gpuLayers'), -1);
      const facts = model.facts();
      assert.equal(facts.vocabularySize, 320);
      assert.equal(facts.trainedContextTokens, 8192);
      assert.equal(facts.chatTemplate, '{{ messages }}');
      assert.deepEqual([facts.bosToken, facts.eosToken, facts.eotToken], [256, 257, 258]);
      assert.deepEqual([facts.bosText, facts.eosText], ['<s>', '</s>']);
      const marks = ['<s>', '</s>', '<|im_end|>', '<|im_start|>', '<think>', '</think>'];
      assert.deepEqual(facts.controlTexts.slice(0, 6), marks);
      const fim = { prefix: 274, suffix: 275, middle: 276, repository: null, separator: null };
      assert.deepEqual([facts.fim, facts.sepToken], [fim, 277]);
      assert.equal(facts.toolTemplate, '{{ tools }}{{ messages }}');
      assert.equal(facts.rerankTemplate, '{query} {document}');
      await model.close();
      assert.ok(seen.every((value, index) => index === 0 || value >= (seen[index - 1] ?? 0)));
      assertNothingLeft();
    });

    it('fails with model_load_failed where the library gives none', async () => {
      rig.control.set('loadFail', 1);
      await assert.rejects(rig.model(), { code: 'model_load_failed' });
      rig.control.set('loadFail', THROW);
      await assert.rejects(rig.model(), { code: 'model_load_failed', message: /refuses to load/ });
      rig.control.reset();
      const missing = rig.addon.loadModel({ path: '/no/such/file.gguf' }).promise;
      await assert.rejects(missing, { code: 'model_load_failed' });
      assertNothingLeft();
    });

    it('is refused where the library never reports progress: its layout is not what we think', async () => {
      rig.control.set('noProgress', 1);
      await assert.rejects(rig.model(), { code: 'library_incompatible' });
      rig.control.reset();
      assertNothingLeft();
    });

    it('stops loading soon after cancel', async () => {
      rig.control.reset();
      rig.control.set('holdLoad', 1);
      const load = rig.addon.loadModel({ path: rig.modelPath });
      const failed = assert.rejects(load.promise, { code: 'cancelled' });
      await rig.control.until('inLoad', 1);
      load.cancel();
      load.cancel();
      await failed;
      rig.control.reset();
      assertNothingLeft();
    });

    it('tokenises text and control tokens apart and gives the bytes back', async () => {
      rig.control.reset();
      const model = await rig.model();
      const mark = '<|im_start|>';
      const special = await model.tokenize([{ text: `${mark}hi`, special: true }], true);
      assert.deepEqual([...special], [256, 259, 104, 105]);
      const plain = await model.tokenize([{ text: mark, special: false }], false);
      assert.equal(plain.length, mark.length);
      assert.equal(Buffer.from(model.detokenize(special)).toString(), `<s>${mark}hi`);
      assert.equal(model.detokenize(Int32Array.of(260)).length, 300);
      assert.throws(() => model.detokenize(Int32Array.of(320)), { code: 'invalid_argument' });
      assert.throws(() => model.detokenize(Int32Array.of(-1)), { code: 'invalid_argument' });
      rig.control.set('tokenizeThrow', 1);
      await assert.rejects(model.tokenize([{ text: 'x', special: false }], false), {
        code: 'invalid_argument',
      });
      rig.control.reset();
      await model.close();
      assertNothingLeft();
    });
  });

  describe('a text', () => {
    it('may take far more of the stack than a thread usually has', async () => {
      rig.control.reset();
      const model = await rig.model();
      rig.control.set('tokenizeDeep', 1);
      const text = 'x'.repeat(200_000);
      const tokens = await model.tokenize([{ text, special: false }], false);
      assert.equal(tokens.length, text.length);
      rig.control.set('tokenizeThrow', 1);
      await assert.rejects(model.tokenize([{ text: 'x', special: false }], false), {
        code: 'invalid_argument',
      });
      rig.control.reset();
      await model.close();
      assertNothingLeft();
    });
  });

  describe('a context', () => {
    it('fails with model_load_failed where the library gives none', async () => {
      rig.control.reset();
      const model = await rig.model();
      rig.control.set('contextFail', 1);
      await assert.rejects(rig.context(model), { code: 'model_load_failed' });
      rig.control.set('contextFail', THROW);
      await assert.rejects(rig.context(model), { code: 'model_load_failed', message: /no memory/ });
      rig.control.reset();
      await model.close();
      assertNothingLeft();
    });

    it('is refused where the getters do not give back what was written', async () => {
      rig.control.reset();
      const model = await rig.model();
      rig.control.set('lyingContext', 1);
      await assert.rejects(rig.context(model), { code: 'library_incompatible', message: /n_ctx/ });
      rig.control.reset();
      await model.close();
      assertNothingLeft();
    });
  });

  describe('a completion', () => {
    it('ends by an end-of-generation token, which is reported and flagged', () =>
      rig.with({}, async (context) => {
        const run = context.start('w');
        const done = await run.done;
        assert.equal(run.text(), 'xyz</s>');
        assert.equal(done.reason, 'eog');
        assert.deepEqual(
          [done.promptTokens, done.cachedTokens, done.generatedTokens, done.slot],
          [1, 0, 4, 0],
        );
      }));

    it('ends at maxTokens and at the end of the context', () =>
      rig.with({ contextTokens: 256 }, async (context) => {
        const run = context.start('0', { maxTokens: 5 });
        assert.equal((await run.done).reason, 'length');
        assert.equal(run.text(), '12345');
        const full = context.start('0');
        const done = await full.done;
        assert.equal(done.reason, 'context');
        assert.equal(done.promptTokens + done.generatedTokens, 257);
      }));

    it('keeps to a context smaller than the smallest batch of some builds', () =>
      rig.with({ contextTokens: 32 }, async (context) => {
        assert.equal(context.native.info.contextTokensPerSlot, 32);
        const done = await context.start('0').done;
        assert.equal(done.reason, 'context');
        assert.equal(done.promptTokens + done.generatedTokens, 33);
      }));

    it('gives whole pieces, however long, and characters split over tokens', () =>
      rig.with({}, async (context) => {
        assert.equal(await context.say('L'), `${'x'.repeat(300)}</s>`);
        assert.equal(Buffer.from(await context.say('S'), 'latin1').toString(), '日</s>');
        assert.equal(Buffer.from(await context.say('B'), 'latin1').toString(), '日</s>');
      }));

    it('feeds a long prompt in batches no larger than asked for', () =>
      rig.with({ contextTokens: 2048, batchTokens: 64 }, async (context) => {
        const run = context.start(`${'a'.repeat(999)}w`);
        const done = await run.done;
        assert.equal(done.promptTokens, 1000);
        assert.equal(rig.control.get('largestBatch'), 64);
        assert.deepEqual(
          run.prefilled,
          [...run.prefilled].sort((a, b) => a - b),
        );
      }));

    it('reuses what the slot holds and says how much', () =>
      rig.with({}, async (context) => {
        const first = await context.start('hello w').done;
        assert.equal(first.cachedTokens, 0);
        const again = context.start('hello w');
        // The last prompt token is decoded again: its logits choose the first answer token.
        assert.equal((await again.done).cachedTokens, 6);
        assert.equal(again.text(), 'xyz</s>');
        const longer = await context.start('hello wxy').done;
        assert.equal(longer.cachedTokens, 8);
        const other = await context.start('help').done;
        assert.equal(other.cachedTokens, 3);
        assert.equal((await context.start('help', { cachePrompt: false }).done).cachedTokens, 0);
      }));

    it('starts over where the library cannot remove a part of a sequence', () =>
      rig.with({}, async (context) => {
        await context.say('hello w');
        rig.control.set('trimFail', 1);
        const run = context.start('hello q');
        assert.equal((await run.done).cachedTokens, 0);
        assert.equal(run.text(), 'rstuvwxyz</s>');
      }));

    it('keeps after cancel only the tokens it is told to', () =>
      rig.with({ contextTokens: 4096 }, async (context) => {
        rig.control.set('tokenSleepUs', 2000);
        const run = context.start('0');
        await rig.control.until('tokensDecoded', 4);
        run.completion.cancel(2);
        assert.equal((await run.done).reason, 'cancelled');
        rig.control.set('tokenSleepUs', 0);
        assert.equal(context.native.slots()[0]?.cachedTokens, 3);
      }));

    it('ends what is cancelled also where the library throws, and trusts that cache no more', () =>
      rig.with({ contextTokens: 4096 }, async (context) => {
        rig.control.set('tokenSleepUs', 2000);
        const run = context.start('0');
        await rig.control.until('tokensDecoded', 4);
        rig.control.set('trimFail', THROW);
        run.completion.cancel(1);
        assert.equal((await run.done).reason, 'cancelled');
        const done = await context.start('w').done;
        assert.deepEqual([done.reason, done.code], ['error', 'decode_failed']);
        rig.control.set('trimFail', 0);
        rig.control.set('tokenSleepUs', 0);
        assert.equal(await context.say('w'), 'xyz</s>');
      }));

    it('ends an aborted step the same way', () =>
      rig.with({}, async (context) => {
        rig.control.set('holdDecode', 1);
        const run = context.start('hello');
        await rig.control.until('inDecode', 1);
        rig.control.set('trimFail', THROW);
        run.completion.cancel(-1);
        assert.equal((await run.done).reason, 'cancelled');
        rig.control.set('trimFail', 0);
        rig.control.set('holdDecode', 0);
        assert.equal(await context.say('w'), 'xyz</s>');
      }));

    it('is spared by a request that wants none of it, where another slot is free', () =>
      rig.with({ slots: 2 }, async (context) => {
        await context.say('hello w');
        assert.equal((await context.start('hello w', { cachePrompt: false }).done).slot, 1);
        assert.equal((await context.start('hello w').done).cachedTokens, 6);
      }));
  });

  describe('an extreme logit', () => {
    const q = Int32Array.of('q'.charCodeAt(0));
    for (const topK of [0, 5]) {
      it(`that is infinite is certain, with topK ${topK}`, () =>
        rig.with({}, async (context) => {
          const biasValues = Float32Array.of(Infinity);
          const over = { biasTokens: q, biasValues, temperature: 1, topP: 0.9, topK, maxTokens: 3 };
          assert.equal(await context.say('0', over), 'qqq');
        }));
    }

    it('far below the best comes within reach of a high temperature', () =>
      rig.with({}, async (context) => {
        const banned = Array.from({ length: 320 }, (_, id) => id).filter((id) => id !== q[0]);
        const far = banned.filter((id) => id < 48 || id > 57);
        const run = context.start('0', {
          biasTokens: Int32Array.of(...far, ...q),
          biasValues: Float32Array.of(...far.map(() => -Infinity), -40),
          temperature: 100,
          maxTokens: 60,
        });
        assert.equal((await run.done).reason, 'length');
        assert.match(run.text(), /q/);
      }));
  });

  describe('a failing decode', () => {
    const outcomes = [
      ['-1, an invalid batch', -1, 'decode_failed'],
      ['-2, no memory', -2, 'engine_out_of_memory'],
      ['-3, a fatal error', -3, 'decode_failed'],
      ['2, an abort that nobody asked for', 2, 'decode_failed'],
      ['an exception', THROW, 'decode_failed'],
      ['an exception for want of memory', BAD_ALLOC, 'engine_out_of_memory'],
      ['something thrown that is no exception', THROW_INT, 'decode_failed'],
    ] as const;
    for (const phase of ['prefill', 'generation'] as const) {
      for (const [title, code, error] of outcomes) {
        it(`gives ${error} in ${phase} for ${title}, and the context goes on`, () =>
          rig.with({ batchTokens: 64 }, async (context) => {
            rig.control.set('failAt', phase === 'prefill' ? 2 : 4);
            rig.control.set('failCode', code);
            const run = context.start(phase === 'prefill' ? `${'a'.repeat(150)}w` : 'a');
            const done = await run.done;
            assert.equal(done.reason, 'error');
            assert.equal(done.code, error);
            assert.ok(done.message, 'it says why');
            assert.equal(done.generatedTokens, phase === 'prefill' ? 0 : 3);
            assert.equal(await context.say('w'), 'xyz</s>');
            assert.equal(await context.say('aw'), 'xyz</s>');
          }));
      }
    }

    it('tries once more for want of room, giving up the caches of idle slots', () =>
      rig.with({ slots: 2 }, async (context) => {
        await context.say('remember this w');
        rig.control.set('failAt', rig.control.get('decodeCalls') + 1);
        rig.control.set('failCode', 1);
        const run = context.start('q');
        assert.equal((await run.done).reason, 'eog');
        assert.equal((await context.start('remember this w').done).cachedTokens, 0);
      }));

    it('gives decode_failed where there is no room at all', () =>
      rig.with({}, async (context) => {
        rig.control.set('failAt', 1);
        rig.control.set('failCount', 2);
        rig.control.set('failCode', 1);
        const done = await context.start('q').done;
        assert.deepEqual([done.reason, done.code], ['error', 'decode_failed']);
        assert.equal(await context.say('w'), 'xyz</s>');
      }));

    it('fails every owner of the batch, each with the error', () =>
      rig.with({ slots: 3 }, async (context) => {
        rig.control.set('holdDecode', 1);
        const first = context.start('a');
        await rig.control.until('inDecode', 1);
        const others = [context.start('b'), context.start('c')];
        rig.control.set('failAt', rig.control.get('decodeCalls') + 1);
        rig.control.set('failCode', -3);
        rig.control.set('holdDecode', 0);
        for (const run of [first, ...others]) assert.equal((await run.done).code, 'decode_failed');
        assert.equal(await context.say('w'), 'xyz</s>');
      }));

    it('gives decode_failed where the logits are missing', () =>
      rig.with({}, async (context) => {
        rig.control.set('noLogits', 1);
        assert.equal((await context.start('a').done).code, 'decode_failed');
        rig.control.set('noLogits', 0);
        assert.equal(await context.say('w'), 'xyz</s>');
      }));
  });

  describe('a grammar', () => {
    it('holds the output to what it allows', () =>
      rig.with({}, async (context) => {
        const grammar = program([[{ repeat: 1, min: 0, max: -1 }]], [['Q']]);
        const run = context.start('w', { grammar, maxTokens: 4, ignoreEos: true });
        assert.equal((await run.done).reason, 'length');
        assert.equal(run.text(), 'QQQQ');
      }));

    it('is refused at once where it is none', () =>
      rig.with({}, async (context) => {
        const grammar = Int32Array.of(1, 2, 3);
        assert.throws(() => context.start('w', { grammar }), { code: 'grammar_invalid' });
        assert.equal(await context.say('w'), 'xyz</s>');
      }));
  });

  it('hands the library’s log lines on whole, with their level', async () => {
    rig.control.reset();
    rig.logs.length = 0;
    const model = await rig.model();
    await model.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(rig.logs.includes(`info: fake: loading ${rig.modelPath}`), rig.logs.join('\n'));
  });

  it('hands log lines to the newest listener only, also those that were on their way', async () => {
    rig.control.reset();
    rig.control.set('holdLoad', 1);
    const lines: string[] = [];
    rig.addon.onLog((level, text) => lines.push(`${level}: ${text}`));
    const load = rig.addon.loadModel({ path: rig.modelPath });
    // No turn of the event loop in between: the bell has been rung and nobody has come yet.
    while (rig.control.get('inLoad') === 0);
    rig.addon.onLog((level, text) => rig.logs.push(`${level}: ${text}`));
    rig.control.set('holdLoad', 0);
    await (await within(load.promise, 'the model')).close();
    assert.deepEqual(lines, []);
  });

  it('leaves nothing alive in the library and asks nothing of it that is forbidden', () => {
    assertNothingLeft();
  });
});
