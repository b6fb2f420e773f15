/**
 * `npm test`: runs every test/**\/*.test.ts with node:test through tsx, and ends with one plain line.
 * Arguments narrow the run: paths, folders or parts of a path. It waits for nothing without a deadline.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const TEST_DEADLINE_MS = 180_000;
const RUN_DEADLINE_MS = 14 * 60_000;

/** Test files below test/, with `/` between names; projects with a package.json of their own stay out. */
function testFiles() {
  const foreign = [];
  const files = [];
  for (const name of fs.readdirSync(path.join(ROOT, 'test'), { recursive: true })) {
    const file = `test/${name.split(path.sep).join('/')}`;
    if (file.endsWith('/package.json')) foreign.push(path.posix.dirname(file));
    if (file.endsWith('.test.ts')) files.push(file);
  }
  return files
    .filter((file) => !foreign.some((folder) => file.startsWith(`${folder}/`)))
    .filter((file) => !file.includes('/node_modules/'))
    .sort();
}

function wanted(file, filters) {
  if (filters.length === 0) return true;
  return filters.some((filter) => file.includes(filter.replace(/^\.\//, '').replace(/\/$/, '')));
}

function lastCount(output, name) {
  const found = [...output.matchAll(new RegExp(`^(?:ℹ|#) ${name} (\\d+)`, 'gm'))];
  return Number(found.at(-1)?.[1] ?? 0);
}

function main() {
  const filters = process.argv.slice(2);
  const files = testFiles().filter((file) => wanted(file, filters));
  if (files.length === 0) {
    console.error(`no test file matches ${filters.join(' ')}`);
    process.exitCode = 2;
    return;
  }
  const concurrency = Math.max(1, Math.min(4, os.availableParallelism()));
  const child = spawn(
    process.execPath,
    [
      ...['--import', 'tsx', '--test', '--test-reporter=spec'],
      `--test-concurrency=${concurrency}`,
      `--test-timeout=${TEST_DEADLINE_MS}`,
      ...files,
    ],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let tail = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text) => {
    process.stdout.write(text);
    tail = (tail + text).slice(-4_000_000);
  });
  const deadline = setTimeout(() => {
    console.error(`the whole run took longer than ${RUN_DEADLINE_MS / 60_000} minutes`);
    child.kill('SIGKILL');
  }, RUN_DEADLINE_MS);
  child.on('close', (code, signal) => {
    clearTimeout(deadline);
    const failed = lastCount(tail, 'fail') + lastCount(tail, 'cancelled');
    const parts = [`${lastCount(tail, 'pass')} passed`, `${failed} failed`];
    const skipped = lastCount(tail, 'skipped');
    if (skipped > 0) parts.push(`${skipped} skipped`);
    if (signal) parts.push(`ended by ${signal}`);
    console.log(parts.join(', '));
    process.exitCode = signal ? 1 : (code ?? 1);
  });
}

main();
