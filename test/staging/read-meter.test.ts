import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadMeter } from '../../src/staging/read-meter.js';
import { startChild } from '../helpers/child.js';

const isLinux = process.platform === 'linux';

test('what a process has read from storage is told, and does not shrink', {
  skip: !isLinux,
}, async () => {
  const meter = new ReadMeter(process.pid);
  const first = await meter.end();
  assert.ok(first && first.bytes >= 0 && first.ms >= 0);
  assert.deepEqual(await meter.end(), first);
});

test('a process that has ended keeps what was seen of it', { skip: !isLinux }, async () => {
  const child = startChild('lock-worker', ['/nowhere/at/all', 'own']);
  const pid = child.process.pid ?? 0;
  const meter = new ReadMeter(pid);
  await child.ended.catch(() => {});
  assert.notEqual(await meter.end(), null);
});

test('where nothing tells, nothing is told', async () => {
  assert.equal(await new ReadMeter(2 ** 30).end(), null);
});
