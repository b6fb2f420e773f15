/**
 * Entry of an engine process over the fake addon. The model path says how it behaves:
 * `…crash-on-load`, `…hang-on-load`, `…fail-on-load`, `…no-memory-on-load`, `…crash-on-step`,
 * `…no-memory-on-step`, `…stalled`, `…slow` (no token for longer than its hang limit, but progress),
 * anything else works.
 */
import { hostBehaviour } from '../../src/engine/host-arguments.js';
import { serveParent } from '../../src/engine/hosting.js';
import { coded, createFakeAddon, emptyAbi } from './fake-addon.js';

const behaviour = hostBehaviour(process.argv.slice(2));
let path = '';
let count = 0;
let slowSince: number | null = null;

const addon = createFakeAddon({
  onLoad: async (options) => {
    path = options.path;
    if (path.endsWith('crash-on-load')) {
      console.error('GGML_ASSERT(scripted) failed');
      await new Promise((resolve) => setTimeout(resolve, 20));
      process.abort();
    }
    if (path.endsWith('hang-on-load')) await new Promise(() => setInterval(() => {}, 1000));
    if (path.endsWith('no-memory-on-load')) {
      throw coded('model_load_failed', 'no model: unable to allocate CPU buffer');
    }
    if (path.endsWith('fail-on-load')) throw coded('model_load_failed', 'scripted failure');
  },
  onStep: (step) => {
    if (path.endsWith('no-memory-on-step') && step === 3) {
      console.error("terminate called after throwing an instance of 'std::bad_alloc'");
      setImmediate(() => process.abort());
    }
    if (path.endsWith('crash-on-step') && step === 3) {
      // The news of the steps before are still to be delivered.
      setImmediate(() => process.kill(process.pid, 'SIGSEGV'));
    }
  },
  stalled: () => {
    if (!path.endsWith('slow')) return path.endsWith('stalled');
    slowSince ??= performance.now();
    return performance.now() < slowSince + behaviour.hangLimitMs * 1.4;
  },
  progress: () => {
    count += path.endsWith('slow') ? 1 : 0;
    const calm = { count: 0, inLongCall: false };
    return { steps: { ...calm, count }, embeds: calm, other: calm, othersCpuMs: 0 };
  },
});

serveParent(addon, emptyAbi, behaviour);
