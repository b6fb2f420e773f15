import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readContents, unpack } from '../../src/install/archive.js';
import { type InstallInput, installLibrary, variantsFor } from '../../src/install/install.js';
import { readNpmConfig } from '../../src/install/npmrc.js';
import { LibraryStore } from '../../src/library/store.js';
import { elfImage } from '../helpers/elf-file.js';
import {
  type FakeRegistry,
  fakeRegistry,
  libraryPackage,
  tarball,
} from '../helpers/fake-registry.js';

const CPU = '@node-llama-cpp/linux-x64';
let root = '';
let libDir = '';
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'hoshikage-install-')));
  libDir = join(root, 'lib');
});
afterEach(() => rmSync(root, { recursive: true }));

/** Installs with the configuration of a user whose registry it is. */
async function install(
  registry: Pick<FakeRegistry, 'url'>,
  changes: Partial<InstallInput> & { readonly npmrc?: string } = {},
) {
  const { npmrc = '', ...more } = changes;
  writeFileSync(join(root, '.npmrc'), `registry=${registry.url}\n${npmrc}`);
  const execPath = join(root, 'bin', 'node');
  const npm = await readNpmConfig('@node-llama-cpp', {
    env: {},
    home: root,
    platform: 'linux',
    execPath,
  });
  return installLibrary({
    variant: 'cpu',
    version: 'latest',
    libDir,
    npm,
    platform: 'linux',
    arch: 'x64',
    env: {},
    signal: AbortSignal.timeout(20_000),
    limits: { pauseMs: 1 },
    ...more,
  });
}

async function withCpu(context: TestContext, path?: string): Promise<FakeRegistry> {
  const registry = await fakeRegistry(context, path);
  registry.offer(CPU, '1.0.0', libraryPackage('linux-x64'));
  registry.offer(CPU, '1.1.0', libraryPackage('linux-x64'));
  return registry;
}

/** What is in the lib directory, without our own small files. */
function left(): string[] {
  return existsSync(libDir)
    ? readdirSync(libDir).filter((name) => !name.startsWith('active.json'))
    : [];
}

async function assertRefused(
  installing: Promise<unknown>,
  code: string,
  words: RegExp = /^/,
): Promise<void> {
  await assert.rejects(installing, (error: Error & { code?: string }) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  });
  assert.deepEqual(left(), []);
}

test('the newest version is installed, with nothing but its libraries', async (t) => {
  const registry = await withCpu(t);
  const seen: [number, number | null][] = [];
  const { installed, already } = await install(registry, {
    onProgress: ({ received, total }) => void seen.push([received, total]),
  });
  assert.deepEqual(
    [installed.id, installed.variant, installed.version, installed.source, already],
    ['cpu-1.1.0', 'cpu', '1.1.0', 'npm', false],
  );
  assert.equal(installed.path, join(libDir, 'cpu-1.1.0', 'libllama.linux-x64.so'));
  assert.deepEqual(readdirSync(installed.dir).sort(), [
    'installed.json',
    'libggml-base.so',
    'libllama.linux-x64.so',
  ]);
  assert.deepEqual(left(), ['cpu-1.1.0']);
  const [received, total] = seen.at(-1) ?? [];
  assert.ok(received && received === total);
});

test('a version can be named; installing it again changes nothing, and rm leaves nothing', async (t) => {
  const registry = await withCpu(t);
  const first = await install(registry, { version: '1.0.0' });
  const before = readFileSync(join(first.installed.dir, 'installed.json'), 'utf8');
  const again = await install(registry, { version: '1.0.0' });
  assert.deepEqual([again.already, again.installed.id], [true, 'cpu-1.0.0']);
  assert.equal(readFileSync(join(first.installed.dir, 'installed.json'), 'utf8'), before);
  await new LibraryStore(libDir).remove('cpu-1.0.0');
  assert.deepEqual(left(), []);
});

