import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readModelSettings, writeModelSettings } from '../../src/models/model-settings.js';

describe('settings of a model', () => {
  test('are read by their names in the map, other keys left alone', () => {
    assert.deepEqual(readModelSettings({ name: 'a', n_ctx: 100, top_p: 1 }), {
      nCtx: 100,
      topP: 1,
    });
    assert.throws(() => readModelSettings({ min_p: 2 }), { code: 'invalid_value' });
    assert.throws(() => readModelSettings({ n_ctx: null }), { code: 'invalid_value' });
  });

  test('of slots and guessing are bounded as the server’s own are', () => {
    const settings = { n_slots: 'auto', speculation: 'lookup', draft_model: '', n_draft: 4 };
    const read = readModelSettings(settings);
    assert.deepEqual(read, { nSlots: 'auto', speculation: 'lookup', draftModel: '', nDraft: 4 });
    assert.deepEqual(writeModelSettings(read), settings);
    for (const bad of [
      { n_slots: 0 },
      { n_slots: 'some' },
      { speculation: 'on' },
      { n_draft: 65 },
    ]) {
      assert.throws(() => readModelSettings(bad), { code: 'invalid_value' }, JSON.stringify(bad));
    }
  });

  test('are written as they are read', () => {
    const settings = { n_ctx: 512, repeat_last_n: -1, keep_alive: 90 };
    assert.deepEqual(writeModelSettings(readModelSettings(settings)), settings);
    for (const ever of [-1, '-5m']) {
      const read = readModelSettings({ keep_alive: ever });
      assert.deepEqual(read, { keepAliveMs: Number.POSITIVE_INFINITY });
      assert.deepEqual(writeModelSettings(read), { keep_alive: -1 });
    }
    assert.deepEqual(writeModelSettings(readModelSettings({ keep_alive: '1.5s' })), {
      keep_alive: 1.5,
    });
  });
});
