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
    backends: true,
    abi,
    ...options,
    path: library,
  });

const request = (prompt) => ({
  prompt: Int32Array.from(Buffer.from(prompt)),
  maxTokens: -1,
  cachePrompt: true,
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
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
  biasTokens: new Int32Array(0),
  biasValues: new Float32Array(0),
  grammar: null,
  ignoreEos: false,
  logprobs: -1,
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
  async leave({ completion, load }) {
    completion?.cancel(-1);
    load?.cancel();
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
