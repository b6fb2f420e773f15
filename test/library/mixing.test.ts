import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { readAbi } from '../../src/engine/addon.js';
import { scanLibrary } from '../../src/library/scan.js';
import { llamaFunctions, writeElf, writeLlama } from '../helpers/elf-file.js';

let root = '';
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'hoshikage-mixing-')));
});
afterEach(() => rmSync(root, { recursive: true }));

const host = { platform: 'linux', arch: 'x64', glibc: null, glibcxx: null } as const;
const abi = readAbi();

/** The English reason why `name` is refused, or null. */
async function refusal(name = 'libllama.so'): Promise<string | null> {
  const report = await scanLibrary(join(root, name), abi, host);
  return report.refusal && String(report.refusal.details.reason);
}

const file = (name: string): string => join(root, name);

test('files of one build belong together', async () => {
  const imports = ['ggml_init', 'gguf_free'];
  writeLlama(file('libllama.so'), ['libggml.so', 'libggml-base.so'], {
    exports: llamaFunctions(),
    imports,
  });
  writeElf(file('libggml.so'), ['libggml-base.so'], null, { exports: ['ggml_reg'] });
  writeElf(file('libggml-base.so'), [], null, { exports: imports });
  assert.equal(await refusal(), null);
});

test('a libggml without a function that libllama needs is of another version', async () => {
  const more = { exports: llamaFunctions(), imports: ['ggml_new_in_this_version'] };
  writeLlama(file('libllama.so'), ['libggml-base.so'], more);
  writeElf(file('libggml-base.so'), [], null, { exports: ['ggml_init'] });
  assert.match(
    String(await refusal()),
    /^libllama\.so needs ggml_new_in_this_version, which libggml-base\.so beside it lack.*directory of its own$/,
  );
});

test('a libggml that lacks what another libggml needs is of another version too', async () => {
  writeLlama(file('libllama.so'), ['libggml.so']);
  writeElf(file('libggml.so'), ['libggml-base.so'], null, { imports: ['ggml_gone'] });
  writeElf(file('libggml-base.so'), [], null, { exports: ['ggml_init'] });
  assert.match(String(await refusal()), /^libggml\.so needs ggml_gone, which libggml-base\.so/);
});

/** A libllama named by its version, on a libggml-base that is not. */
function writeVersioned(version: string, more: readonly string[] = []): string {
  const name = `libllama.${version}.so`;
  const exports = [...llamaFunctions(), ...more];
  writeElf(file(name), ['libggml-base.so'], name, { exports });
  return name;
}

test('two versions of libllama on one libggml are refused, whichever is meant', async () => {
  writeElf(file('libggml-base.so'));
  const [one, other] = [writeVersioned('b1'), writeVersioned('b2', ['llama_more'])];
  for (const name of [one, other]) {
    const reason = String(await refusal(name));
    assert.match(reason, /holds two versions of libllama .* that share libggml-base\.so/);
    assert.ok(reason.includes(one) && reason.includes(other));
  }
});

test('two versions with a libggml each are no mixture, nor is a copy under another name', async () => {
  writeElf(file('libggml-base.so'));
  const one = writeVersioned('b1');
  copyFileSync(file(one), file('libllama.so'));
  writeElf(file('libggml.b2.so'));
  writeElf(file('libllama.b2.so'), ['libggml.b2.so'], 'libllama.b2.so', {
    exports: [...llamaFunctions(), 'llama_more'],
  });
  assert.equal(await refusal(one), null);
  assert.equal(await refusal('libllama.so'), null);
});

test('what an upgrade left behind does no harm, as long as nobody asks for it', async () => {
  writeElf(file('libggml-base.so'));
  for (const [name, more] of [
    ['libllama.so.0.1', []],
    ['libllama.so.0.2', ['llama_more']],
  ] as const) {
    const exports = [...llamaFunctions(), ...more];
    writeElf(file(name), ['libggml-base.so'], 'libllama.so.0', { exports });
  }
  symlinkSync('libllama.so.0.2', file('libllama.so.0'));
  assert.equal(await refusal('libllama.so.0.2'), null);
  assert.match(String(await refusal('libllama.so.0.1')), /two versions/);
});

test('a libggml that loads its backends at run time must have one beside it', async () => {
  writeLlama(file('libllama.so'), ['libggml.so']);
  writeElf(file('libggml.so'), [], null, { exports: ['ggml_backend_load_all_from_path'] });
  assert.match(String(await refusal()), /holds no libggml-cpu or other compute backend/);
  writeElf(file('libggml-cpu-haswell.so'));
  assert.equal(await refusal(), null);
});

test('a backend that is linked against needs none beside it', async () => {
  writeLlama(file('libllama.so'), ['libggml.so']);
  const exports = ['ggml_backend_load_all_from_path'];
  writeElf(file('libggml.so'), ['libggml-cpu.so.0'], null, { exports });
  writeElf(file('libggml-cpu.so.0.1'), [], 'libggml-cpu.so.0', {
    exports: ['ggml_backend_cpu_init'],
  });
  assert.equal(await refusal(), null);
});
