/**
 * The `install` script: leaves a working addon, or says plainly what is missing. It never fails the
 * install (exit 0), because everything but inference works without the addon.
 * Ways, in order: a sound build or prebuild of these very sources; cmake-js; node-gyp with the running
 * Node's own headers; the C++ compiler directly. No network is used by any of them.
 *
 *   --rebuild        build even where a sound binary exists
 *   --method=NAME    only this way (cmake, gyp or plain); then a failure exits 1
 *   --out=DIR        build there instead of in build/ (implies --rebuild)
 *   --sanitize=LIST  build with a sanitizer (cmake only): address, thread, undefined
 *   --prebuild       copy the built addon to prebuilds/ for this platform
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const ADDON = 'hoshikage_native.node';
const BUILD_DEADLINE_MS = 10 * 60_000;
const require = createRequire(import.meta.url);

/** Files below a directory, sorted, with `/` between names. */
function filesBelow(directory) {
  if (!fs.existsSync(directory)) return [];
  return fs
    .readdirSync(directory, { recursive: true })
    .map((name) => path.join(directory, name))
    .filter((file) => fs.statSync(file).isFile())
    .sort();
}

/** SHA-256 over everything that makes the binary: sources and build files. */
function sourceDigest() {
  const files = [
    ...filesBelow(path.join(ROOT, 'native/src')),
    path.join(ROOT, 'native/CMakeLists.txt'),
    path.join(ROOT, 'binding.gyp'),
  ];
  const hash = createHash('sha256');
  for (const file of files) {
    hash.update(`${path.relative(ROOT, file).split(path.sep).join('/')}\0`);
    // A checkout on Windows may have CRLF; the binary is the same.
    hash.update(fs.readFileSync(file, 'utf8').replaceAll('\r\n', '\n'));
  }
  return hash.digest('hex');
}

function libc() {
  if (process.platform !== 'linux') return null;
  return fs.existsSync('/etc/alpine-release') ? 'musl' : 'glibc';
}

/** Where the prebuilt addon of this platform lies; node-gyp-build reads the tags in the name. */
function prebuildFile() {
  const tags = ['node', 'napi', ...(libc() ? [libc()] : []), 'node'].join('.');
  return path.join(ROOT, 'prebuilds', `${process.platform}-${process.arch}`, tags);
}

