/**
 * Child processes of the native tests: `node stories.mjs NAME JSON`. Plain JavaScript, so that a
 * child starts fast and only what the story needs is in the process. Tells by lines of JSON.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread, Worker, workerData } from 'node:worker_threads';

const root = fileURLToPath(new URL('../../', import.meta.url));
const require = createRequire(import.meta.url);
const addon = require('node-gyp-build')(root);
const abi = JSON.parse(fs.readFileSync(new URL('../../native/abi/llama.json', import.meta.url)));

// Synchronous, so that a line is out before whatever ends the process.
const tell = (line) => fs.writeSync(1, `${JSON.stringify(line)}\n`);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const open = ({ library, ...options }) =>
  addon.openLibrary({
    preload: [],
    unknownSymbols: [],
    allowUnknown: false,
    proveSamplers: true,
    backends: true,
    abi,
    ...options,
    path: library,
  });

/** A program that lets any text pass (src/grammar/program.ts): FREE of nothing. */
const ANY_TEXT = Int32Array.of(1, 1, 3, 1, 5, 6, 0, 0);

/** Every step is on, and yet the fake's best token is certain: whatever ends, ends in the midst of all. */
const request = (prompt) => ({
  prompt: Int32Array.from(Buffer.from(prompt)),
  maxTokens: -1,
  cachePrompt: true,
  temperature: 0.01,
  topK: 100,
  topP: 0.99,
  minP: 0.01,
  seed: 1,
  repeatPenalty: 1,
  repeatLastN: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  dryMultiplier: 0,
  dryBase: 1.75,
  dryAllowedLength: 2,
  dryPenaltyLastN: -1,
  drySequenceBreakers: [],
  typicalP: 0.99,
  topNSigma: 9,
  xtcProbability: 0.5,
  xtcThreshold: 0.1,
  mirostat: 0,
  mirostatTau: 5,
  mirostatEta: 0.1,
  dynatempRange: 0.005,
  dynatempExponent: 1,
  samplers: [
    ...['penalties', 'dry', 'top_n_sigma', 'top_k', 'typical_p', 'top_p', 'min_p', 'xtc'],
    'temperature',
  ],
  biasTokens: new Int32Array(0),
  biasValues: new Float32Array(0),
  grammar: ANY_TEXT,
  ignoreEos: false,
  logprobs: -1,
  promptLogprobs: -1,
});

/** Up to the phase of the story; resolves when it has been reached. */
async function reach(parameters) {
  const { phase, model: path } = parameters;
  await open(parameters);
  if (phase === 'opened') return {};
  const load = addon.loadModel({ path });
  if (phase === 'loading') {
    load.promise.catch(() => {});
    await sleep(20);
    return { load };
  }
  const model = await load.promise;
  if (phase === 'loaded') return { model };
  const listeners = new Set();
  const context = await model.createContext(
    { contextTokens: 4096, slots: 2, batchTokens: 256, threads: 1 },
    () => {
      for (const listener of listeners) listener();
    },
  );
  if (phase === 'idle') return { model, context };
  if (phase === 'embedding') {
    const embedder = model.createEmbedder({ contextTokens: 64, slots: 1, batchTokens: 64 });
    embedder.embed([Int32Array.of(1)]).promise.catch(() => {});
    await sleep(20);
    return { model, context, embedder };
  }
  const completion = context.start(request(phase === 'prefill' ? 'w'.repeat(2000) : '0'));
  let tokens = 0;
  await new Promise((resolve) => {
    listeners.add(() => {
      for (let batch = completion.take(); batch; batch = completion.take()) {
        tokens += batch.tokens.length;
        if (phase === 'generating' ? tokens > 3 : batch.prefilledTokens > 0) resolve();
      }
    });
  });
  return { model, context, completion, listeners };
}

const ways = {
  async end({ context, model, load }) {
    load?.cancel();
    await context?.close();
    await model?.close();
  },
  // Nothing is closed: what keeps the loop alive is what still runs.
  async leave({ completion, load, embedder }) {
    completion?.cancel(-1);
    load?.cancel();
    embedder?.close();
  },
  async exit() {
    process.exit(3);
  },
  async throw() {
    setImmediate(() => {
      throw new Error('nobody catches this');
    });
    await sleep(10_000);
  },
  async wait() {
    await sleep(25_000);
  },
  async throwInWake({ model, context, listeners }) {
    let calls = 0;
    await new Promise((resolve) => {
      listeners.add(() => {
        calls++;
        if (calls === 1) throw new Error('thrown in the doorbell');
        if (calls > 5) resolve();
      });
    });
    await context.close();
    await model.close();
  },
};

