/** An engine process steps back behind the user's work, with every thread it has. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { startEngineProcess } from '../../src/engine/process.js';
import { engineOptions, request } from '../helpers/engine-options.js';
import { niceness } from '../helpers/proc.js';
import { recordingLog } from '../helpers/recording-log.js';
import { buildFake, FakeControl, skipReason } from '../native/fake.js';
import { modelFile } from '../native/rig.js';

const skip = process.platform === 'linux' ? skipReason : 'needs /proc';

/** The niceness of an engine's threads while it generates. */
async function whileGenerating(t: TestContext, nice: number): Promise<readonly number[]> {
  const control = new FakeControl();
  t.after(() => control.close());
  const log = recordingLog();
  const engine = await startEngineProcess({
    library: { path: buildFake(), preload: [], unknownSymbols: [], allowUnknown: false },
    options: engineOptions({ modelPath: modelFile(control), contextTokens: 256 }),
    env: { ...process.env, HK_FAKE_CONTROL: control.path },
    log,
    nice,
    signal: AbortSignal.timeout(120_000),
  });
  try {
    control.set('holdDecode', 1);
    const completion = engine.start(request('w'));
    await control.until('inDecode', 1);
    const found = niceness(engine.pid ?? 0);
    control.set('holdDecode', 0);
    await completion.result;
    assert.deepEqual(
      log.records.filter(({ message }) => message.includes('NICE')),
      [],
    );
    return found;
  } finally {
    await engine.close();
  }
}

describe('the priority of an engine process', { skip }, () => {
  it('is lowered by NICE, for its own threads and those that Node has', async (t) => {
    const own = niceness(process.pid)[0] ?? 0;
    const found = await whileGenerating(t, own + 2);
    assert.ok(found.length > 5, `${found.length} threads`);
    assert.deepEqual([...new Set(found)], [own + 2]);
  });

  it('is left alone with 0', async (t) => {
    const own = niceness(process.pid)[0] ?? 0;
    assert.deepEqual([...new Set(await whileGenerating(t, 0))], [own]);
  });
});