/** True where a fresh process can load the binary. */
function loads(file) {
  if (!fs.existsSync(file)) return false;
  // A sanitized build needs its runtime preloaded; whoever asks for one loads it so.
  const run = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', file], {
    timeout: 30_000,
    stdio: ['ignore', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  if (run.status !== 0) console.error(`  ${file}: ${lastLine(run.stderr)}`);
  return run.status === 0;
}

function lastLine(text) {
  const lines = (text ?? '').split('\n').filter((line) => /error|cannot|undefined/i.test(line));
  return (lines[0] ?? text ?? '').trim().slice(0, 300);
}

const digestOf = (file) => `${file}.sha256`;

function isOfTheseSources(file, digest) {
  try {
    return fs.readFileSync(digestOf(file), 'utf8').trim() === digest;
  } catch {
    return false;
  }
}

/** Puts a binary in place by rename: a process that has the old one mapped keeps it. */
function place(source, target, digest) {
  fs.mkdirSync(path.dirname(target), { recursive: true });
  if (path.resolve(source) !== path.resolve(target)) {
    const temporary = `${target}.${process.pid}.tmp`;
    fs.copyFileSync(source, temporary);
    fs.renameSync(temporary, target);
  }
  fs.writeFileSync(digestOf(target), `${digest}\n`);
}

function onPath(command) {
  const suffixes = process.platform === 'win32' ? ['.exe', '.cmd', ''] : [''];
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .some((dir) => suffixes.some((suffix) => fs.existsSync(path.join(dir, command + suffix))));
}

/** Runs a build command; its output is shown only where it failed or HOSHIKAGE_VERBOSE is set. */
function run(command, args, options = {}) {
  const verbose = Boolean(process.env.HOSHIKAGE_VERBOSE);
  const done = spawnSync(command, args, {
    cwd: ROOT,
    timeout: BUILD_DEADLINE_MS,
    stdio: verbose ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    ...options,
  });
  if (done.status === 0) {
    const warnings = `${done.stdout ?? ''}${done.stderr ?? ''}`.match(/^.*warning:.*$/gm);
    if (warnings) console.error(warnings.join('\n'));
    return;
  }
  const text = `${done.stdout ?? ''}${done.stderr ?? ''}${done.error ? done.error.message : ''}`;
  const lines = text.split('\n');
  throw new Error(lines.length > 60 ? lines.slice(0, 60).join('\n') : text);
}

/** cmake remembers the folder it was made for; a moved checkout would fail for ever. */
function dropForeignCache(out, home) {
  const cache = path.join(out, 'CMakeCache.txt');
  if (!fs.existsSync(cache)) return;
  const known = /^CMAKE_HOME_DIRECTORY:INTERNAL=(.*)$/m.exec(fs.readFileSync(cache, 'utf8'))?.[1];
  if (known && path.resolve(known) === path.resolve(home)) return;
  fs.rmSync(cache);
  fs.rmSync(path.join(out, 'CMakeFiles'), { recursive: true, force: true });
}

const WAYS = {
  cmake: {
    name: 'cmake-js',
    missing() {
      if (process.platform !== 'win32' && !compiler()) return 'a C++ compiler';
      return onPath('cmake') ? null : 'cmake';
    },
    build(out, sanitize) {
      const cli = path.join(path.dirname(require.resolve('cmake-js/package.json')), 'bin/cmake-js');
      dropForeignCache(out, path.join(ROOT, 'native'));
      const options = [`--CDHK_SANITIZE=${sanitize}`, '-p', String(os.availableParallelism())];
      run(process.execPath, [cli, 'compile', '-d', 'native', '-O', out, ...options]);
      return path.join(out, 'Release', ADDON);
    },
  },
  gyp: {
    name: 'node-gyp',
    missing() {
      if (!nodeGyp()) return 'node-gyp';
      if (process.platform !== 'win32') {
        if (!compiler()) return 'a C++ compiler';
        if (!onPath('make')) return 'make';
        if (!onPath('python3') && !onPath('python')) return 'python3';
      }
      return nodeDir() ? null : "this Node's own headers (include/node)";
    },
    build(out) {
      // node-gyp cleans the build folder beside binding.gyp; a folder of its own keeps ours.
      const work = path.join(out, 'gyp');
      fs.rmSync(work, { recursive: true, force: true });
      fs.mkdirSync(path.join(work, 'native'), { recursive: true });
      fs.copyFileSync(path.join(ROOT, 'binding.gyp'), path.join(work, 'binding.gyp'));
      fs.symlinkSync(path.join(ROOT, 'native/src'), path.join(work, 'native/src'), 'junction');
      const jobs = String(os.availableParallelism());
      const args = [nodeGyp(), 'rebuild', `--nodedir=${nodeDir()}`, '--jobs', jobs];
      run(process.execPath, args, { cwd: work });
      const target = path.join(out, 'Release', ADDON);
      fs.mkdirSync(path.dirname(target), { recursive: true });
      fs.rmSync(target, { force: true });
      fs.copyFileSync(path.join(work, 'build/Release', ADDON), target);
      return target;
    },
  },
  plain: {
    name: 'g++',
    missing() {
      if (process.platform === 'win32') return 'a C++ compiler that takes g++ options';
      return compiler() ? null : 'a C++ compiler';
    },
    build(out) {
      const target = path.join(out, 'Release', ADDON);
      fs.mkdirSync(path.dirname(target), { recursive: true });
      fs.rmSync(target, { force: true });
      const sources = filesBelow(path.join(ROOT, 'native/src')).filter((f) => f.endsWith('.cc'));
      const defines = readDefines().map((define) => `-D${define}`);
      const platform =
        process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : ['-ldl', '-lpthread'];
      run(compiler(), [
        ...['-O3', '-std=c++17', '-fPIC', '-shared', '-Wall', '-Wextra', '-pthread'],
        ...['-fvisibility=hidden', '-fvisibility-inlines-hidden'],
        ...defines,
        ...['-I', path.join(ROOT, 'native/src')],
        ...['-isystem', require('node-api-headers').include_dir],
        ...['-isystem', require('node-addon-api').include_dir.replaceAll('"', '')],
        ...sources,
        ...['-o', target],
        ...platform,
      ]);
      return target;
    },
  },
};

/** The defines of the CMake build, so that this way can't drift from it. */
function readDefines() {
  const text = fs.readFileSync(path.join(ROOT, 'native/CMakeLists.txt'), 'utf8');
  const list = /target_compile_definitions\(\$\{PROJECT_NAME\} PRIVATE\s+([^)]*)\)/.exec(text);
  return list[1].trim().split(/\s+/);
}

