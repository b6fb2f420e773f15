import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CRASHES_TO_HOLD, Restarts } from '../../src/resources/restarts.js';

test('the first restart is at once, the second after a second, and then it is held back', () => {
  const restarts = new Restarts();
  assert.deepEqual(restarts.verdict('k', 0), { state: 'free' });
  assert.deepEqual(restarts.crashed('k', 'm', 100), { restartInMs: 0 });
  assert.deepEqual(restarts.verdict('k', 100), { state: 'free' });
  assert.deepEqual(restarts.crashed('k', 'm', 200), { restartInMs: 1000 });
  assert.deepEqual(restarts.verdict('k', 700), { state: 'wait', ms: 500 });
  assert.deepEqual(restarts.verdict('k', 1200), { state: 'free' });
  assert.deepEqual(restarts.crashed('k', 'm', 1300), { restartInMs: null });
  assert.deepEqual(restarts.verdict('k', 10 ** 9), { state: 'held', crashes: 3 });
  assert.deepEqual(restarts.held(), [{ model: 'm', crashes: 3 }]);
});

test('a finished request makes all crashes forgotten', () => {
  const restarts = new Restarts();
  for (let round = 0; round < 10; round += 1) {
    assert.deepEqual(restarts.crashed('k', 'm', 0), { restartInMs: 0 });
    assert.deepEqual(restarts.crashed('k', 'm', 0), { restartInMs: 1000 });
    restarts.finished('k');
    assert.deepEqual(restarts.verdict('k', 0), { state: 'free' });
  }
});

test('whoever asks for it by name has it started at once; it is then as patient as before, and slower', () => {
  const restarts = new Restarts();
  for (let crash = 0; crash < CRASHES_TO_HOLD; crash += 1) restarts.crashed('k', 'm', 0);
  restarts.lift('k');
  assert.deepEqual(restarts.verdict('k', 0), { state: 'free' });
  assert.deepEqual(restarts.held(), []);
  assert.deepEqual(restarts.crashed('k', 'm', 0), { restartInMs: 2000 });
  assert.deepEqual(restarts.crashed('k', 'm', 0), { restartInMs: 2000 });
  assert.deepEqual(restarts.crashed('k', 'm', 0), { restartInMs: null });
  assert.deepEqual(restarts.verdict('k', 0), { state: 'held', crashes: 6 });
});

test('models crash each for themselves, and another library begins anew', () => {
  const restarts = new Restarts();
  for (let crash = 0; crash < CRASHES_TO_HOLD; crash += 1) restarts.crashed('k', 'm', 0);
  assert.deepEqual(restarts.verdict('other', 0), { state: 'free' });
  restarts.lift('other');
  restarts.clear();
  assert.deepEqual(restarts.verdict('k', 0), { state: 'free' });
  assert.deepEqual(restarts.held(), []);
});
