import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { GREEDY } from '../../src/canary/canary-text.js';
import type { EngineCompletion } from '../../src/engine/engine.js';
import { openLocalEngine } from '../../src/engine/local.js';
import type { LogLine } from '../../src/engine/protocol.js';
import { engineOptions, request } from '../helpers/engine-options.js';
import {
  coded,
  createFakeAddon,
  emptyAbi,
  type FakeAddon,
  type FakeBehaviour,
} from '../helpers/fake-addon.js';

const library = { path: '/lib/libllama.so', preload: [], unknownSymbols: [], allowUnknown: false };

async function open(
  behaviour: FakeBehaviour = {},
  changes: Parameters<typeof engineOptions>[0] = {},
  files = library,
) {
  const addon: FakeAddon = createFakeAddon(behaviour);
  const lines: LogLine[] = [];
  const engine = await openLocalEngine({
    addon,
    abi: emptyAbi,
    library: files,
    options: engineOptions(changes),
    onLog: (line) => lines.push(line),
  });
  return { addon, engine, lines };
}

async function textOf(completion: EngineCompletion): Promise<string> {
  const bytes: number[] = [];
  for await (const batch of completion) bytes.push(...batch.bytes);
  return Buffer.from(bytes).toString();
}

test('an opened engine tells what it is made of', async () => {
  const { engine } = await open({}, { slots: 2, contextTokens: 32 });
  assert.equal(engine.info.model.description, 'fake 1B F16');
  assert.equal(engine.info.library.path, library.path);
  assert.deepEqual([engine.info.contextTokens, engine.info.slots], [32, 2]);
  assert.equal(engine.pid, null);
  await engine.close();
});

test('N_CTX beyond the training length is capped, and the log says so', async () => {
  const { engine, addon, lines } = await open({}, { slots: 2, contextTokens: 4096 });
  assert.equal(engine.info.contextTokens, 64);
  assert.equal(addon.contextOptions[0]?.contextTokens, 128);
  assert.match(lines[0]?.[1] ?? '', /4096.*64/);
  await engine.close();
});

test('a completion yields its tokens and ends with its counts', async () => {
  const { engine } = await open();
  const completion = engine.start(request('星影'));
  assert.equal(await textOf(completion), '星影');
  const result = await completion.result;
  assert.equal(result.reason, 'eog');
  assert.equal(result.generatedTokens, 6);
  await engine.close();
});

test('completions side by side do not mix', async () => {
  const { engine } = await open({}, { slots: 3 });
  const texts = ['first', 'second one', 'x'];
  const answers = await Promise.all(texts.map((text) => textOf(engine.start(request(text)))));
  assert.deepEqual(answers, texts);
  await engine.close();
});

test('max tokens ends with length; the end of the context with context', async () => {
  const { engine, addon } = await open({}, { contextTokens: 10 });
  const short = engine.start(request('abcdef', { maxTokens: 2 }));
  assert.equal(await textOf(short), 'ab');
  assert.equal((await short.result).reason, 'length');
  const long = engine.start(request('abcdef', { maxTokens: 100 }));
  assert.equal(await textOf(long), 'abcd');
  assert.equal((await long.result).reason, 'context');
  assert.equal(addon.requests[1]?.maxTokens, 4);
  await engine.close();
});

test('a prompt that fills the context is refused with both numbers', async () => {
  const { engine } = await open({}, { contextTokens: 4 });
  await assert.rejects(engine.start(request('abcd')).result, {
    code: 'context_length_exceeded',
    details: { n_prompt_tokens: 4, n_ctx: 4 },
  });
  await engine.close();
});

test('what the addon refuses comes by the completion, never as a throw of start', async () => {
  const { engine } = await open();
  const completion = engine.start(request(''));
  await assert.rejects(completion.result, { code: 'invalid_argument' });
  await assert.rejects(textOf(completion), { code: 'invalid_argument' });
  await engine.close();
});

test('cancelling ends a completion that would never end', async () => {
  const { engine } = await open({ stalled: () => true });
  const completion = engine.start(request('abc'));
  completion.cancel();
  assert.equal((await completion.result).reason, 'cancelled');
  await engine.close();
});

test('a decode failure reaches the reader after the tokens before it', async () => {
  const { engine } = await open({
    onStep: (step) => {
      if (step === 3) throw coded('decode_failed', 'scripted');
    },
  });
  const completion = engine.start(request('abcdef'));
  const seen: number[] = [];
  await assert.rejects(
    async () => {
      for await (const batch of completion) seen.push(...batch.bytes);
    },
    { code: 'decode_failed' },
  );
  assert.equal(Buffer.from(seen).toString(), 'ab');
  await engine.close();
});

