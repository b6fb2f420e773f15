/** The canary on the real library that npm installed. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { runCanary } from '../../src/library/canary.js';
import { findLibrary, withSiblings } from '../../src/library/find.js';
import { whyNoLibrary } from '../helpers/default-library.js';
import { recordingLog } from '../helpers/recording-log.js';

describe('The canary on the default library', { skip: whyNoLibrary() }, () => {
  const root = mkdtempSync(join(tmpdir(), 'hoshikage-canary-'));
  after(() => rmSync(root, { recursive: true }));

  async function files() {
    const { platform, arch } = process;
    const places = { libPath: null, libDir: '/nowhere', platform, arch, searchPath: '' };
    return withSiblings((await findLibrary(places)).path);
  }

  const common = { env: process.env, cacheDir: root, gpuLayers: -1, log: recordingLog() };

  test('passes, says what it measured, and leaves nothing behind', async () => {
    const told: string[] = [];
    const report = await runCanary({
      ...common,
      files: await files(),
      signal: AbortSignal.timeout(120_000),
      onCheck: ({ name }) => told.push(name),
    });
    assert.deepEqual(
      report.checks.filter(({ ok }) => !ok),
      [],
    );
    assert.deepEqual([report.passed, report.minimal], [true, false]);
    assert.deepEqual(
      told,
      report.checks.map(({ name }) => name),
    );
    assert.ok(report.identity?.devices.length);
    const logits = report.checks.find(({ name }) => name === 'logits');
    assert.match(logits?.detail ?? '', /plain weights: off by 0\.0\d+ % at most/);
    assert.deepEqual(readdirSync(root), []);
  });

  test('says that a file is no library, and tries nothing else', async () => {
    const path = new URL(import.meta.url).pathname;
    const report = await runCanary({
      ...common,
      files: { ...(await files()), path, preload: [] },
      signal: AbortSignal.timeout(60_000),
    });
    assert.equal(report.passed, false);
    assert.deepEqual(
      report.checks.map(({ name, ok }) => [name, ok]),
      [['identify', false]],
    );
    assert.match(report.checks[0]?.detail ?? '', /invalid ELF header/);
  });

  test('is cancelled at once when nobody wants it any more, and ends its processes', async () => {
    const abort = new AbortController();
    const running = runCanary({
      ...common,
      files: await files(),
      signal: abort.signal,
      onCheck: () => abort.abort(),
    });
    await assert.rejects(running, { code: 'cancelled' });
    assert.deepEqual(readdirSync(root), []);
  });
});
