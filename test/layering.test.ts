/**
 * The import law: who may know of whom, in TypeScript and in C++. Reads the sources as text; it must
 * never load a room.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix, sep } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../scripts/root.js';

/** One specifier in one file. */
interface Import {
  readonly file: string;
  readonly specifier: string;
  /** Erased by the compiler: nothing is loaded. */
  readonly typeOnly: boolean;
  /** When it runs, not when the file is loaded. */
  readonly dynamic: boolean;
}

function filesBelow(folder: string, suffix: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => posix.join(folder, name.split(sep).join('/')))
    .filter((file) => suffix.test(file))
    .sort();
}

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

/** Every specifier of a module: static, re-exported, dynamic, required, or named as a type. */
function importsOf(file: string, source: string): Import[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
  const found: Import[] = [];
  const add = (specifier = '', typeOnly = false, dynamic = false): void => {
    found.push({ file, specifier, typeOnly, dynamic });
  };
  const statics = /^\s*(import|export)\s+(type\s+)?([^'";]*?\bfrom\s*)?['"]([^'"]+)['"]/gm;
  for (const [, keyword, type, names, specifier] of code.matchAll(statics)) {
    if (keyword === 'export' && !names) continue;
    const inline = /^\s*\{([^}]*)\}/.exec(names ?? '')?.[1];
    const allTypes = inline?.split(',').every((name) => /^\s*(type\s|$)/.test(name)) ?? false;
    add(specifier, Boolean(type) || allTypes, false);
  }
  for (const [, specifier] of code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)) {
    add(specifier, false, true);
  }
  const required = /(?:\brequire|createRequire\(import\.meta\.url\))\(\s*['"]([^'"]+)['"]\s*\)/g;
  for (const [, specifier] of code.matchAll(required)) add(specifier, false, true);
  return found;
}

const files = [...filesBelow('src', /\.ts$/), ...filesBelow('cli', /\.ts$/)];
const imports = files.flatMap((file) => importsOf(file, read(file)));

/** The room of a project file; settings belong to config. */
function roomOf(file: string): string {
  if (file.startsWith('cli/')) return 'cli';
  const name = file.replace(/^src\//, '');
  if (name.startsWith('settings/')) return 'config';
  if (name.includes('/')) return name.slice(0, name.indexOf('/'));
  const base = name.replace(/\.ts$/, '');
  return base === 'settings' || base === 'setting-kinds' ? 'config' : base;
}

/** The project file behind a relative specifier. */
function targetOf({ file, specifier }: Import): string {
  return posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts');
}

const isRelative = (specifier: string): boolean => specifier.startsWith('.');

/** May import, besides itself, errors and log. */
const LAW: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  log: [],
  near: [],
  config: ['near'],
  models: [],
  engine: [],
  binary: [],
  library: ['binary', 'engine', 'models'],
  web: [],
  import: ['models'],
  install: ['binary', 'library', 'models', 'web'],
  pull: ['folders', 'memory', 'models', 'web'],
  canary: ['binary', 'library', 'engine', 'models', 'grammar'],
  events: [],
  figures: [],
  folders: ['memory', 'models'],
  memory: ['models', 'engine'],
  staging: ['folders', 'memory', 'models', 'engine', 'events'],
  states: ['folders', 'memory', 'models', 'engine', 'events'],
  resources: ['memory', 'states', 'models', 'engine', 'events'],
  grammar: [],
  dialect: ['grammar'],
  generate: ['resources', 'engine', 'models'],
  chat: ['generate', 'grammar', 'dialect', 'resources', 'engine', 'models'],
  text: ['generate', 'grammar', 'resources', 'engine', 'models'],
  embed: ['resources', 'engine', 'models'],
  http: ['chat', 'text', 'generate', 'embed', 'resources', 'models', 'config', 'events', 'figures'],
  service: [],
  doctor: ['config', 'models', 'binary', 'library', 'engine', 'service'],
  verify: ['canary', 'chat', 'resources', 'memory', 'library', 'engine', 'models'],
  'run-file': [],
  start: ['http', 'config', 'figures', 'run-file'],
  server: [
    ...['chat', 'resources', 'states', 'staging', 'memory', 'library', 'engine', 'models'],
    ...['config', 'events'],
  ],
  cli: ['models', 'config', 'near'],
};
/** Only as a type, because it is passed by hand. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  resources: ['config'],
  http: ['engine'],
  start: ['server', 'library', 'resources'],
  cli: ['start', 'import', 'install', 'pull', 'memory', 'canary', 'library', 'doctor', 'verify'],
};
/** Only when a command runs. */
const WHEN_IT_RUNS: Readonly<Record<string, readonly string[]>> = {
  start: ['server'],
  cli: [
    ...['start', 'import', 'install', 'pull', 'web', 'memory', 'canary', 'library', 'engine'],
    ...['chat', 'doctor', 'service', 'verify', 'resources'],
  ],
};

