import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { findLibrary, type SearchPlaces, withSiblings } from '../../src/library/find.js';
import { writeElf } from '../helpers/elf-file.js';

let root = '';
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'hoshikage-find-')));
});
afterEach(() => rmSync(root, { recursive: true }));

function file(...parts: string[]): string {
  const path = join(root, ...parts);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, 'x');
  return path;
}

function places(changes: Partial<SearchPlaces> = {}): SearchPlaces {
  return {
    libPath: null,
    libDir: join(root, 'lib'),
    platform: 'linux',
    arch: 'x64',
    searchPath: '',
    packageRoots: [join(root, 'node_modules')],
    ...changes,
  };
}

const packaged = ['node_modules', '@node-llama-cpp', 'linux-x64', 'bins', 'linux-x64'];

test('HOSHIKAGE_LIB_PATH as a file is used before all else', async () => {
  file('lib', 'libllama.so');
  const mine = file('mine', 'whatever-name.so');
  const found = await findLibrary(places({ libPath: mine }));
  assert.deepEqual([found.path, found.origin], [mine, 'HOSHIKAGE_LIB_PATH']);
});

test('HOSHIKAGE_LIB_PATH as a directory is searched', async () => {
  const mine = file('mine', 'libllama.so.0');
  const found = await findLibrary(places({ libPath: join(root, 'mine') }));
  assert.deepEqual([found.path, found.origin], [mine, 'HOSHIKAGE_LIB_PATH']);
});

test('a HOSHIKAGE_LIB_PATH that holds nothing is an error naming it, not a fall-through', async () => {
  file('lib', 'libllama.so');
  file('empty', 'readme.txt');
  for (const name of ['empty', 'none']) {
    const libPath = join(root, name);
    await assert.rejects(findLibrary(places({ libPath })), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'library_not_found');
      return error.message.includes(`HOSHIKAGE_LIB_PATH=${libPath}`);
    });
  }
});

test('then comes the lib directory of the configuration, then the npm package', async () => {
  const fromPackage = file(...packaged, 'libllama.v0.5.0.so');
  assert.deepEqual(await findLibrary(places()), {
    path: fromPackage,
    origin: 'package',
    reason: 'the package @node-llama-cpp/linux-x64',
  });
  const own = file('lib', 'libllama.so');
  const found = await findLibrary(places());
  assert.deepEqual([found.path, found.origin], [own, 'config']);
});

test('then the search path of the system, and at last the bare name is left to it', async () => {
  const inPath = file('opt', 'libllama.so.0');
  const listed = await findLibrary(
    places({ searchPath: `${join(root, 'none')}:${join(root, 'opt')}` }),
  );
  assert.deepEqual([listed.path, listed.origin], [inPath, 'system']);
  const bare = await findLibrary(places({ platform: 'win32', arch: 'ia32' }));
  assert.deepEqual([bare.path, bare.origin], ['llama.dll', 'system']);
});

test('plain names win over versioned ones, and of those the newest', async () => {
  file('lib', 'libllama.v0.9.0.so');
  const newest = file('lib', 'libllama.v0.10.0.so');
  assert.equal((await findLibrary(places())).path, newest);
  const soname = file('lib', 'libllama.so.0');
  assert.equal((await findLibrary(places())).path, soname);
  const plain = file('lib', 'libllama.so');
  assert.equal((await findLibrary(places())).path, plain);
});

test('libllama-common and the libraries of other systems are not libllama', async () => {
  file('lib', 'libllama-common.so');
  file('lib', 'libllama.dylib');
  file('lib', 'llama.dll');
  const fromPackage = file(...packaged, 'libllama.so');
  assert.equal((await findLibrary(places())).path, fromPackage);
});

