/**
 * `npm run check`: types, format and lint, the house rules that are tests, and the C++ format where
 * clang-format is there. Runs everything, then exits 1 where any step failed.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageBin } from './package-bin.mjs';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const STEP_DEADLINE_MS = 5 * 60_000;

function step(title, command, args) {
  console.log(`\n== ${title}`);
  const done = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', timeout: STEP_DEADLINE_MS });
  if (done.error) console.error(done.error.message);
  return { title, ok: done.status === 0 };
}

function nativeFiles() {
  return ['native/src', 'test/native']
    .filter((folder) => fs.existsSync(path.join(ROOT, folder)))
    .flatMap((folder) =>
      fs
        .readdirSync(path.join(ROOT, folder), { recursive: true })
        .map((name) => path.join(folder, name)),
    )
    .filter((file) => /\.(cc|h)$/.test(file));
}

/** Versions disagree about details; only the one that the sources were formatted with can judge. */
const CLANG_FORMAT_MAJOR = 14;

function clangFormat() {
  const found = ['clang-format', `clang-format-${CLANG_FORMAT_MAJOR}`]
    .map((name) => ({ name, run: spawnSync(name, ['--version'], { encoding: 'utf8' }) }))
    .filter(({ run }) => run.status === 0)
    .map(({ name, run }) => ({ name, version: /version (\d+)/.exec(run.stdout)?.[1] ?? '?' }));
  const right = found.find(({ version }) => Number(version) === CLANG_FORMAT_MAJOR);
  if (!right) {
    const here = found.map(({ version }) => version).join(', ') || 'none';
    console.log(
      `\n== C++ format: skipped, needs clang-format ${CLANG_FORMAT_MAJOR}, found ${here}`,
    );
    return [];
  }
  const args = ['--style=file:native/.clang-format', '--dry-run', '-Werror', ...nativeFiles()];
  return [step('C++ format', right.name, args)];
}

const houseRules = ['layering', 'docs', 'package']
  .map((name) => `test/${name}.test.ts`)
  .filter((file) => fs.existsSync(path.join(ROOT, file)));

const steps = [
  step('types', process.execPath, [
    packageBin('typescript', 'tsc'),
    // What the house rules run is made by it too.
    ...['-p', 'tsconfig.tests.json'],
  ]),
  step('format and lint', process.execPath, [
    packageBin('@biomejs/biome', 'biome'),
    ...['ci', `--colors=${process.stdout.isTTY ? 'force' : 'off'}`, '.'],
  ]),
  step('house rules', process.execPath, ['scripts/test.mjs', ...houseRules]),
  ...clangFormat(),
];
const failed = steps.filter(({ ok }) => !ok).map(({ title }) => title);
console.log(failed.length > 0 ? `\ncheck failed: ${failed.join(', ')}` : '\ncheck passed');
process.exitCode = failed.length > 0 ? 1 : 0;