/** Packages that belong to one place. */
const PLACES: readonly (readonly [packages: RegExp, place: RegExp])[] = [
  [/^node-gyp-build$|\.node$/, /^src\/engine\/addon\.ts$/],
  [/^fs-ext$/, /^src\/models\/lock\.ts$/],
  [/^(@hono\/.*|hono(\/.*)?)$/, /^src\/(http\/.*|start)\.ts$/],
  [/^zod(\/.*)?$/, /^src\/(http\/schema\/.*|models\/(registry|model-settings)|config)\.ts$/],
  [/^winston/, /^src\/log\.ts$/],
  [/^dotenv$/, /^src\/(config|settings\/env-edit)\.ts$/],
  [/^undici$/, /^src\/web\//],
  [/^(ini|tar)$/, /^src\/install\//],
  [/^(yargs|picocolors)(\/.*)?$/, /^cli\//],
];

describe('the import law', () => {
  it('reads every kind of import', () => {
    const source = [
      "import a from 'a';",
      "import 'b';",
      "import type { C } from 'c';",
      "import { type D, type E } from 'd';",
      "import {\n  type F,\n  g,\n} from 'e';",
      "export { h } from 'f';",
      "const i = await import('g');",
      "const j = createRequire(import.meta.url)('h');",
      "// import k from 'never';",
      "/* import l from 'never'; */",
    ].join('\n');
    assert.deepEqual(
      importsOf('x.ts', source).map(({ specifier, typeOnly, dynamic }) => [
        specifier,
        typeOnly ? 'type' : dynamic ? 'dynamic' : 'static',
      ]),
      [
        ['a', 'static'],
        ['b', 'static'],
        ['c', 'type'],
        ['d', 'type'],
        ['e', 'static'],
        ['f', 'static'],
        ['g', 'dynamic'],
        ['h', 'dynamic'],
      ],
    );
    assert.ok(imports.length > files.length, 'the project’s files import something');
  });

  it('knows every room', () => {
    const unknown = files.filter((file) => !Object.hasOwn(LAW, roomOf(file)));
    assert.deepEqual(unknown, []);
  });

  it('lets a room import only the rooms below it', () => {
    const broken = imports
      .filter(({ specifier }) => isRelative(specifier))
      .filter((one) => {
        const from = roomOf(one.file);
        const to = roomOf(targetOf(one));
        if (to === from || to === 'errors' || to === 'log') return false;
        if (LAW[from]?.includes(to)) return false;
        if (one.typeOnly && TYPES[from]?.includes(to)) return false;
        return !(one.dynamic && WHEN_IT_RUNS[from]?.includes(to));
      })
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    assert.deepEqual(broken, []);
  });

  it('loads little before the port is open, and no room with it', () => {
    const seen = new Set<string>(['cli/main.ts', 'src/start.ts']);
    const packages = new Set<string>();
    for (const file of seen) {
      for (const one of imports.filter((found) => found.file === file)) {
        if (one.typeOnly || one.dynamic || one.specifier.startsWith('node:')) continue;
        if (isRelative(one.specifier)) seen.add(targetOf(one));
        else packages.add(one.specifier.replace(/^((?:@[^/]+\/)?[^/]+).*$/, '$1'));
      }
    }
    const rooms = new Set([...seen].map(roomOf));
    assert.deepEqual([...packages].sort(), ['@hono/node-server', 'dotenv', 'hono']);
    assert.deepEqual([...rooms].sort(), [
      'cli',
      'config',
      'errors',
      'figures',
      'http',
      'near',
      'run-file',
      'start',
    ]);
  });

  it('completes words at TAB with little: no parser, no room but the settings', () => {
    const seen = new Set<string>(['cli/main.ts', 'cli/complete.ts', 'cli/names.ts']);
    for (const file of seen) {
      for (const one of imports.filter((found) => found.file === file)) {
        if (one.typeOnly || one.dynamic || one.specifier.startsWith('node:')) continue;
        if (isRelative(one.specifier)) seen.add(targetOf(one));
        else assert.equal(one.specifier, 'dotenv', `${file} imports ${one.specifier}`);
      }
    }
    const rooms = new Set([...seen].map(roomOf));
    assert.deepEqual([...rooms].sort(), ['cli', 'config', 'errors', 'models', 'near']);
  });

  it('keeps each package in its place', () => {
    const broken = imports
      .filter(({ file, specifier }) =>
        PLACES.some(([packages, place]) => packages.test(specifier) && !place.test(file)),
      )
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    assert.deepEqual(broken, []);
  });

  it('finds a file behind every relative specifier, which ends in .js', () => {
    const broken = imports
      .filter(({ specifier }) => isRelative(specifier))
      .filter((one) => !one.specifier.endsWith('.js') || !files.includes(targetOf(one)))
      .filter(({ specifier }) => !specifier.endsWith('.json'))
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    assert.deepEqual(broken, []);
  });

  it('has Node’s own modules named with node:', () => {
    const builtin =
      /^(assert|child_process|crypto|events|fs|http|net|os|path|process|stream|url|util|worker_threads)(\/|$)/;
    assert.deepEqual(
      imports.filter(({ specifier }) => builtin.test(specifier)),
      [],
    );
  });
});

describe('the house rules', () => {
  /** Sources without comments. */
  const bare = (file: string): string =>
    read(file)
      .replace(/\/\*[\s\S]*?\*\//g, '')
      .replace(/(^|\s)\/\/.*$/gm, '$1');

  it('let only config.ts read the environment', () => {
    const readers = files.filter((file) => /\bprocess\.env\b/.test(bare(file)));
    assert.deepEqual(readers, ['src/config.ts']);
  });

  it('allow no barrel, no enum and no default export', () => {
    const broken = files.filter((file) =>
      /^export (\* from|default)|^(export )?(const )?enum /m.test(bare(file)),
    );
    assert.deepEqual(broken, []);
  });

  it('have every file say first what it owns', () => {
    const silent = files.filter((file) => !/^(#!.*\n)?\/\*\*\n \* /.test(read(file)));
    assert.deepEqual(silent, []);
  });

  it('keep files to about 400 lines', () => {
    const long = files
      .map((file) => [file, read(file).split('\n').length] as const)
      .filter(([, lines]) => lines > 460);
    assert.deepEqual(long, []);
  });
});

describe('the include law of the addon', () => {
  const sources = filesBelow('native/src', /\.(cc|h|inc)$/);
  /** Pairs of file and the include as written. */
  const includes = sources.flatMap((file) =>
    [...read(file).matchAll(/^#include\s+[<"]([^>"]+)[>"]/gm)].map(
      ([, name = '']) => [file, name] as const,
    ),
  );
  const inRoom = (file: string, room: string): boolean => file.startsWith(`native/src/${room}/`);

  it('has napi.h only in binding/ and addon.cc', () => {
    const broken = includes.filter(
      ([file, name]) =>
        /napi|node_api/.test(name) && !inRoom(file, 'binding') && file !== 'native/src/addon.cc',
    );
    assert.deepEqual(broken, []);
  });

  it('lets llama/ know nobody, decode/ only llama/, binding/ both', () => {
    const broken = includes.filter(
      ([file, name]) =>
        (inRoom(file, 'llama') && /\b(decode|binding)\//.test(name)) ||
        (inRoom(file, 'decode') && /\bbinding\//.test(name)),
    );
    assert.deepEqual(broken, []);
  });

  it('has threads only in decode/ and binding/', () => {
    const broken = includes.filter(([file, name]) => name === 'thread' && inRoom(file, 'llama'));
    assert.deepEqual(broken, []);
  });

  it('includes no header of libllama or libggml', () => {
    const broken = includes.filter(([, name]) => /^(llama|ggml|gguf)[^/]*\.h$/.test(name));
    assert.deepEqual(broken, []);
  });

  it('has every header guarded by #pragma once, and every file say first what it owns', () => {
    const headers = sources.filter((file) => file.endsWith('.h'));
    assert.deepEqual(
      headers.filter((file) => !/^(\/\/ .*\n)+#pragma once$/m.test(read(file))),
      [],
    );
  });
});
