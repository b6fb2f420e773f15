/**
 * Runs test files with node:test and ends with one plain line; what `npm test` and
 * `npm run test:clients` have in common. It waits for nothing without a deadline.
 */
import { spawn } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder; test files are named relative to it, with `/` between names. */
export const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const TEST_DEADLINE_MS = 180_000;
// Far more than it takes, for machines that are busy.
const RUN_DEADLINE_MS = 40 * 60_000;

const FLAGS = { compiled: ['--enable-source-maps'], sources: ['--import', 'tsx'] };

const compiled = (file) => `dist/${file.replace(/\.ts$/, '.js')}`;

function wanted(file, filters) {
  if (filters.length === 0) return true;
  return filters.some((filter) => file.includes(filter.replace(/^\.\//, '').replace(/\/$/, '')));
}

function lastCount(output, name) {
  const found = [...output.matchAll(new RegExp(`^(?:ℹ|#) ${name} (\\d+)`, 'gm'))];
  return Number(found.at(-1)?.[1] ?? 0);
}

function tellCounts(output, signal) {
  const failed = lastCount(output, 'fail') + lastCount(output, 'cancelled');
  const parts = [`${lastCount(output, 'pass')} passed`, `${failed} failed`];
  const skipped = lastCount(output, 'skipped');
  if (skipped > 0) parts.push(`${skipped} skipped`);
  if (signal) parts.push(`ended by ${signal}`);
  console.log(parts.join(', '));
}

/**
 * Runs those of the files that a filter names (a path, a folder or a part of a path; all without
 * filters): as `run` says, by what is compiled from them to dist/, or as they are, through tsx, which
 * costs a second of computing in every process. The exit code is set: 0 where all passed, 2 where no file was named, else 1.
 */
export function runTests(all, filters, run) {
  const files = all.filter((file) => wanted(file, filters));
  if (files.length === 0) {
    console.error(`no test file matches ${filters.join(' ')}`);
    process.exitCode = 2;
    return;
  }
  const concurrency = Math.max(1, Math.min(4, os.availableParallelism()));
  const child = spawn(
    process.execPath,
    [
      ...FLAGS[run],
      ...['--test', '--test-reporter=spec'],
      `--test-concurrency=${concurrency}`,
      `--test-timeout=${TEST_DEADLINE_MS}`,
      ...files.map((file) => (run === 'compiled' ? compiled(file) : file)),
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
    tellCounts(tail, signal);
    process.exitCode = signal ? 1 : (code ?? 1);
  });
}