test('an installation that a power cut damaged is not called whole', async (t) => {
  const registry = await withCpu(t);
  const { installed } = await install(registry);
  const file = join(installed.dir, 'libggml-base.so');
  for (const damage of [() => writeFileSync(file, ''), () => rmSync(file)]) {
    damage();
    await assert.rejects(install(registry), { code: 'library_damaged' });
  }
  await new LibraryStore(libDir).remove('cpu-1.1.0');
  assert.equal((await install(registry)).already, false);
});

test('what a user has put there is never written over', async (t) => {
  const registry = await withCpu(t);
  mkdirSync(join(libDir, 'cpu-1.1.0'), { recursive: true });
  await assert.rejects(install(registry), { code: 'library_exists' });
  assert.deepEqual(readdirSync(join(libDir, 'cpu-1.1.0')), []);
});

test('the CUDA build takes its second part along, of the same version', async (t) => {
  const registry = await fakeRegistry(t);
  const cuda = '@node-llama-cpp/linux-x64-cuda';
  const fallback = { path: 'package/bins/linux-x64-cuda/fallback/libggml-cuda.so', content: '12' };
  registry.offer(cuda, '1.0.0', libraryPackage('linux-x64-cuda', { 'libggml-cuda.so': '13' }));
  registry.offer(`${cuda}-ext`, '1.0.0', tarball([fallback]));
  registry.offer(`${cuda}-ext`, '2.0.0', tarball([fallback]));
  const { installed } = await install(registry, { variant: 'cuda' });
  assert.equal(installed.id, 'cuda-1.0.0');
  assert.equal(readFileSync(join(installed.dir, 'libggml-cuda.so'), 'utf8'), '13');
  assert.equal(readFileSync(join(installed.dir, 'fallback', 'libggml-cuda.so'), 'utf8'), '12');
  await new LibraryStore(libDir).remove('cuda-1.0.0');
  assert.deepEqual(left(), []);
});

test('of the two CUDA backends the one whose libraries are there is put beside libllama', async (t) => {
  const registry = await fakeRegistry(t);
  const cuda = '@node-llama-cpp/linux-x64-cuda';
  const needing = (name: string) => elfImage({ needed: [name, 'libc.so.6'] });
  const newest = needing('libcudart.so.913');
  const before = needing('libcudart.so.912');
  const path = 'package/bins/linux-x64-cuda/fallback/libggml-cuda.so';
  registry.offer(cuda, '1.0.0', libraryPackage('linux-x64-cuda', { 'libggml-cuda.so': newest }));
  registry.offer(`${cuda}-ext`, '1.0.0', tarball([{ path, content: before }]));
  const none = await install(registry, { variant: 'cuda' });
  assert.deepEqual(none.missing, ['libcudart.so.913']);
  const read = (...names: string[]) => readFileSync(join(libDir, 'cuda-1.0.0', ...names));
  assert.deepEqual(read('libggml-cuda.so'), newest);
  await new LibraryStore(libDir).remove('cuda-1.0.0');
  writeFileSync(join(root, 'libcudart.so.912'), '');
  const older = await install(registry, { variant: 'cuda', env: { LD_LIBRARY_PATH: root } });
  assert.deepEqual(older.missing, []);
  assert.deepEqual(read('libggml-cuda.so'), before);
  assert.deepEqual(read('fallback', 'libggml-cuda.so'), newest);
});

test('a CUDA build without its second part is not installed', async (t) => {
  const registry = await fakeRegistry(t);
  registry.offer('@node-llama-cpp/linux-x64-cuda', '1.0.0', libraryPackage('linux-x64-cuda'));
  await assertRefused(install(registry, { variant: 'cuda' }), 'package_not_found', /cuda-ext/);
});

