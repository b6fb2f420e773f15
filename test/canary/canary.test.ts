/** The canary with engines of a test: what passes, and what each fault is called. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type CanaryInput, runCanary } from '../../src/canary/canary.js';
import { HoshikageError } from '../../src/errors.js';
import type { Identification } from '../../src/library/identify.js';
import { CanaryEngine, type Fault } from '../helpers/canary-engine.js';
import { FakeEngine } from '../helpers/fake-engine.js';
import { recordingLog } from '../helpers/recording-log.js';

const root = mkdtempSync(join(tmpdir(), 'hoshikage-canary-'));
after(() => rmSync(root, { recursive: true }));

const identity = structuredClone(new FakeEngine().info.library);
const identified: Identification = { verdict: { identity, error: null }, certain: true };

/** A canary over an engine with a fault, and all that it opened. */
async function run(fault: Fault | null, changes: Partial<CanaryInput> = {}) {
  const engines: CanaryEngine[] = [];
  const report = await runCanary({
    files: { path: '/lib/libllama.so', preload: [], unknownSymbols: [], allowUnknown: false },
    env: {},
    cacheDir: root,
    gpuLayers: 7,
    log: recordingLog(),
    signal: new AbortController().signal,
    identify: async () => identified,
    start: async (input) => {
      const engine = new CanaryEngine(input, fault);
      engines.push(engine);
      return engine;
    },
    ...changes,
  });
  return { report, engines, last: report.checks.at(-1) };
}