test('macOS and Windows have their own names and packages', async () => {
  const dylib = file('lib', 'libllama.dylib');
  const dll = file('lib', 'llama.dll');
  assert.equal((await findLibrary(places({ platform: 'darwin', arch: 'arm64' }))).path, dylib);
  assert.equal((await findLibrary(places({ platform: 'win32' }))).path, dll);
  const metal = file(
    'node_modules/@node-llama-cpp/mac-arm64-metal/bins/mac-arm64-metal/libllama.v0.5.0.dylib',
  );
  const found = await findLibrary(
    places({ platform: 'darwin', arch: 'arm64', libDir: join(root, 'none') }),
  );
  assert.deepEqual([found.path, found.origin], [metal, 'package']);
});

test('links are followed to the real file, and one that leads nowhere is passed over', async () => {
  const real = file('build', 'libllama.so.0.5.0');
  mkdirSync(join(root, 'lib'));
  symlinkSync(join(root, 'gone.so'), join(root, 'lib', 'libllama.so'));
  symlinkSync(real, join(root, 'lib', 'libllama.so.0'));
  assert.equal((await findLibrary(places())).path, real);
});

test('siblings are opened before, each after what it needs itself', async () => {
  writeElf(join(root, 'libllama.so'), ['libggml.so', 'libggml-base.so', 'libc.so.6']);
  writeElf(join(root, 'libggml.so'), ['libggml-cpu.so', 'libggml-base.so']);
  writeElf(join(root, 'libggml-cpu.so'), ['libggml-base.so']);
  writeElf(join(root, 'libggml-base.so'), ['libm.so.6']);
  writeElf(join(root, 'libggml-unrelated.so'));
  const { path, preload } = await withSiblings(join(root, 'libllama.so'));
  assert.equal(path, join(root, 'libllama.so'));
  assert.deepEqual(
    preload.map((one) => basename(one)),
    ['libggml-base.so', 'libggml-cpu.so', 'libggml.so'],
  );
  assert.ok(preload.every((one) => one.startsWith(root)));
});

test('a sibling is known by the name it calls itself, where its links were lost in copying', async () => {
  writeElf(join(root, 'libllama.so'), ['libggml.so.0']);
  writeElf(join(root, 'libggml.so.0.9.4'), [], 'libggml.so.0');
  const { preload } = await withSiblings(join(root, 'libllama.so'));
  assert.deepEqual(preload, [join(root, 'libggml.so.0.9.4')]);
});

test('a link and its target are opened once', async () => {
  writeElf(join(root, 'libllama.so'), ['libggml.so', 'libggml.so.0']);
  writeElf(join(root, 'libggml.so.0.9.4'), [], 'libggml.so.0');
  symlinkSync('libggml.so.0.9.4', join(root, 'libggml.so.0'));
  symlinkSync('libggml.so.0', join(root, 'libggml.so'));
  const { preload } = await withSiblings(join(root, 'libllama.so'));
  assert.deepEqual(preload, [join(root, 'libggml.so.0.9.4')]);
});

test('libraries that need each other do not loop', async () => {
  writeElf(join(root, 'libllama.so'), ['libggml.so']);
  writeElf(join(root, 'libggml.so'), ['libggml-cpu.so']);
  writeElf(join(root, 'libggml-cpu.so'), ['libggml.so']);
  const { preload } = await withSiblings(join(root, 'libllama.so'));
  assert.equal(preload.length, 2);
});

test('a bare name is the system’s to find, whatever lies in the current directory', async () => {
  writeElf(join(root, 'libllama.so'), ['libggml.so']);
  writeElf(join(root, 'libggml.so'));
  const before = process.cwd();
  process.chdir(root);
  try {
    assert.deepEqual(await withSiblings('libllama.so'), {
      path: 'libllama.so',
      preload: [],
      unknownSymbols: [],
      allowUnknown: false,
    });
  } finally {
    process.chdir(before);
  }
});

test('a bare name and what is no ELF file have nothing to open before them', async () => {
  assert.deepEqual(await withSiblings('libllama.so'), {
    path: 'libllama.so',
    preload: [],
    unknownSymbols: [],
    allowUnknown: false,
  });
  const dylib = file('libllama.dylib');
  assert.deepEqual(await withSiblings(dylib), {
    path: dylib,
    preload: [],
    unknownSymbols: [],
    allowUnknown: false,
  });
});