test('a wrong hash, or none that is strong enough, is refused and leaves nothing', async (t) => {
  const registry = await fakeRegistry(t);
  const archive = libraryPackage('linux-x64');
  registry.offer(CPU, '1.0.0', archive, { integrity: `sha512-${'A'.repeat(86)}==` });
  registry.offer(CPU, '1.1.0', archive, { integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' });
  await assertRefused(install(registry, { version: '1.0.0' }), 'package_invalid', /sha512/);
  await assertRefused(install(registry), 'package_invalid', /no sha512/);
});

test('an archive that would write elsewhere is refused whole', async (t) => {
  const bin = 'package/bins/linux-x64';
  const good = { path: `${bin}/libllama.so`, content: 'llama' };
  const bad = [
    { path: `${bin}/../../../../escaped`, content: 'x' },
    { path: '../escaped', content: 'x' },
    { path: '/tmp/escaped', content: 'x' },
    { path: `${bin}\\..\\escaped`, content: 'x' },
    { path: 'C:/escaped', content: 'x' },
    { path: `${bin}/link`, type: '2', target: '/etc/passwd' },
    { path: `${bin}/link`, type: '1', target: `${bin}/libllama.so` },
    { path: `${bin}/libllama.so`, content: 'twice' },
  ] as const;
  for (const [index, entry] of bad.entries()) {
    const registry = await fakeRegistry(t);
    registry.offer(CPU, '1.0.0', tarball([good, entry]));
    await assertRefused(install(registry), 'package_invalid', /./);
    assert.deepEqual(readdirSync(root).sort(), ['.npmrc', 'lib'], `entry ${index}`);
  }
});

test('an archive without a libllama, or one that is no archive, is refused', async (t) => {
  const registry = await fakeRegistry(t);
  registry.offer(CPU, '1.0.0', tarball([{ path: 'package/package.json', content: '{}' }]));
  registry.offer(CPU, '1.1.0', Buffer.from('this is no archive'));
  registry.offer(CPU, '1.2.0', libraryPackage('linux-x64').subarray(0, 200));
  await assertRefused(install(registry, { version: '1.0.0' }), 'package_invalid', /no libllama/);
  for (const version of ['1.1.0', '1.2.0']) {
    await assertRefused(install(registry, { version }), 'package_invalid', /unpacked/);
  }
});

test('an archive larger than the limit is refused, whatever its length says', async (t) => {
  const registry = await withCpu(t);
  const limits = { pauseMs: 1, archiveBytes: 100 };
  await assertRefused(install(registry, { limits }), 'package_invalid', /larger than 100/);
  registry.meddle = ({ url = '' }, response) => {
    if (!url.endsWith('.tgz')) return false;
    response.writeHead(200);
    response.end(Buffer.alloc(1000));
    return true;
  };
  await assertRefused(install(registry, { limits }), 'package_invalid', /larger than 100/);
});

test('an archive that is more than anybody needs is refused at its first such entry', async (t) => {
  const registry = await fakeRegistry(t);
  const unwanted = { path: 'package/dist/big', content: Buffer.alloc(5000) };
  registry.offer(CPU, '1.0.0', tarball([unwanted, { path: 'package/x', content: 'x' }]));
  const limited = install(registry, { unpackedBytes: 4999 });
  await assertRefused(limited, 'package_invalid', /more than 4999 bytes/);
  // Its header alone is enough: the eight gigabytes that it promises are not waited for.
  registry.offer(CPU, '1.1.0', tarball([{ path: 'package/dist/big', size: 0o77777777777 }]));
  await assertRefused(install(registry), 'package_invalid', /more than 4294967296 bytes/);
  registry.offer(CPU, '1.2.0', gzipSync(libraryPackage('linux-x64')));
  await assertRefused(install(registry), 'package_invalid', /packed twice/);
});

test('what lies between the entries of an archive counts as well', async (t) => {
  const registry = await fakeRegistry(t);
  const [header, long] = [Buffer.from('././@LongLink'), Buffer.alloc(1024 * 1024 - 1, 'a')];
  const names = Array.from({ length: 20 }, () => ({
    path: header.toString(),
    content: long,
    type: 'L' as const,
  }));
  registry.offer(CPU, '1.0.0', tarball([...names, { path: 'package/x', content: 'x' }]));
  await assertRefused(install(registry, { unpackedBytes: 1000 }), 'package_invalid', /more than/);
});

test('too little space is told before anything is written', async (t) => {
  const registry = await withCpu(t);
  await assertRefused(install(registry, { freeBytes: async () => 10 }), 'disk_full', /free/);
});

test('a connection that breaks is tried again, and given up in words after the third time', async (t) => {
  const registry = await withCpu(t);
  let breaks = 2;
  registry.meddle = ({ url = '' }, response) => {
    if (!url.endsWith('.tgz') || breaks === 0) return false;
    breaks -= 1;
    response.writeHead(200, { 'content-length': 5000 });
    response.write('half', () => response.destroy());
    return true;
  };
  assert.equal((await install(registry)).installed.id, 'cpu-1.1.0');
  await new LibraryStore(libDir).remove('cpu-1.1.0');
  breaks = 3;
  await assertRefused(install(registry), 'registry_unreachable');
});

test('a registry that is busy is asked again, one that is not there is told', async (t) => {
  const registry = await withCpu(t);
  let busy = 2;
  registry.meddle = (_, response) => {
    if (busy === 0) return false;
    busy -= 1;
    response.writeHead(503).end();
    return true;
  };
  await install(registry);
  rmSync(libDir, { recursive: true });
  await assertRefused(install({ url: 'http://127.0.0.1:9/' }), 'registry_unreachable', /:9/);
});

test('a registry that says nothing is given up', async (t) => {
  const registry = await withCpu(t);
  registry.meddle = () => true;
  const limits = { pauseMs: 1, silenceMs: 50 };
  await assertRefused(install(registry, { limits }), 'registry_unreachable');
});

test('an unknown version and an unknown package are told by their names', async (t) => {
  const registry = await withCpu(t);
  await assertRefused(install(registry, { version: '9.9.9' }), 'package_not_found', /@9\.9\.9/);
  await assertRefused(install(registry, { variant: 'vulkan' }), 'package_not_found', /vulkan/);
  await assertRefused(install(registry, { version: '__proto__' }), 'package_not_found');
});

test('a registry below a path is asked with its own key; a wrong one is refused in words', async (t) => {
  const registry = await withCpu(t, '/npm/private/');
  const { host } = new URL(registry.url);
  registry.meddle = ({ headers }, response) => {
    if (headers.authorization === 'Bearer right') return false;
    response.writeHead(headers.authorization ? 403 : 401).end();
    return true;
  };
  const token = (value: string) => `//${host}/npm/private/:_authToken=${value}\n`;
  await assertRefused(install(registry), 'registry_refused', /401/);
  await assertRefused(install(registry, { npmrc: token('wrong') }), 'registry_refused', /403/);
  assert.equal((await install(registry, { npmrc: token('right') })).installed.id, 'cpu-1.1.0');
  assert.ok(registry.asked.every(({ path }) => path.startsWith('/npm/private/@node-llama-cpp')));
});

test('a redirect to another host is followed without the key', async (t) => {
  const registry = await withCpu(t);
  const other = await withCpu(t);
  const { host } = new URL(registry.url);
  registry.meddle = ({ url = '' }, response) => {
    if (!url.endsWith('.tgz')) return false;
    response.writeHead(302, { location: new URL(url, other.url).href }).end();
    return true;
  };
  // The other host's own key is not sent either: it was not asked for by name.
  const npmrc = [host, new URL(other.url).host]
    .map((one) => `//${one}/:_authToken=secret\n`)
    .join('');
  await install(registry, { npmrc });
  assert.deepEqual(
    registry.asked.map(({ authorization }) => authorization),
    ['Bearer secret', 'Bearer secret'],
  );
  assert.deepEqual(
    other.asked.map(({ authorization }) => authorization),
    [undefined],
  );
});

test('behind https a registry’s plain http address is asked by https, or not at all', async (t) => {
  const registry = await fakeRegistry(t, '/', 'https');
  const plain = await withCpu(t);
  const path = `/${CPU}/-/linux-x64-1.0.0.tgz`;
  const archive = libraryPackage('linux-x64');
  const { host, port } = new URL(plain.url);
  const npmrc = [
    'strict-ssl=false',
    `//${new URL(registry.url).host}/:_authToken=secret`,
    `//${host}/:_authToken=secret`,
    `//localhost:${port}/:_authToken=secret`,
  ].join('\n');
  registry.offer(CPU, '1.0.0', archive, { tarball: `http://${host}${path}` });
  assert.equal((await install(registry, { npmrc })).installed.id, 'cpu-1.0.0');
  assert.deepEqual(
    registry.asked.map(({ authorization }) => authorization),
    ['Bearer secret', 'Bearer secret'],
  );
  rmSync(libDir, { recursive: true });
  for (const tarball of [`http://localhost:${port}${path}`, `ftp://${host}${path}`]) {
    registry.offer(CPU, '1.0.0', archive, { tarball });
    await assertRefused(install(registry, { npmrc }), 'package_invalid', /https/);
  }
  assert.deepEqual(plain.asked, []);
});

test('redirects that never end, or lead to no web address, are given up', async (t) => {
  const registry = await withCpu(t);
  let target = '/loop';
  registry.meddle = (_, response) => {
    response.writeHead(302, { location: target }).end();
    return true;
  };
  await assertRefused(install(registry), 'registry_unreachable', /redirects/);
  target = 'file:///etc/passwd';
  await assertRefused(install(registry), 'registry_unreachable', /redirects/);
});

test('a mirror that names npm’s own host is asked for the archive itself', async (t) => {
  const registry = await fakeRegistry(t, '/mirror/');
  const tarball = `https://registry.npmjs.org/${CPU}/-/linux-x64-1.0.0.tgz`;
  registry.offer(CPU, '1.0.0', libraryPackage('linux-x64'), { tarball });
  assert.equal((await install(registry)).installed.id, 'cpu-1.0.0');
});

test('a proxy of npm’s configuration is used, but for the hosts that need none', async (t) => {
  const registry = await withCpu(t);
  const proxied: string[] = [];
  const proxy = createServer();
  proxy.on('connect', (request, client: Socket) => {
    proxied.push(request.url ?? '');
    const { hostname, port } = new URL(`http://${request.url}`);
    const target = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      target.pipe(client);
      client.pipe(target);
    });
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => void proxy.close());
  // address() of a listening TCP server is an AddressInfo.
  const { port } = proxy.address() as AddressInfo;
  const npmrc = `proxy=http://127.0.0.1:${port}/\n`;
  await install(registry, { npmrc, version: '1.0.0' });
  assert.ok(proxied.length > 0);
  assert.ok(proxied.every((host) => host === new URL(registry.url).host));
  proxied.length = 0;
  await install(registry, { npmrc: `${npmrc}noproxy=127.0.0.1\n` });
  assert.deepEqual(proxied, []);
});

test('whoever gives up leaves nothing behind', async (t) => {
  const registry = await withCpu(t);
  const abort = new AbortController();
  registry.meddle = ({ url = '' }, response) => {
    if (!url.endsWith('.tgz')) return false;
    response.writeHead(200, { 'content-length': 5000 });
    response.write('half', () => abort.abort());
    return true;
  };
  await assertRefused(install(registry, { signal: abort.signal }), 'cancelled');
});

test('looking into an archive and unpacking it end when they are told to', async () => {
  const archive = join(root, 'a.tgz');
  writeFileSync(archive, libraryPackage('linux-x64'));
  const options = { name: CPU, directory: 'linux-x64', to: root, signal: AbortSignal.abort() };
  await assert.rejects(readContents(archive, options), { code: 'cancelled' });
  await assert.rejects(unpack(archive, options), { code: 'cancelled' });
  assert.deepEqual(readdirSync(root).sort(), ['a.tgz']);
});

test('each machine has its builds, the plain one first', () => {
  assert.deepEqual(variantsFor('linux', 'x64'), ['cpu', 'cuda', 'vulkan']);
  assert.deepEqual(variantsFor('darwin', 'arm64'), ['metal']);
  assert.deepEqual(variantsFor('linux', 's390x'), []);
});
