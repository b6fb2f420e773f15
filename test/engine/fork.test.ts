import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endOf, entryBeside, inheritedArguments } from '../../src/engine/fork.js';

test('a child inherits loaders and heap limits, but no inspector port and no test runner', () => {
  assert.deepEqual(
    inheritedArguments([
      '--inspect=9229',
      '--import',
      'tsx',
      '--test',
      '--max-old-space-size=512',
      '--import=./other.mjs',
      '--watch',
    ]),
    ['--import', 'tsx', '--max-old-space-size=512', '--import=./other.mjs'],
  );
});

test('an entry is looked for beside the asking file, in the same language', () => {
  assert.equal(
    entryBeside('file:///a/src/engine/process.ts', 'host').href,
    'file:///a/src/engine/host.ts',
  );
  assert.equal(
    entryBeside('file:///a/dist/engine/process.js', 'host').href,
    'file:///a/dist/engine/host.js',
  );
});

test('an end is told by its signal, else by its exit code', () => {
  assert.equal(endOf(null, 'SIGSEGV'), 'ended by SIGSEGV');
  assert.equal(endOf(3, null), 'ended with exit code 3');
});