describe('The canary', () => {
  test('passes where everything is right, and has closed and removed what it made', async () => {
    const { report, engines } = await run(null);
    assert.deepEqual(
      report.checks.map(({ name, ok }) => [name, ok]),
      ['identify', 'load', 'text', 'grammar', 'cancel', 'state', 'logits', 'embeddings'].map(
        (name) => [name, true],
      ),
    );
    for (const { name, detail, detail_ja = '' } of report.checks) {
      assert.match(
        detail_ja,
        /[\u3040-\u30ff\u4e00-\u9fff]/,
        `${name} says what it saw in Japanese too`,
      );
      assert.doesNotMatch(detail, /[\u3040-\u30ff]{6}/, `${name} says what it saw in English`);
    }
    assert.deepEqual([report.passed, report.minimal, report.identity], [true, false, identity]);
    assert.equal(engines.length, 3);
    assert.ok(engines.every(({ closed }) => closed));
    assert.deepEqual(
      engines.map(({ input }) => [input.options.gpuLayers, input.options.cacheTypeK]),
      [
        [7, 'f16'],
        [7, 'q8_0'],
        [7, 'f16'],
      ],
    );
    assert.deepEqual(readdirSync(root), []);
  });

  test('removes what one that was killed left behind', async () => {
    const dead = spawnSync(process.execPath, ['-e', '0']).pid;
    let own = '';
    await run(null, {
      onCheck: () => {
        own = readdirSync(root)[0] ?? '';
      },
    });
    const left = own.replace(`-${process.pid}-`, `-${dead}-`);
    assert.notEqual(left, own);
    mkdirSync(join(root, left));
    await run(null);
    assert.deepEqual(readdirSync(root), []);
  });

  test('leaves the cache’s type alone in the minimal mode, and says that it was one', async () => {
    const minimal = { ...identity, minimal: true };
    const caches: string[] = [];
    const { report } = await run(null, {
      identify: async () => ({ verdict: { identity: minimal, error: null }, certain: true }),
      start: async (input) => {
        const engine = new CanaryEngine(input, null);
        Object.assign(engine.info.library, { minimal: true });
        caches.push(input.options.cacheTypeV);
        return engine;
      },
    });
    assert.deepEqual([report.passed, report.minimal], [true, true]);
    assert.deepEqual(caches, ['f16', 'f16', 'f16']);
  });

  const FAULTS: readonly (readonly [Fault, check: string, detail: RegExp])[] = [
    ['another library', 'load', /another library: .*M9/],
    ['says another text', 'text', /it said "はい" \(eog\) instead of "星影の試し鳴きです/],
    ['forgets the keyword of a long prompt', 'text', /instead of "一つ目は東/],
    ['mixes two completions', 'text', /it said "そして話は続きます/],
    ['dies', 'text', /engine_crashed/],
    ['ignores a grammar', 'grammar', /not kept to: "星影の/],
    ['ignores a broken grammar', 'grammar', /a broken grammar was ignored/],
    ['saves nothing', 'state', /could not be saved/],
    ['restores nothing', 'state', /could not be restored/],
    ['restores other tokens', 'state', /other tokens/],
    ['restores but computes anew', 'state', /only 0 were used/],
    ['restores garbage', 'state', /it said "一つ目は/],
    ['logits a tenth off', 'logits', /logits are \d+ % off at step 0 \(quantised\)/],
    ['logits that are no numbers', 'logits', /logits are NaN % off/],
    ['too few tokens', 'logits', /7 tokens \(length\) instead of 8/],
    ['embeddings a tenth off', 'embeddings', /embeddings are \d+ % off/],
    ['embeddings of another length', 'embeddings', /embeddings are NaN % off/],
  ];
  for (const [fault, check, detail] of FAULTS) {
    test(`stops at a library that ${fault}`, async () => {
      const { report, engines, last } = await run(fault);
      assert.equal(report.passed, false);
      assert.equal(last?.name, check);
      assert.match(last?.detail ?? '', detail);
      assert.ok(report.checks.slice(0, -1).every(({ ok }) => ok));
      assert.ok(engines.every(({ closed }) => closed));
    });
  }

  for (const [fault, check] of [
    ['never ends', 'text'],
    ['ignores a cancel', 'cancel'],
  ] as const) {
    test(`waits no longer than its limit for a library that ${fault}`, async () => {
      const { last, engines } = await run(fault, { limitMs: 1000 });
      assert.equal(last?.name, check);
      assert.match(last?.detail ?? '', /no end after 1 s/);
      assert.ok(engines.every(({ closed }) => closed));
    });
  }

  test('tells why a library cannot be identified, and tries nothing else', async () => {
    const reason = 'context struct 168 bytes';
    const error = { code: 'library_incompatible', details: { reason }, reason } as const;
    const { report, engines } = await run(null, {
      identify: async () => ({ verdict: { identity: null, error }, certain: true }),
    });
    assert.deepEqual([report.passed, report.identity, engines.length], [false, null, 0]);
    assert.deepEqual(
      report.checks.map(({ name, ok }) => [name, ok]),
      [['identify', false]],
    );
    assert.match(report.checks[0]?.detail ?? '', /library_incompatible.*168 bytes/);
  });

  test('shows the last complaints of an engine that could not load', async () => {
    const { last } = await run(null, {
      start: async ({ log }) => {
        log.child({ engine: 1 }).info('loading', { source: 'libllama' });
        log.child({ engine: 1 }).error('CUDA error: out of memory', { source: 'libllama' });
        throw new HoshikageError('model_load_failed', { model: 'x' }, { cause: new Error('gone') });
      },
    });
    assert.equal(last?.name, 'load');
    assert.match(last?.detail ?? '', /model_load_failed: .*gone \/ CUDA error: out of memory$/);
  });

  test('ends at once when it is cancelled, whatever it is doing', async () => {
    const abort = new AbortController();
    const opened: CanaryEngine[] = [];
    const running = run(null, {
      signal: abort.signal,
      onCheck: ({ name }) => name === 'load' && setImmediate(() => abort.abort()),
      start: async (input) => {
        const engine = new CanaryEngine(input, 'never ends');
        opened.push(engine);
        return engine;
      },
    });
    await assert.rejects(running, { code: 'cancelled' });
    assert.deepEqual([opened.length, opened[0]?.closed], [1, true]);
    assert.deepEqual(readdirSync(root), []);
    await assert.rejects(run(null, { signal: abort.signal }), { code: 'cancelled' });
  });
});