test('tokenize and detokenize answer, and their errors keep their codes', async () => {
  const { engine } = await open();
  const tokens = await engine.tokenize([{ text: 'ab', special: false }], true);
  assert.deepEqual([...tokens], [97, 98]);
  assert.deepEqual([...(await engine.detokenize(tokens))], [97, 98]);
  await assert.rejects(engine.detokenize(Int32Array.of(999)), { code: 'invalid_argument' });
  await engine.close();
});

test('the slots are seen at work and idle again after the end', async () => {
  const { engine } = await open({}, { slots: 2 });
  const completion = engine.start(request('abcdefgh'));
  assert.equal((await engine.slots())[0]?.state, 'generation');
  await completion.result;
  assert.deepEqual(
    engine.slotStates.map((slot) => slot.state),
    ['idle', 'idle'],
  );
  await engine.close();
});

test('what the engine has done is known with the end of a completion, and after its own', async () => {
  const { engine } = await open();
  assert.equal(engine.counters.steps, 0);
  await engine.start(request('abc')).result;
  const { steps } = engine.counters;
  assert.ok(steps > 3, `${steps} steps`);
  await engine.close();
  assert.equal(engine.counters.steps, steps);
});

test('log-probabilities arrive when asked for', async () => {
  const { engine } = await open();
  const completion = engine.start(request('ab', { sampling: { ...GREEDY, logprobs: 2 } }));
  for await (const batch of completion) {
    assert.equal(batch.logprobs?.length, batch.tokens.length);
    assert.equal(batch.logprobs?.[0]?.top.length, 2);
  }
  await engine.close();
});

test('those of the prompt arrive from its second token on', async () => {
  const { engine } = await open();
  const found: number[] = [];
  for await (const batch of engine.start(request('abc', { promptLogprobs: 1 }))) {
    for (const { logprob, top } of batch.promptLogprobs ?? []) {
      found.push(logprob);
      assert.deepEqual(top, [[7, -0.25]]);
    }
  }
  assert.deepEqual(found, [-24.5, -24.75]);
  await engine.close();
});

test('closing ends what runs, frees context then model, and refuses what comes after', async () => {
  const { engine, addon } = await open({ stalled: () => true });
  const running = engine.start(request('abc'));
  await Promise.all([engine.close(), engine.close()]);
  await assert.rejects(running.result, { code: 'shutting_down' });
  assert.deepEqual(addon.calls.slice(-2), ['context.close', 'model.close']);
  assert.deepEqual(await engine.exited, { expected: true, cause: 'closed', detail: 'closed' });
  await assert.rejects(engine.start(request('a')).result, { code: 'closed' });
  await assert.rejects(engine.slots(), { code: 'closed' });
});

test('a model that cannot be loaded rejects with its code', async () => {
  await assert.rejects(
    open({
      onLoad: () => {
        throw coded('model_load_failed', 'bad tensor');
      },
    }),
    { code: 'model_load_failed' },
  );
});

test('aborting while the context is made cancels too: nobody gets an engine that is closing', async () => {
  const abort = new AbortController();
  const addon = createFakeAddon({ onContext: () => abort.abort() });
  const { signal } = abort;
  const opening = openLocalEngine({
    addon,
    abi: emptyAbi,
    library,
    options: engineOptions(),
    signal,
  });
  await assert.rejects(opening, { code: 'cancelled' });
  assert.deepEqual(addon.calls.slice(-2), ['context.close', 'model.close']);
});

test('aborting cancels a load, and frees what it had', async () => {
  const abort = new AbortController();
  const addon = createFakeAddon({
    onLoad: async (_, cancelled) => {
      setImmediate(() => abort.abort());
      await cancelled;
      throw coded('cancelled', 'load cancelled');
    },
  });
  await assert.rejects(
    openLocalEngine({
      addon,
      abi: emptyAbi,
      library,
      options: engineOptions(),
      signal: abort.signal,
    }),
    { code: 'cancelled' },
  );
});

test('embeddings come one per input, from an embedder that is made once and closed before the model', async () => {
  const { engine, addon } = await open({}, { contextTokens: 32 });
  const vectors = await engine.embed([Int32Array.of(1, 2), Int32Array.of(3)]);
  assert.deepEqual(
    vectors.map((vector) => [vector.length, vector[0]]),
    [
      [8, 2],
      [8, 1],
    ],
  );
  assert.deepEqual(await engine.embed([]), []);
  assert.deepEqual(
    addon.embedderOptions.map(({ contextTokens, slots }) => [contextTokens, slots]),
    [[32, 1]],
  );
  await engine.close();
  assert.deepEqual(addon.calls.slice(-3), ['context.close', 'embedder.close', 'model.close']);
  await assert.rejects(engine.embed([Int32Array.of(1)]), { code: 'closed' });
});

