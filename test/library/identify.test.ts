import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { entryBeside } from '../../src/engine/fork.js';
import { identifyLibrary } from '../../src/library/identify.js';
import { codeArguments } from '../helpers/script.js';

const entry = entryBeside(import.meta.url, '../helpers/fake-probe');

function identify(path: string, changes: { deadlineMs?: number; signal?: AbortSignal } = {}) {
  return identifyLibrary({
    files: { path, preload: [], unknownSymbols: [], allowUnknown: false },
    env: process.env,
    entry,
    signal: AbortSignal.timeout(20_000),
    ...changes,
  });
}

test('what the probe says is the verdict', async () => {
  const { verdict, certain } = await identify('/lib/good');
  assert.equal(verdict.identity?.path, '/lib/good');
  assert.equal(certain, true);
  const refused = await identify('/lib/refuse');
  assert.equal(refused.verdict.error?.code, 'library_incompatible');
  assert.equal(refused.certain, true);
});

test('a library that kills the probe is refused with the signal and the last words, for now', async () => {
  const { verdict, certain } = await identify('/lib/crash');
  assert.equal(verdict.error?.code, 'library_incompatible');
  assert.match(String(verdict.error?.details.reason), /SIGILL.*illegal instruction ahead/);
  assert.equal(certain, false);
});

test('a probe that says nothing is ended at its deadline', async () => {
  const { verdict, certain } = await identify('/lib/silent', { deadlineMs: 50 });
  assert.match(String(verdict.error?.details.reason), /did not answer in time/);
  assert.equal(certain, false);
});

test('a probe that cannot be started is a verdict for now, and ends no server', () => {
  const source = entryBeside(import.meta.url, '../../src/library/identify').href;
  const script = `
    import { openSync } from 'node:fs';
    const { identifyLibrary } = await import(${JSON.stringify(source)});
    try { for (;;) openSync('/dev/null'); } catch {}
    const files = { path: '/lib/good', preload: [], unknownSymbols: [], allowUnknown: false };
    const { signal } = new AbortController();
    const { verdict, certain } = await identifyLibrary({ files, env: {}, signal });
    console.log(certain, verdict.error.details.reason);
  `;
  const node = [process.execPath, ...codeArguments(script)];
  const quoted = node.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const end = spawnSync('sh', ['-c', `ulimit -n 64 && exec ${quoted}`], { encoding: 'utf8' });
  assert.match(end.stdout, /^false .*could not be started/, end.stderr);
});

test('a probe is ended when nobody wants its answer any more', async () => {
  const abort = new AbortController();
  setImmediate(() => abort.abort());
  await assert.rejects(identify('/lib/silent', { signal: abort.signal }), { code: 'cancelled' });
  await assert.rejects(identify('/lib/good', { signal: abort.signal }), { code: 'cancelled' });
});