function nodeGyp() {
  const prefix = path.dirname(process.execPath);
  return [
    process.env.npm_config_node_gyp,
    process.env.npm_execpath &&
      path.join(path.dirname(process.env.npm_execpath), '../node_modules/node-gyp/bin/node-gyp.js'),
    path.join(prefix, '../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
    path.join(prefix, 'node_modules/npm/node_modules/node-gyp/bin/node-gyp.js'),
    '/usr/share/nodejs/npm/node_modules/node-gyp/bin/node-gyp.js',
    '/usr/share/nodejs/node-gyp/bin/node-gyp.js',
  ].find((file) => file && fs.existsSync(file));
}

function nodeDir() {
  const prefix = path.dirname(path.dirname(fs.realpathSync(process.execPath)));
  return fs.existsSync(path.join(prefix, 'include/node/common.gypi')) ? prefix : null;
}

function compiler() {
  return [process.env.CXX, 'g++', 'clang++', 'c++'].find((name) => name && onPath(name));
}

/** Tries the ways until one gives a binary that loads. Returns the binary, or null with `reasons`. */
function buildBy(names, out, sanitize, reasons) {
  for (const name of names) {
    const way = WAYS[name];
    const missing = way.missing();
    if (missing) {
      reasons.push({ way: way.name, text: `missing: ${missing}` });
      continue;
    }
    try {
      console.error(`hoshikage: building the addon with ${way.name} ...`);
      const file = way.build(out, sanitize);
      if (sanitize || loads(file)) return file;
      reasons.push({ way: way.name, text: 'built, but it does not load' });
    } catch (error) {
      reasons.push({ way: way.name, text: error.message });
    }
  }
  return null;
}

function explain(reasons) {
  for (const { way, text } of reasons) console.error(`\n--- ${way}\n${text}`);
  const missing = [
    ...(compiler() || process.platform === 'win32' ? [] : ['g++ (C++17)']),
    ...(onPath('cmake') ? [] : ['cmake']),
  ];
  const list =
    missing.length > 0 ? missing.join(', ') : '(上記のエラーを確かめてください / see above)';
  console.error(`
星影: ネイティブアドオンを作れませんでした。インストールは続きますが、推論はまだできません。
      足りないもの: ${list}
      Debian / Ubuntu: sudo apt install g++ cmake    macOS: xcode-select --install
      Windows: Visual Studio Build Tools (C++)
      そのあとで npm run build:native を実行してください。
hoshikage: the native addon could not be built. The install goes on, but inference will not work yet.
      Missing: ${list}
      Install a C++17 compiler (and cmake), then run: npm run build:native
`);
}

function clean(out) {
  // node-gyp's leftovers are of no use once the binary is in Release/.
  fs.rmSync(path.join(out, 'gyp'), { recursive: true, force: true });
}

function main() {
  const { values } = parseArgs({
    options: {
      rebuild: { type: 'boolean', default: false },
      method: { type: 'string' },
      out: { type: 'string' },
      sanitize: { type: 'string', default: '' },
      prebuild: { type: 'boolean', default: false },
    },
  });
  const out = path.resolve(ROOT, values.out ?? 'build');
  const built = path.join(out, 'Release', ADDON);
  const digest = sourceDigest();

  if (!values.rebuild && !values.method && !values.out && !values.prebuild) {
    if (isOfTheseSources(built, digest) && loads(built)) return 0;
    const prebuild = prebuildFile();
    if (isOfTheseSources(prebuild, digest) && loads(prebuild)) {
      // node-gyp-build would prefer what an older checkout left in build/.
      fs.rmSync(built, { force: true });
      console.error(`hoshikage: using ${path.relative(ROOT, prebuild)}`);
      return 0;
    }
    if (fs.existsSync(prebuild)) {
      console.error(
        `hoshikage: ${path.relative(ROOT, prebuild)} does not fit these sources or here`,
      );
    }
  }

  const ways = values.method ? [values.method] : values.sanitize ? ['cmake'] : Object.keys(WAYS);
  if (ways.some((way) => !Object.hasOwn(WAYS, way))) {
    console.error(`hoshikage: --method is one of ${Object.keys(WAYS).join(', ')}`);
    return 2;
  }
  const reasons = [];
  const file = buildBy(ways, out, values.sanitize, reasons);
  if (!file) {
    explain(reasons);
    return values.rebuild || values.method || values.out ? 1 : 0;
  }
  place(file, built, digest);
  clean(out);
  if (values.prebuild) {
    const target = prebuildFile();
    place(built, target, digest);
    if (process.platform === 'linux' && onPath('strip')) {
      execFileSync('strip', ['--strip-unneeded', target]);
    }
    console.error(`hoshikage: ${path.relative(ROOT, target)}, ${fs.statSync(target).size} bytes`);
  }
  console.error(`hoshikage: addon ready: ${path.relative(ROOT, built)}`);
  return 0;
}

try {
  process.exitCode = main();
} catch (error) {
  console.error(`hoshikage: the addon build stopped: ${error.stack}`);
  explain([]);
}
