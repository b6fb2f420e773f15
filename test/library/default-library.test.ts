/** The engine process, the search and the probe on the real library that npm installed. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { GREEDY } from '../../src/canary/canary-text.js';
import type { Engine, EngineCompletion } from '../../src/engine/engine.js';
import { startEngineProcess } from '../../src/engine/process.js';
import type { EngineProxy } from '../../src/engine/proxy.js';
import { findLibrary, withSiblings } from '../../src/library/find.js';
import { identifyLibrary } from '../../src/library/identify.js';
import { guidePath } from '../../src/models/guide.js';
import { openRealEngine, whyNoLibrary } from '../helpers/default-library.js';
import { engineOptions } from '../helpers/engine-options.js';
import { recordingLog } from '../helpers/recording-log.js';

const QUESTION = '<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n';

async function findDefault() {
  const { platform, arch } = process;
  return findLibrary({ libPath: null, libDir: '/nowhere', platform, arch, searchPath: '' });
}

function ask(engine: Engine, prompt: Int32Array, maxTokens = -1): EngineCompletion {
  return engine.start({ prompt, maxTokens, sampling: GREEDY, cachePrompt: true });
}

async function textOf(completion: EngineCompletion): Promise<string> {
  const bytes: Uint8Array[] = [];
  for await (const batch of completion) bytes.push(batch.bytes);
  return Buffer.concat(bytes).toString();
}

describe('On the default library', { skip: whyNoLibrary() }, () => {
  const log = recordingLog();
  const modelPath = guidePath();
  let engine: EngineProxy;

  before(async () => {
    engine = await startEngineProcess({
      library: await withSiblings((await findDefault()).path),
      options: engineOptions({ modelPath, contextTokens: 100_000, slots: 2, threads: 0 }),
      env: process.env,
      log,
      signal: AbortSignal.timeout(20_000),
    });
  });

  after(async () => {
    await engine.close();
  });

  test('the probe identifies it', async () => {
    const found = await findDefault();
    assert.equal(found.origin, 'package');
    const { verdict, certain } = await identifyLibrary({
      files: await withSiblings(found.path),
      env: process.env,
      signal: AbortSignal.timeout(20_000),
    });
    assert.equal(verdict.error, null);
    assert.equal(certain, true);
    assert.equal(verdict.identity?.path, found.path);
    assert.ok(verdict.identity?.devices.some((device) => device.type === 'cpu'));
  });

  test('its log lines arrive in ours, and the capped context is told', () => {
    const messages = log.records.map((record) => record.message);
    assert.ok(messages.some((message) => message.includes('llama')));
    const { contextTokens, model } = engine.info;
    assert.equal(contextTokens, model.trainedContextTokens);
    assert.ok(messages.some((message) => message.includes(String(contextTokens))));
  });

  test('a process and this process say the same, byte for byte', async () => {
    const local = await openRealEngine(modelPath);
    try {
      const prompt = await engine.tokenize([{ text: QUESTION, special: true }], true);
      assert.deepEqual(await local.tokenize([{ text: QUESTION, special: true }], true), prompt);
      const here = await textOf(ask(local, prompt));
      const there = await textOf(ask(engine, prompt));
      assert.match(here, /^Hello, I am the Hoshikage guide/);
      assert.equal(there, here);
    } finally {
      await local.close();
    }
  });

  test('completions in both slots at once do not mix', async () => {
    const prompt = await engine.tokenize([{ text: QUESTION, special: true }], true);
    const alone = await textOf(ask(engine, prompt));
    const both = await Promise.all([textOf(ask(engine, prompt)), textOf(ask(engine, prompt))]);
    assert.deepEqual(both, [alone, alone]);
    assert.deepEqual(
      (await engine.slots()).map((slot) => slot.state),
      ['idle', 'idle'],
    );
  });

  test('a cancelled completion frees its slot, and the prompt is found in the cache after', async () => {
    const prompt = await engine.tokenize([{ text: QUESTION, special: true }], true);
    const first = ask(engine, prompt);
    for await (const batch of first) {
      assert.ok(batch.tokens.length > 0);
      break;
    }
    assert.equal((await first.result).reason, 'cancelled');
    const second = ask(engine, prompt, 1);
    await textOf(second);
    const { reason, cachedTokens, promptTokens } = await second.result;
    assert.equal(reason, 'length');
    assert.equal(promptTokens, prompt.length);
    assert.ok(cachedTokens > 0);
  });

  test('a file that is no model rejects, and says why in the cause', async () => {
    await assert.rejects(
      startEngineProcess({
        library: await withSiblings((await findDefault()).path),
        options: engineOptions({ modelPath: new URL(import.meta.url).pathname }),
        env: process.env,
        log: recordingLog(),
        signal: AbortSignal.timeout(20_000),
      }),
      { code: 'model_load_failed' },
    );
  });
});
