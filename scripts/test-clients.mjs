/**
 * `npm run test:clients`: the client libraries of test/clients against the real server. Installs them
 * where that is needed, checks the tests against the libraries' own types, then runs the tests.
 * Arguments narrow the run, as with `npm test`. It must never run a script of an installed package.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { packageBin } from './package-bin.mjs';
import { ROOT, runTests } from './run-tests.mjs';

const FOLDER = 'test/clients';
const CLIENTS = path.join(ROOT, FOLDER);
const STEP_DEADLINE_MS = 5 * 60_000;

/** npm leaves a copy of the lock in node_modules when it has installed everything. */
function isInstalled() {
  const done = path.join(CLIENTS, 'node_modules', '.package-lock.json');
  const lock = path.join(CLIENTS, 'package-lock.json');
  return fs.existsSync(done) && fs.statSync(done).mtimeMs >= fs.statSync(lock).mtimeMs;
}

function succeeds(what, command, args, options = {}) {
  console.log(`== ${what}`);
  const done = spawnSync(command, args, {
    ...{ cwd: CLIENTS, stdio: 'inherit', timeout: STEP_DEADLINE_MS },
    ...options,
  });
  if (done.error) console.error(done.error.message);
  return done.status === 0;
}

function install() {
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  // The npm that runs us, which needs no shell; by its name only Windows needs one.
  const npm = process.env.npm_execpath;
  return npm
    ? succeeds('install', process.execPath, [npm, ...args])
    : succeeds('install', 'npm', args, { shell: process.platform === 'win32' });
}

function hasRightTypes() {
  const tsc = packageBin('typescript', 'tsc');
  return succeeds('types', process.execPath, [tsc, '--noEmit', '-p', 'tsconfig.json']);
}

function testFiles() {
  const names = fs.readdirSync(CLIENTS).filter((name) => name.endsWith('.test.ts'));
  return names.sort().map((name) => `${FOLDER}/${name}`);
}

if ((isInstalled() || install()) && hasRightTypes()) {
  runTests(testFiles(), process.argv.slice(2), 'sources');
} else {
  process.exitCode = 1;
}