test('an input without tokens or longer than the context is refused before anything is made', async () => {
  const { engine, addon } = await open({}, { contextTokens: 4 });
  await assert.rejects(engine.embed([Int32Array.of(1), new Int32Array()]), {
    code: 'invalid_value',
    message: /index 1/,
  });
  await assert.rejects(engine.embed([new Int32Array(5)]), {
    code: 'context_length_exceeded',
    details: { n_prompt_tokens: 5, n_ctx: 4 },
  });
  assert.equal(addon.embedderOptions.length, 0);
  await engine.close();
});

test('an engine for embeddings has no slots, no context, and refuses to generate by name', async () => {
  const { engine, addon } = await open({}, { purpose: 'embed', contextTokens: 4096 });
  assert.deepEqual([engine.info.slots, engine.info.contextTokens], [0, 64]);
  assert.deepEqual([addon.contextOptions.length, engine.slotStates.length], [0, 0]);
  assert.equal((await engine.embed([Int32Array.of(1)])).length, 1);
  const refused = { code: 'model_not_generative', details: { model: 'a.gguf' } };
  await assert.rejects(engine.start(request('abc')).result, refused);
  await assert.rejects(engine.saveState(0, '/tmp/never'), refused);
  await assert.rejects(engine.restoreState('/tmp/never'), refused);
  await engine.close();
});

test('a call that the library never answers ends with the engine that is closed', async () => {
  const { engine } = await open({ onEmbed: () => new Promise(() => {}) });
  const waiting = engine.embed([Int32Array.of(1)]);
  const ended = assert.rejects(waiting, { code: 'closed' });
  await engine.close();
  await ended;
});

test('a state is not taken for one of a file that replaced the model’s during its load', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hoshikage-local-'));
  try {
    const modelPath = join(folder, 'model.gguf');
    const path = join(folder, 'state');
    await writeFile(modelPath, 'a model');
    const files = { ...library, path: join(folder, 'libllama.so') };
    await writeFile(files.path, 'a library');
    const onLoad = () => writeFile(modelPath, 'another model');
    const { engine } = await open({ onLoad }, { modelPath }, files);
    await textOf(engine.start(request('abc')));
    await engine.saveState(0, path);
    await engine.close();
    const next = await open({}, { modelPath }, files);
    assert.equal(await next.engine.restoreState(path), null);
    await next.engine.close();
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a slot’s state goes to a file and comes back; what does not fit is said in the log', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hoshikage-local-'));
  try {
    const modelPath = join(folder, 'model.gguf');
    const libraryPath = join(folder, 'libllama.so');
    await writeFile(modelPath, 'a model');
    await writeFile(libraryPath, 'a library');
    const path = join(folder, 'state');
    let stuck = false;
    const files = { ...library, path: libraryPath };
    const openHere = () => open({ stalled: () => stuck }, { modelPath }, files);
    const { engine } = await openHere();
    assert.equal(await engine.saveState(0, path), null);
    await textOf(engine.start(request('abc')));
    const saved = await engine.saveState(0, path);
    assert.deepEqual([...(saved?.tokens ?? [])], [97, 98, 99]);
    assert.equal(saved?.bytes, (await stat(path)).size);
    assert.equal(await engine.saveState(0, path, 2), null);
    assert.equal((await engine.saveState(0, path, 3))?.bytes, saved?.bytes);
    await engine.close();

    const second = await openHere();
    const restored = await second.engine.restoreState(path);
    assert.deepEqual([restored?.slot, [...(restored?.tokens ?? [])]], [0, [97, 98, 99]]);
    assert.equal(await second.engine.restoreState(join(folder, 'none')), null);
    stuck = true;
    const busy = second.engine.start(request('abcdefgh'));
    assert.equal(await second.engine.restoreState(path), null);
    stuck = false;
    await busy.result;
    await second.engine.close();
    const said = second.lines.map(([level, text]) => `${level}: ${text}`).join('\n');
    assert.match(said, /warn: the saved state .*none is not used: ENOENT/);
    assert.match(said, /warn: the saved state .*state is not used: no slot is idle/);

    const copy = { modelPath: join(folder, 'copy.gguf'), sourcePath: modelPath };
    await writeFile(copy.modelPath, 'a model');
    const ofCopy = await open({}, copy, files);
    assert.equal((await ofCopy.engine.restoreState(path))?.tokens.length, 3);
    await ofCopy.engine.close();

    await writeFile(modelPath, 'another model');
    const third = await openHere();
    assert.equal(await third.engine.restoreState(path), null);
    assert.match(third.lines.at(-1)?.[1] ?? '', /another model, library or context/);
    await third.engine.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
