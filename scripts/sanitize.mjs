/**
 * Runs the native code under sanitizers; needs Linux, g++ and cmake. Three parts, or those named:
 *   address  the addon under AddressSanitizer and UBSan in Node: all of test/native
 *            (leaks are not looked for: Node itself never frees everything; the tests count what the
 *            library holds instead)
 *   leaks    llama/ and decode/ without Node, under AddressSanitizer with leak detection
 *   threads  the same program under ThreadSanitizer
 */
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const PARTS = ['address', 'leaks', 'threads'];
const DEADLINE_MS = 15 * 60_000;
const compiler = process.env.CXX ?? 'g++';

function run(command, args, env = {}) {
  const options = { cwd: ROOT, stdio: 'inherit', timeout: DEADLINE_MS };
  const done = spawnSync(command, args, { ...options, env: { ...process.env, ...env } });
  if (done.error) console.error(done.error.message);
  return done.status === 0;
}

/** The addon in Node. Only a preloaded runtime sees the process's allocations from the start. */
function addressPart() {
  const built = run(process.execPath, [
    'scripts/install.mjs',
    '--sanitize=address,undefined',
    '--out=build/asan/build',
  ]);
  if (!built) return false;
  const runtime = execFileSync(compiler, ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  const tests = fs
    .readdirSync(path.join(ROOT, 'test/native'))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `test/native/${name}`);
  const args = ['--import', 'tsx', '--test', '--test-reporter=spec', '--test-concurrency=1'];
  return run(process.execPath, [...args, '--test-timeout=300000', ...tests], {
    LD_PRELOAD: runtime.trim(),
    ASAN_OPTIONS: 'detect_leaks=0:exitcode=99',
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1:exitcode=99',
    HOSHIKAGE_PREBUILD: path.join(ROOT, 'build/asan'),
    HOSHIKAGE_SANITIZE: 'address',
  });
}

/** native/abi/llama.json as rows of plain data: code for it would take the compiler minutes. */
function abiRows() {
  const abi = JSON.parse(fs.readFileSync(path.join(ROOT, 'native/abi/llama.json'), 'utf8'));
  const kinds = [abi.modelParams, abi.contextParams];
  const layouts = kinds.flatMap((list, kind) =>
    list.map(({ id, size, from, to }) => `{${kind}, "${id}", ${size}, ${from}, ${to}},`),
  );
  const fields = kinds.flat().flatMap((layout) =>
    layout.fields.map(([name, offset, bytes, defaults]) => {
      const values = defaults.map((value) => `${value}ull`).join(', ');
      return `{"${layout.id}", "${name}", ${offset}, ${bytes}, ${defaults.length}, {${values}}},`;
    }),
  );
  const symbols = abi.symbols.map(([name, from, gone]) => `{"${name}", ${from}, ${gone}},`);
  return [
    `const int kFloor = ${abi.floor};`,
    `const SamplerHistory kSamplers{${Object.values(abi.samplers).join(', ')}};`,
    `const LayoutRow kLayouts[] = {\n${layouts.join('\n')}\n};`,
    `const FieldRow kFields[] = {\n${fields.join('\n')}\n};`,
    `const SymbolRow kSymbols[] = {\n${symbols.join('\n')}\n};`,
  ].join('\n');
}

/** Builds the fake with a sanitizer by the tests' own helper, which knows the symbols it needs. */
function buildFake(sanitize) {
  const code =
    "import('./test/native/fake.ts').then((fake) => process.stdout.write(fake.buildFake()))";
  return execFileSync(process.execPath, ['--import', 'tsx', '-e', code], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, HOSHIKAGE_SANITIZE: sanitize },
  }).trim();
}

function programPart(sanitize, env) {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'hoshikage-sanitize-'));
  try {
    const sources = ['llama', 'decode'].flatMap((folder) =>
      fs
        .readdirSync(path.join(ROOT, 'native/src', folder))
        .filter((name) => name.endsWith('.cc'))
        .map((name) => path.join(ROOT, 'native/src', folder, name)),
    );
    fs.writeFileSync(path.join(work, 'abi-table.inc'), abiRows());
    fs.writeFileSync(path.join(work, 'cells'), Buffer.alloc(4096));
    fs.writeFileSync(path.join(work, 'model.gguf'), 'a model');
    const program = path.join(work, 'threads');
    const flags = ['-std=c++17', '-g', '-O1', '-pthread', `-fsanitize=${sanitize}`];
    const includes = ['-I', path.join(ROOT, 'native/src'), '-I', work];
    const main = path.join(ROOT, 'test/native/threads.cc');
    if (!run(compiler, [...flags, ...includes, main, ...sources, '-ldl', '-o', program])) {
      return false;
    }
    fs.writeFileSync(path.join(work, 'draft.gguf'), 'a draft model');
    const files = ['model.gguf', 'draft.gguf', 'cells'].map((name) => path.join(work, name));
    const args = [buildFake(sanitize), ...files];
    return run(program, [...args, '24'], env);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

const parts = {
  address: addressPart,
  leaks: () => programPart('address', { ASAN_OPTIONS: 'detect_leaks=1:exitcode=99' }),
  threads: () => programPart('thread', { TSAN_OPTIONS: 'halt_on_error=0:exitcode=66' }),
};

const wanted = process.argv.length > 2 ? process.argv.slice(2) : PARTS;
const failed = [];
for (const part of wanted) {
  console.log(`== ${part}`);
  if (!PARTS.includes(part) || !parts[part]()) failed.push(part);
}
console.log(failed.length > 0 ? `sanitize failed: ${failed.join(', ')}` : 'sanitize passed');
process.exitCode = failed.length > 0 ? 1 : 0;
