/**
 * The package as it is installed and published: what the lock file pins, what the tarball holds, and
 * that the two build files of the addon stay twins. Reads files; asks npm once for its own list.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { describe, it } from 'node:test';
import { LIMITS, prebuildProblems } from '../scripts/release/prebuilds.js';
import { ROOT } from '../scripts/root.js';
import { compareVersions, noteVersion } from '../src/binary/binary.js';
import { readBinary } from '../src/binary/formats.js';
import { npmCli } from './helpers/npm.js';

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** The parts of package.json that are looked at here. */
interface Manifest {
  readonly scripts: Record<string, string>;
  readonly files: readonly string[];
  readonly gypfile: boolean;
  readonly engines: { readonly node: string };
  readonly publishConfig: Readonly<Record<string, unknown>>;
  readonly binary: { readonly napi_versions: readonly number[] };
  readonly dependencies: Record<string, string>;
  readonly optionalDependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
  readonly allowScripts: Record<string, boolean>;
}

/** One entry of package-lock.json. */
interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly hasInstallScript?: boolean;
  readonly engines?: { readonly node?: string };
}

// Our own files; npm wrote the second.
const manifest = JSON.parse(read('package.json')) as Manifest;
const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> };
const locked = Object.entries(lock.packages)
  .filter(([path]) => path !== '')
  .map(([path, entry]) => ({ ...entry, name: path.replace(/^.*node_modules\//, '') }));

describe('the lock file', () => {
  const PINNED = {
    'linux-arm64': '3.22.1',
    'linux-armv7l': '3.22.1',
    'linux-x64': '3.22.1',
    'mac-arm64-metal': '3.21.1',
    'mac-x64': '3.21.1',
    'win-arm64': '3.21.1',
    'win-x64': '3.21.1',
  } as const;
  for (const [platform, version] of Object.entries(PINNED)) {
    it(`holds the default libllama for ${platform}, exactly ${version}`, () => {
      const name = `@node-llama-cpp/${platform}`;
      assert.equal(manifest.optionalDependencies[name], version);
      const entry = lock.packages[`node_modules/${name}`];
      assert.equal(entry?.version, version);
      assert.equal(entry?.optional, true);
      assert.match(entry?.integrity ?? '', /^sha512-/);
    });
  }

  it('agrees with package.json', () => {
    const root = lock.packages[''] as Partial<Manifest> | undefined;
    for (const kind of ['dependencies', 'optionalDependencies', 'devDependencies'] as const) {
      assert.deepEqual(root?.[kind], manifest[kind], kind);
    }
  });

  it('has nothing essential that depends on an install script', () => {
    const scripts = locked.filter(({ hasInstallScript }) => hasInstallScript);
    for (const { name, dev, optional } of scripts) {
      assert.ok(dev || optional, `${name} needs its install script`);
      assert.ok(manifest.allowScripts[name], `${name} is not in allowScripts`);
    }
  });

  it('takes everything from a registry, with a checksum', () => {
    assert.deepEqual(
      locked.filter(({ integrity }) => !integrity).map(({ name }) => name),
      [],
    );
  });
});

describe('THIRD_PARTY.md', () => {
  it('names every package of an installation with its licence', () => {
    const lines = read('THIRD_PARTY.md').split('\n');
    const missing = locked
      .filter(({ dev }) => !dev)
      .filter(({ name, license }) => {
        const line = lines.find((one) =>
          one.startsWith('|')
            ? one.split('|')[1]?.trim() === name
            : one
                .replace(/^- [^:]*: /, '')
                .split(', ')
                .includes(name),
        );
        // fs-ext states its licence in a form that npm does not read.
        return !line?.includes((license ?? 'MIT').replace(/[()]/g, ''));
      })
      .map(({ name }) => name);
    assert.deepEqual(missing, []);
  });
});

describe('the package', () => {
  it('builds the addon by its own install script and stops npm’s implicit one', () => {
    assert.equal(manifest.scripts.install, 'node scripts/install.mjs');
    assert.equal(manifest.gypfile, false);
    const native = JSON.parse(read('native/package.json')) as Pick<Manifest, 'binary'>;
    // Without this field cmake-js would want Node's headers from the network.
    assert.deepEqual(native.binary.napi_versions, [8]);
    assert.deepEqual(manifest.binary.napi_versions, [8]);
  });

  it('publishes what an installation needs and nothing else', () => {
    const args = [npmCli(), 'pack', '--dry-run', '--json', '--ignore-scripts'];
    const run = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr);
    const [pack] = JSON.parse(run.stdout) as { files: { path: string }[] }[];
    const paths = new Set(pack?.files.map(({ path }) => path));
    const needed = [
      ...['LICENSE', 'README.md', 'package.json', 'binding.gyp', 'scripts/install.mjs'],
      ...['native/CMakeLists.txt', 'native/package.json', 'native/abi/llama.json'],
      'models/hoshikage-guide.gguf',
      ...nativeSources(),
    ];
    assert.deepEqual(
      needed.filter((path) => !paths.has(path)),
      [],
    );
    const foreign = [...paths].filter(
      (path) =>
        /^(test|src|cli|build|\.ci|\.github)\//.test(path) || /^dist\/.*(?<!\.js)$/.test(path),
    );
    assert.deepEqual(foreign, []);
  });

  it('is published with a provenance, and so from a workflow only', () => {
    assert.deepEqual(manifest.publishConfig, { access: 'public', provenance: true });
  });

  it('is published as a file, which npm would else take for a repository on GitHub', {
    skip: process.platform === 'win32',
  }, (t) => {
    const home = mkdtempSync(join(tmpdir(), 'hoshikage-publish-'));
    t.after(() => rmSync(home, { recursive: true, force: true }));
    cpSync(join(ROOT, '.ci'), join(home, '.ci'), { recursive: true });
    mkdirSync(join(home, 'tarball'));
    writeFileSync(join(home, 'tarball', 'hoshikage-0.1.0.tgz'), '');
    // A stand-in that shows what npm is called with.
    writeFileSync(join(home, 'npm'), '#!/bin/sh\nprintf "%s\\n" "$@"\n', { mode: 0o755 });
    const PATH = `${home}${delimiter}${process.env.PATH}`;
    const env = { ...process.env, PATH };
    const run = spawnSync(join(home, '.ci/publish'), ['tarball'], { env, encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr);
    const [command, named = ''] = run.stdout.split('\n');
    assert.equal(command, 'publish');
    const parse = createRequire(npmCli())('npm-package-arg');
    assert.equal(parse('tarball/hoshikage-0.1.0.tgz', home).type, 'git');
    assert.equal(parse(named, home).type, 'file');
  });

  it('asks for no older Node than the packages that it needs', () => {
    // npm's own way to compare ranges, which comes with it.
    const { subset } = createRequire(npmCli())('semver') as {
      subset(range: string, of: string): boolean;
    };
    const others = locked
      .filter(({ dev, engines }) => !dev && !subset(manifest.engines.node, engines?.node ?? '*'))
      .map(({ name, engines }) => `${name}: ${engines?.node}`);
    assert.deepEqual(others, []);
  });

  it('has every file and folder that it lists, dist apart, which it builds', () => {
    const missing = manifest.files.filter(
      (file) => file !== 'dist' && !file.startsWith('!') && !existsSync(join(ROOT, file)),
    );
    assert.deepEqual(missing, []);
  });

  it('names in each script a file that exists', () => {
    for (const [name, command] of Object.entries(manifest.scripts)) {
      for (const [file] of command.matchAll(/\bscripts\/[\w.-]+/g)) {
        assert.ok(existsSync(join(ROOT, file)), `${name}: ${file}`);
      }
    }
  });
});

/** C++ files below native/src, with `/` between names. */
function nativeSources(): string[] {
  return readdirSync(join(ROOT, 'native/src'), { recursive: true, encoding: 'utf8' })
    .map((name) => `native/src/${name.replaceAll('\\', '/')}`)
    .filter((file) => file.endsWith('.cc') && statSync(join(ROOT, file)).isFile())
    .sort();
}

describe('the prebuilt addons', () => {
  const here = readdirSync(join(ROOT, 'prebuilds'));

  it('are there for Linux x64 at least', () => assert.ok(here.includes('linux-x64')));

  for (const platform of here) {
    it(`are of these sources and need what the platform has: ${platform}`, async () => {
      assert.deepEqual(await prebuildProblems(ROOT, platform), []);
    });
  }

  it('need nothing newer than libllama’s own packages do', async () => {
    const folder = join(ROOT, 'node_modules/@node-llama-cpp');
    const packages = existsSync(folder) ? readdirSync(folder) : [];
    const highest: Record<string, string> = {};
    for (const name of packages) {
      const arch = /x64|arm64/.exec(name)?.[0];
      if (!arch) continue;
      const bins = join(folder, name, 'bins');
      const files = readdirSync(bins, { recursive: true, encoding: 'utf8' });
      for (const file of files.filter((one) => /lib(llama|ggml)[.-].*(so|dylib)$/.test(one))) {
        if (file.includes('libllama-common')) continue;
        const facts = await readBinary(join(bins, file), { symbols: false, arch });
        if ('problem' in facts) continue;
        for (const [family, version] of Object.entries(facts.versions)) {
          noteVersion(highest, `${family}_${version}`);
        }
      }
    }
    const newer = Object.entries(highest)
      .filter(([family]) => family !== 'GCC')
      .filter(([family, version]) => compareVersions(LIMITS[family] ?? '0', version) > 0);
    assert.deepEqual(newer, []);
    if (process.platform === 'linux') assert.equal(highest.GLIBC, LIMITS.GLIBC);
  });
});

describe('the two build files of the addon', () => {
  const cmake = read('native/CMakeLists.txt').replace(/^\s*#.*$/gm, '');
  const gyp = read('binding.gyp').replace(/^#.*$/gm, '');

  it('set the same defines', () => {
    const inCmake = /target_compile_definitions\(\$\{PROJECT_NAME\} PRIVATE\s+([^)]*)\)/.exec(
      cmake,
    );
    const inGyp = /"defines": \[([^\]]*)\]/.exec(gyp);
    const defines = inCmake?.[1]?.trim().split(/\s+/) ?? [];
    assert.ok(defines.includes('NAPI_VERSION=8') && defines.length >= 4);
    assert.deepEqual(
      [...(inGyp?.[1]?.matchAll(/"([^"]+)"/g) ?? [])].map(([, define]) => define),
      defines,
    );
    const onWindows = ['NOMINMAX', 'WIN32_LEAN_AND_MEAN'];
    for (const define of onWindows) {
      assert.ok(cmake.includes(define) && gyp.includes(`"${define}"`), define);
    }
  });

  it('ask for the same language, the same visibility and the same target', () => {
    assert.match(cmake, /CMAKE_CXX_STANDARD 17\)/);
    assert.match(gyp, /"-std=c\+\+17"/);
    assert.match(cmake, /CXX_VISIBILITY_PRESET hidden/);
    assert.match(gyp, /"-fvisibility=hidden"/);
    assert.match(cmake, /project\(hoshikage_native /);
    assert.match(gyp, /"target_name": "hoshikage_native"/);
  });

  it('compile the same sources: all below native/src', () => {
    assert.match(cmake, /file\(GLOB_RECURSE HK_SOURCES CONFIGURE_DEPENDS \S+\/src\/\*\.cc\)/);
    const command = /<!@\((node -p \\".*?\\")\)"/.exec(gyp)?.[1]?.replaceAll('\\"', '"') ?? '';
    const run = spawnSync(command, { cwd: ROOT, shell: true, encoding: 'utf8' });
    assert.equal(run.status, 0, run.stderr);
    assert.deepEqual(run.stdout.trim().split(/\s+/), nativeSources());
    assert.ok(nativeSources().length > 10);
  });
});