const stories = {
  async identify(parameters) {
    // As another addon would: it is no addon, but it stays loaded.
    if (parameters.first) {
      try {
        process.dlopen({ exports: {} }, parameters.first);
      } catch {}
    }
    try {
      tell({ library: await open(parameters) });
    } catch (error) {
      tell({ code: error.code, message: error.message });
    }
  },

  /** As far as a context, which is where the values that were written are read back. */
  async load(parameters) {
    try {
      const state = await reach({ ...parameters, phase: 'idle' });
      tell({ info: state.context.info });
      await ways.end(state);
    } catch (error) {
      tell({ code: error.code, message: error.message });
    }
  },

  /** What everything answers before and after the library has given up, and an end all the same. */
  async crash(parameters) {
    const answers = {};
    const ask = async (name, call) => {
      try {
        const value = await call();
        answers[name] = 'ok';
        return value;
      } catch (error) {
        answers[name] = error.code;
        answers.message ??= error.message;
        return null;
      }
    };
    const load = () => addon.loadModel({ path: parameters.model }).promise;
    const listeners = new Set();
    const options = { contextTokens: 4096, slots: 2, batchTokens: 256, threads: 1 };
    const make = (model) =>
      model.createContext(options, () => {
        for (const listener of [...listeners]) listener();
      });
    const run = (context, prompt) =>
      new Promise((resolve) => {
        const completion = context.start(request(prompt));
        const listener = () => {
          for (let batch = completion.take(); batch; batch = completion.take()) {
            if (batch.done) resolve(batch.done);
          }
        };
        listeners.add(listener);
        listener();
      });
    await open(parameters);
    const model = await ask('load', load);
    const context = model && (await ask('context', () => make(model)));
    if (context) {
      const running = [run(context, '0'), run(context, '5')];
      const ends = await Promise.all(running);
      answers.ends = ends.map(({ code }) => code);
      answers.message ??= ends[0].message;
      answers.later = (await run(context, '0')).code;
      await ask('tokenize', () => model.tokenize([{ text: 'a', special: false }], true));
    }
    await ask('again', load);
    await context?.close();
    await model?.close();
    tell({ at: 'answers', ...answers });
    addon.endNow(70);
  },

  /** A model, a context and one generation with these options; tells what the log says of them. */
  async drive(parameters) {
    const logs = [];
    addon.onLog((level, text) => logs.push(`${level}: ${text}`));
    try {
      const library = await open(parameters);
      const loading = { path: parameters.model, ...parameters.modelOptions };
      const model = await addon.loadModel(loading).promise;
      const options = { contextTokens: 1024, slots: 2, batchTokens: 256, threads: 3 };
      let wake = () => {};
      const context = await model.createContext({ ...options, ...parameters.contextOptions }, () =>
        wake(),
      );
      const completion = context.start(request('a'));
      const pieces = [];
      const done = await new Promise((resolve) => {
        wake = () => {
          for (let batch = completion.take(); batch; batch = completion.take()) {
            pieces.push(Buffer.from(batch.bytes).toString());
            if (batch.done) resolve(batch.done);
          }
        };
        wake();
      });
      const { info } = context;
      await context.close();
      await model.close();
      await sleep(20);
      tell({ layout: library.layout, info, text: pieces.join(''), reason: done.reason, logs });
    } catch (error) {
      tell({ code: error.code, message: error.message, logs });
    }
  },

  async leaveBy(parameters) {
    const state = await reach(parameters);
    tell({ at: parameters.phase });
    await ways[parameters.way](state);
    tell({ at: 'left' });
  },

  /** A worker thread loads and runs, then is terminated or ends; the main thread goes on. */
  async thread(parameters) {
    for (let i = 0; i < parameters.times; i++) {
      const worker = new Worker(fileURLToPath(import.meta.url), {
        argv: ['leaveBy', JSON.stringify(parameters)],
        workerData: { inThread: true },
      });
      const exited = new Promise((resolve) => worker.on('exit', resolve));
      worker.on('error', (error) => tell({ error: error.message }));
      await new Promise((resolve) => {
        worker.on('message', resolve);
        worker.on('exit', resolve);
      });
      if (parameters.way === 'wait') await worker.terminate();
      await exited;
    }
    await open(parameters);
    const model = await addon.loadModel({ path: parameters.model }).promise;
    tell({ at: 'main still works', vocabulary: model.facts().vocabularySize });
    await model.close();
  },

  /** A context whose model was closed takes nothing more; then there is nothing left to do. */
  async refused(parameters) {
    const { model, context } = await reach({ ...parameters, phase: 'idle' });
    await model.close();
    try {
      context.start(request('0'));
    } catch (error) {
      tell({ at: 'refused', code: error.code });
    }
  },

  /** Wraps that nobody closes. */
  async collect(parameters) {
    const warnings = [];
    addon.onLog((level, text) => warnings.push(`${level}: ${text}`));
    await open(parameters);
    for (let i = 0; i < 5; i++) {
      await (async () => {
        const model = await addon.loadModel({ path: parameters.model }).promise;
        const context = await model.createContext(
          { contextTokens: 512, slots: 1, batchTokens: 64, threads: 1 },
          () => {},
        );
        context.start(request('0'));
      })();
    }
    for (let i = 0; i < 20; i++) {
      global.gc();
      await sleep(20);
    }
    tell({ at: 'collected', warnings: warnings.filter((line) => line.includes('without close')) });
  },

  async lock({ path }) {
    const file = fs.openSync(path, 'r+');
    tell({ at: 'asked', locked: addon.tryLock(file) });
    await sleep(25_000);
  },

  async parent({ path }) {
    const { spawn } = await import('node:child_process');
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'orphan', '{}'], {
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    });
    fs.writeFileSync(path, String(child.pid));
    await sleep(25_000);
  },

  async orphan() {
    tell({ at: 'orphan', supported: addon.dieWithParent() });
    await sleep(25_000);
  },
};

const [name, parameters] = process.argv.slice(2);
if (!isMainThread && workerData?.inThread) {
  const { parentPort } = await import('node:worker_threads');
  const state = await reach(JSON.parse(parameters));
  parentPort.postMessage('reached');
  await ways[JSON.parse(parameters).way](state);
} else {
  await stories[name](JSON.parse(parameters));
}
