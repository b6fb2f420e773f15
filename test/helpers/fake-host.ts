/**
 * Entry of an engine process over the fake addon. The model path says how it behaves:
 * `…crash-on-load`, `…hang-on-load`, `…fail-on-load`, `…crash-on-step`, `…stalled`, anything else works.
 */
import { serveParent } from '../../src/engine/hosting.js';
import { coded, createFakeAddon, emptyAbi } from './fake-addon.js';

let path = '';

const addon = createFakeAddon({
  onLoad: async (options) => {
    path = options.path;
    if (path.endsWith('crash-on-load')) {
      console.error('GGML_ASSERT(scripted) failed');
      await new Promise((resolve) => setTimeout(resolve, 20));
      process.abort();
    }
    if (path.endsWith('hang-on-load')) await new Promise(() => setInterval(() => {}, 1000));
    if (path.endsWith('fail-on-load')) throw coded('model_load_failed', 'scripted failure');
  },
  onStep: (step) => {
    if (path.endsWith('crash-on-step') && step === 3) {
      // The news of the steps before are still to be delivered.
      setImmediate(() => process.kill(process.pid, 'SIGSEGV'));
    }
  },
  stalled: () => path.endsWith('stalled'),
});

serveParent(addon, emptyAbi);
