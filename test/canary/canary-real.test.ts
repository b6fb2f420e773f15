/** The canary on the real library that npm installed. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { runCanary } from '../../src/canary/canary.js';
import type { EngineOptions } from '../../src/engine/engine.js';
import { entryBeside } from '../../src/engine/fork.js';
import { startEngineProcess } from '../../src/engine/process.js';
import { findLibrary, withSiblings } from '../../src/library/find.js';
import { identifyLibrary } from '../../src/library/identify.js';
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
    assert.match(logits?.detail ?? '', /plain weights off by 0\.\d+ %/);
    assert.deepEqual(readdirSync(root), []);
  });

  /** The canary's last check where engines that load `model` are bent. */
  async function lastCheckBending(
    model: RegExp,
    bend: (options: EngineOptions) => Promise<EngineOptions> | EngineOptions,
  ) {
    const report = await runCanary({
      ...common,
      files: await files(),
      signal: AbortSignal.timeout(120_000),
      start: async (input) => {
        const { options } = input;
        return startEngineProcess({
          ...input,
          options: model.test(options.modelPath) ? await bend(options) : options,
        });
      },
    });
    assert.equal(report.passed, false);
    return report.checks.at(-1);
  }

  for (const [wrong, change] of [
    ['positions turn too slowly', { ropeFreqBase: 15_000 }],
    ['positions count half', { ropeScaling: 'linear', ropeFreqScale: 0.5 }],
  ] as const) {
    test(`fails by the numbers where ${wrong}`, async () => {
      const last = await lastCheckBending(/plain/, (options) => ({ ...options, ...change }));
      assert.equal(last?.name, 'logits');
      assert.match(last?.detail ?? '', /logits are \d+ % off at step 0 \(plain\)/);
    });
  }

  /** Overwrites a twentieth of the file, in its middle. */
  async function damage(options: EngineOptions): Promise<EngineOptions> {
    const file = await open(options.modelPath, 'r+');
    try {
      const { size } = await file.stat();
      await file.write(new Uint8Array(Math.ceil(size / 20)), 0, undefined, Math.floor(size / 2));
    } finally {
      await file.close();
    }
    return options;
  }

  test('fails by the numbers where a twentieth of the weights is lost', async () => {
    const last = await lastCheckBending(/quantised/, damage);
    assert.equal(last?.name, 'logits');
    assert.match(last?.detail ?? '', /logits are \d+ % off at step 0 \(quantised\)/);
  });

  test('names the end of a process that dies', async () => {
    const report = await runCanary({
      ...common,
      files: await files(),
      signal: AbortSignal.timeout(120_000),
      start: async (input) => {
        const engine = await startEngineProcess(input);
        process.kill(engine.pid ?? 0, 'SIGSEGV');
        return engine;
      },
    });
    const last = report.checks.at(-1);
    assert.equal(last?.name, 'text');
    assert.match(last?.detail ?? '', /engine_crashed.*ended by SIGSEGV/);
  });

  /** The default library as one from after the table's last layout. */
  async function runOnOlderTable(allowUnknown: boolean) {
    const helper = (name: string): URL => entryBeside(import.meta.url, `../helpers/${name}`);
    return runCanary({
      ...common,
      files: { ...(await files()), allowUnknown },
      signal: AbortSignal.timeout(120_000),
      identify: (input) => identifyLibrary({ ...input, entry: helper('older-probe') }),
      start: (input) => startEngineProcess({ ...input, entry: helper('older-host') }),
    });
  }

  test('passes in the minimal mode where its layout is unknown, and says that it was one', async () => {
    const report = await runOnOlderTable(true);
    assert.deepEqual(
      report.checks.filter(({ ok }) => !ok),
      [],
    );
    assert.deepEqual([report.passed, report.minimal], [true, true]);
    assert.match(report.checks[0]?.detail ?? '', /in the minimal mode$/);
  });

  test('fails at the first check where its layout is unknown and that is not allowed', async () => {
    const { passed, checks } = await runOnOlderTable(false);
    assert.deepEqual([passed, checks.length], [false, 1]);
    assert.match(checks[0]?.detail ?? '', /llama_model_params has an unknown layout/);
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
