/**
 * Compiles every native source for Windows with mingw-w64, without linking: what only Windows
 * compiles is seen by a compiler at least. Nothing is run and nothing is kept.
 * Exit code 0 where all compile or the compiler is missing (which is said), else 1.
 */
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** The one with POSIX threads first: the other may lack std::mutex. */
const COMPILERS = ['x86_64-w64-mingw32-g++-posix', 'x86_64-w64-mingw32-g++'];
const DEADLINE_MS = 5 * 60_000;
const require = createRequire(import.meta.url);

const SOURCES = fs
  .readdirSync(path.join(ROOT, 'native/src'), { recursive: true })
  .filter((name) => name.endsWith('.cc'))
  .map((name) => path.join(ROOT, 'native/src', name))
  .sort();

const FLAGS = [
  ...['-c', '-std=c++17', '-O1', '-Wall', '-Wextra', '-Werror'],
  ...['NAPI_VERSION=8', 'NAPI_CPP_EXCEPTIONS', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
  ...['BUILDING_NODE_EXTENSION', 'NOMINMAX', 'WIN32_LEAN_AND_MEAN', '_WIN32_WINNT=0x0A00'],
].map((flag) => (flag.startsWith('-') ? flag : `-D${flag}`));

/** The headers are no code of ours: their warnings are not looked at. */
const INCLUDES = [
  ...['-I', path.join(ROOT, 'native/src')],
  ...['-isystem', require('node-api-headers').include_dir],
  ...['-isystem', path.resolve(require('node-addon-api').include_dir)],
];

function compile(compiler, source, out) {
  return new Promise((resolve) => {
    const child = spawn(compiler, [...FLAGS, ...INCLUDES, source, '-o', out], {
      stdio: ['ignore', 'inherit', 'inherit'],
      timeout: DEADLINE_MS,
    });
    child.on('error', () => resolve(false));
    child.on('close', (code) => resolve(code === 0));
  });
}

async function main() {
  const compiler = COMPILERS.find(
    (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  );
  if (!compiler) {
    console.log(`skipped: ${COMPILERS.at(-1)} is missing (Debian: g++-mingw-w64-x86-64)`);
    return;
  }
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'hoshikage-cross-'));
  const failed = [];
  const waiting = [...SOURCES.entries()];
  const lane = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, source] = next;
      if (!(await compile(compiler, source, path.join(work, `${index}.o`)))) failed.push(source);
    }
  };
  try {
    await Promise.all(Array.from({ length: os.availableParallelism() }, lane));
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
  const all = `${SOURCES.length} native sources`;
  console.log(failed.length > 0 ? `failed: ${failed.join(', ')}` : `${all} compile for Windows`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}

await main();
