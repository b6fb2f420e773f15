import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { AbiTable } from '../../src/engine/addon.js';
import { words } from '../../src/errors.js';
import { filesOf, type ScanReport, scanLibrary } from '../../src/library/scan.js';
import { type ElfContent, writeElf } from '../helpers/elf-file.js';

let root = '';
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'hoshikage-scan-')));
});
afterEach(() => rmSync(root, { recursive: true }));

const ESSENTIAL = [
  'llama_backend_init',
  'llama_model_default_params',
  'llama_context_default_params',
  'llama_decode',
  'llama_tokenize',
];

const abi: AbiTable = {
  floor: 500,
  samplers: { namesTell: 0, penalties5: 0, dry7: 0 },
  modelParams: [],
  contextParams: [],
  symbols: [
    ['llama_old', 100, 300],
    ['llama_marker', 500, 9_999_999],
    ['llama_newest', 900, 9_999_999],
  ],
  alwaysThere: ESSENTIAL,
};
const host = { platform: 'linux', arch: 'x64' } as const;

/** Writes a libllama with these functions besides the essential ones. */
function library(functions: readonly string[], more: ElfContent = {}): string {
  const path = join(root, 'libllama.so');
  writeElf(path, more.needed, 'libllama.so', { exports: [...ESSENTIAL, ...functions], ...more });
  return path;
}

const scan = (path: string): Promise<ScanReport> => scanLibrary(path, abi, host);

/** The refusal in Japanese and English. */
function refusalOf({ refusal }: ScanReport): string {
  assert.equal(refusal?.code, 'library_incompatible');
  return `${words(refusal.code, 'ja', refusal.details)}\n${words(refusal.code, 'en', refusal.details)}`;
}

test('the functions tell between which builds a library lies', async () => {
  const middle = await scan(library(['llama_marker']));
  assert.deepEqual([middle.refusal, middle.bracket], [null, [500, 900]]);
  const newest = await scan(library(['llama_marker', 'llama_newest']));
  assert.deepEqual([newest.refusal, newest.bracket], [null, [900, 2 ** 31 - 1]]);
});

test('functions that the table does not know are reported, and reach the engine', async () => {
  const report = await scan(library(['llama_marker', 'llama_zeta', 'llama_alpha', 'ggml_x']));
  assert.deepEqual(report.unknownSymbols, ['llama_alpha', 'llama_zeta']);
  assert.deepEqual(filesOf(report, true), {
    path: report.path,
    preload: [],
    unknownSymbols: ['llama_alpha', 'llama_zeta'],
    allowUnknown: true,
  });
});

test('a library older than the oldest supported one is refused by its builds', async () => {
  const report = await scan(library([]));
  assert.deepEqual(report.bracket, [0, 500]);
  assert.match(refusalOf(report), /古すぎます.*too old: older than b500/s);
});

test('functions that were never there together are a fork, and the evidence is named', async () => {
  const text = refusalOf(await scan(library(['llama_old', 'llama_marker'])));
  assert.match(
    text,
    /派生版.*fork \(llama_marker is there since b500, llama_old only before b300\)/s,
  );
});

test('a library without an essential function is refused by that name', async () => {
  const exports = ESSENTIAL.filter((name) => name !== 'llama_decode');
  assert.match(refusalOf(await scan(library([], { exports }))), /lacks llama_decode/);
});

test('a library that is something else is named, and libllama beside it too', async () => {
  library(['llama_marker']);
  for (const [name, exports, expected] of [
    ['libllama-common.so', [], /libllama-common.*libllama\.so is beside it/s],
    ['libggml-base.so', ['ggml_init'], /is a libggml/],
    ['libz.so', ['deflate'], /no function that begins with llama_/],
  ] as const) {
    writeElf(join(root, name), [], name, { exports });
    assert.match(refusalOf(await scan(join(root, name))), expected);
  }
});

test('a library for another machine or system is refused by both names', async () => {
  const path = library(['llama_marker'], { machine: 183 });
  assert.match(refusalOf(await scan(path)), /for arm64 \(64 bits\); this is x64/);
  const narrow = library(['llama_marker'], { machine: 3, bits: 32 });
  assert.match(refusalOf(await scan(narrow)), /for ia32 \(32 bits\); this is x64/);
  const onMac = await scanLibrary(path, abi, { platform: 'darwin', arch: 'arm64' });
  assert.match(refusalOf(onMac), /library for Linux; this is macOS/);
});

test('libggml files are to be opened before it; a missing one is named with its directory', async () => {
  const path = library(['llama_marker'], { needed: ['libggml.so.0', 'libc.so.6'] });
  assert.match(
    refusalOf(await scan(path)),
    new RegExp(`needs libggml.so.0, which is not in ${root}`),
  );
  writeElf(join(root, 'libggml.so.0'), ['libggml-base.so'], 'libggml.so.0');
  assert.match(refusalOf(await scan(path)), /libggml.so.0 needs libggml-base.so/);
  writeElf(join(root, 'libggml-base.so'));
  const { refusal, preload } = await scan(path);
  assert.equal(refusal, null);
  assert.deepEqual(
    preload,
    ['libggml-base.so', 'libggml.so.0'].map((name) => join(root, name)),
  );
});

test('a libggml in LD_LIBRARY_PATH does not stand in for the missing one', async () => {
  const elsewhere = join(root, 'elsewhere');
  mkdirSync(elsewhere);
  writeElf(join(elsewhere, 'libggml.so'));
  const path = library(['llama_marker'], { needed: ['libggml.so'] });
  const env = { LD_LIBRARY_PATH: elsewhere };
  const text = refusalOf(await scanLibrary(path, abi, { ...host, env }));
  assert.ok(text.includes(`${elsewhere}/libggml.so may be of another version, so it is not taken`));
});

test('a damaged libggml is the reason, not the library', async () => {
  const path = library(['llama_marker'], { needed: ['libggml.so'] });
  writeFileSync(join(root, 'libggml.so'), '');
  assert.match(refusalOf(await scan(path)), /libggml.so is empty/);
});

test('what is no library at all is told by what it is', async () => {
  const path = join(root, 'libllama.so');
  for (const [content, expected] of [
    ['', /空です.*is empty/s],
    ['hello\n', /テキスト.*is a text/s],
    ['/* GNU ld script */\nGROUP ( libllama.so.0 )\n', /linker script/],
    ['INPUT(libllama.so.0)\n', /linker script/],
    ['<!DOCTYPE html><html>', /web page/],
    ['version https://git-lfs.github.com/spec/v1\noid sha256:00\n', /Git LFS pointer/],
    ['!<arch>\nllama.o/', /static library/],
    ['\x1f\x8b\x08\0', /packed archive \(gzip\)/],
    ['GGUF\x03\0\0\0', /is a model/],
    ['\0\0\0\0', /no known format/],
  ] as const) {
    writeFileSync(path, content, 'latin1');
    assert.match(refusalOf(await scan(path)), expected);
  }
});

test('a directory, a device and nothing at all are told too, without waiting', async () => {
  assert.match(refusalOf(await scan(root)), /not a plain file/);
  assert.match(refusalOf(await scan(join(root, 'none.so'))), /cannot be read \(ENOENT\)/);
});

test('nothing is known of a bare name, which the system looks for', async () => {
  const report = await scan('libllama.so');
  assert.deepEqual([report.facts, report.refusal, report.preload], [null, null, []]);
});
