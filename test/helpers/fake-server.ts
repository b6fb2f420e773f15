/** A process that owns an engine process and tells its pid; how it ends is the test's to choose. */

import { entryBeside } from '../../src/engine/fork.js';
import { startEngineProcess } from '../../src/engine/process.js';
import { silentLog } from '../../src/log.js';
import { engineOptions } from './engine-options.js';

const engine = await startEngineProcess({
  library: { path: '/lib/libllama.so', preload: [], unknownSymbols: [], allowUnknown: false },
  options: engineOptions({ modelPath: 'stalled' }),
  env: process.env,
  log: silentLog,
  entry: entryBeside(import.meta.url, 'fake-host'),
  signal: AbortSignal.timeout(120_000),
});
process.stdout.write(`${engine.pid}\n`);
