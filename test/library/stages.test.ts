import assert from 'node:assert/strict';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { LibraryFiles } from '../../src/engine/protocol.js';
import { explainLibrary, STAGES } from '../../src/library/stages.js';
import type { Verdict } from '../../src/library/verdict.js';
import { writeLlama } from '../helpers/elf-file.js';
import { FakeEngine } from '../helpers/fake-engine.js';

let path = '';
beforeEach(() => {
  path = join(realpathSync(mkdtempSync(join(tmpdir(), 'hoshikage-stages-'))), 'libllama.so');
  writeLlama(path);
});
afterEach(() => rmSync(join(path, '..'), { recursive: true }));

/** Explains the library at `path` with a probe that says `verdict`. */
async function explain(verdict: Verdict) {
  const asked: LibraryFiles[] = [];
  const { stages } = await explainLibrary({
    path,
    allowUnknown: true,
    env: {},
    signal: AbortSignal.timeout(10_000),
    identify: async ({ files }) => {
      asked.push(files);
      return { verdict, certain: true };
    },
  });
  return { stages, asked };
}

function refused(reason: string, code: 'library_incompatible' | 'library_not_found'): Verdict {
  return { identity: null, error: { code, details: { reason }, reason } };
}

const good: Verdict = { identity: new FakeEngine().info.library, error: null };

test('a library that can be used passes every stage', async () => {
  const { stages, asked } = await explain(good);
  assert.deepEqual(
    stages.map(({ stage, ok }) => [stage, ok]),
    STAGES.map((stage) => [stage, true]),
  );
  assert.equal(asked[0]?.allowUnknown, true);
  assert.match(stages.find(({ stage }) => stage === 'layout')?.detail ?? '', /M1 \/ C1/);
});

test('a file that the scan refuses is never opened, and the reason is told in both languages', async () => {
  writeFileSync(path, '');
  const { stages, asked } = await explain(good);
  assert.deepEqual(stages, [
    { stage: 'scan', ok: false, detail: 'libllama.so is empty', detail_ja: 'libllama.so は空です' },
  ]);
  assert.deepEqual(asked, []);
});

test('the refusals of the addon belong to the stage that found them', async () => {
  for (const [reason, stage] of [
    ['missing symbols: llama_x', 'symbols'],
    ['its symbols contradict each other, a fork of llama.cpp?', 'symbols'],
    ['llama_model_params has an unknown layout (80 bytes written)', 'layout'],
    ['layouts M1 and C9 never went together', 'layout'],
    ['llama_context_default_params does not return a struct by pointer', 'layout'],
    ['llama_batch has 72 bytes or another shape, 56 expected', 'batch'],
    ['the process that opened it ended by SIGILL', 'open'],
  ] as const) {
    const { stages } = await explain(refused(reason, 'library_incompatible'));
    const last = stages.at(-1);
    assert.deepEqual([last?.stage, last?.ok, last?.detail], [stage, false, reason]);
    assert.ok(stages.slice(0, -1).every(({ ok }) => ok));
  }
  const { stages } = await explain(refused('undefined symbol: x', 'library_not_found'));
  assert.equal(stages.at(-1)?.stage, 'open');
});
