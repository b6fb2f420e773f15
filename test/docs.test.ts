/**
 * Holds the documents against the code, both ways: nothing missing, nothing stale. Runs in the test
 * process; starts the CLI once for its help. It must never change a document.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { commandNames, optionsIn, syntaxOf } from '../cli/usage.js';
import { documentWith } from '../scripts/bench/document.js';
import { GROUPS } from '../scripts/bench/groups.js';
import { verdictOf } from '../scripts/bench/report.js';
import { savedRows } from '../scripts/bench/save.js';
import { ROOT } from '../scripts/root.js';
import { CHECKS } from '../src/doctor/check.js';
import { CATALOGUE } from '../src/errors.js';
import { ROUTES } from '../src/http/app.js';
import { COMPLETION_FIELDS } from '../src/http/schema/completions.js';
import {
  CHAT_FIELDS,
  type FieldRule,
  MESSAGE_FIELDS,
  STREAM_OPTION_FIELDS,
} from '../src/http/schema/fields.js';
import { INFILL_FIELDS } from '../src/http/schema/infill.js';
import { RERANK_FIELDS } from '../src/http/schema/rerank.js';
import { DETOKENIZE_FIELDS, EMBEDDING_FIELDS, TOKENIZE_FIELDS } from '../src/http/schema/tokens.js';
import { MODEL_SETTING_NAMES } from '../src/models/model-settings.js';
import { FORMER_NAMES, SETTINGS } from '../src/settings.js';

const DOCUMENTS = [
  'README.md',
  'README.en.md',
  'CHANGELOG.md',
  'models/README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

/** The cells of every table row, backticks kept. */
function rows(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^\|[-| :]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, line.lastIndexOf('|'))
        .split('|')
        .map((cell) => cell.trim()),
    );
}

/** The part of a document under one heading, up to the next of the same or a higher level. */
function section(text: string, heading: string): string {
  const level = /^#+/.exec(heading)?.[0].length ?? 0;
  const [, rest] = text.split(`\n${heading}\n`);
  assert.ok(rest !== undefined, `there is a heading "${heading}"`);
  const next = new RegExp(`^#{1,${level}} `, 'm').exec(rest);
  return next ? rest.slice(0, next.index) : rest;
}

/** The texts in backticks of a cell. */
function ticked(cell = ''): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((found) => found[1] ?? '');
}

/** The fenced code blocks of a document. */
function codeBlocks(text: string, language: string): readonly string[] {
  const fence = new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, 'gm');
  return [...text.matchAll(fence)].map((found) => found[1] ?? '');
}

const sorted = (names: Iterable<string>): string[] => [...new Set(names)].sort();

test('docs/ERRORS.md lists every error code once, with its HTTP status and exit code', () => {
  const listed = rows(read('docs/ERRORS.md'))
    .filter(([code, status]) => /^`[a-z_]+`$/.test(code ?? '') && /^\d+$/.test(status ?? ''))
    .map(([code, status, exit, ja, remedy]) => {
      assert.ok(ja && remedy, `${code} says what it means and what to do`);
      return `${code?.slice(1, -1)} ${status} ${exit}`;
    });
  const known = Object.entries(CATALOGUE).map(
    ([code, { status, exit }]) => `${code} ${status} ${exit}`,
  );
  assert.deepEqual(listed.sort(), known.sort());
});

test('docs/CONFIG.md lists every setting once, with its default', () => {
  const listed = rows(read('docs/CONFIG.md'))
    .filter(([key, , unit, meaning]) => /^`[A-Z_]+`$/.test(key ?? '') && unit && meaning)
    .map(([key, value]) => `${key?.slice(1, -1)}=${value === '(空)' ? '' : ticked(value)[0]}`);
  const known = SETTINGS.map((setting) => `${setting.key}=${setting.default}`);
  assert.deepEqual(listed.sort(), known.sort());
});

test('docs/CONFIG.md lists what an entry of the map may hold', () => {
  const listed = rows(section(read('docs/CONFIG.md'), '## モデルごとの設定')).flatMap(([key]) =>
    ticked(key),
  );
  assert.deepEqual(sorted(listed), sorted(['path', 'model', 'stop', ...MODEL_SETTING_NAMES]));
});

test('docs/CONFIG.md tells what became of the names of earlier versions', () => {
  const told = rows(section(read('docs/CONFIG.md'), '## 以前の版の名前')).flatMap(([old, now]) =>
    ticked(old).map((name) => `${name} ${ticked(now)[0] ?? null}`),
  );
  const known = Object.entries(FORMER_NAMES).map(([name, now]) => `${name} ${now}`);
  assert.deepEqual(told.sort(), known.sort());
});

test('the settings that the READMEs show have the defaults of the code', () => {
  for (const name of ['README.md', 'README.en.md']) {
    for (const [key, value] of rows(read(name))) {
      if (!/^`[A-Z][A-Z_]+`$/.test(key ?? '')) continue;
      const setting = SETTINGS.find((one) => one.key === ticked(key)[0]);
      assert.ok(setting, `${name}: ${key} is a setting`);
      assert.equal(ticked(value)[0] ?? '', setting.default, `${name}: the default of ${key}`);
    }
  }
});

test('docs/API.md lists every route once', () => {
  const listed = rows(section(read('docs/API.md'), '## ルートの一覧'))
    .flatMap(([route]) => ticked(route))
    .filter((route) => /^[A-Z]+ \//.test(route));
  assert.deepEqual(
    [...listed].sort(),
    ROUTES.map(({ method, path }) => `${method} ${path}`).sort(),
  );
});

test('docs/API.md sorts the fields of a chat request as the code does', () => {
  const text = read('docs/API.md');
  const kind = (rule: FieldRule): string => (typeof rule === 'function' ? 'refused' : rule);
  const known = (wanted: string): string[] =>
    sorted(
      Object.entries(CHAT_FIELDS).flatMap(([name, rule]) => (kind(rule) === wanted ? [name] : [])),
    );
  const listed = (heading: string): string[] =>
    sorted(rows(section(text, heading)).flatMap(([field]) => ticked(field)));
  assert.deepEqual(listed('### 使う項目'), known('honoured'));
  assert.deepEqual(listed('### 名指しで断る項目'), known('refused'));
  assert.deepEqual(listed('### 無視して知らせる項目'), known('ignored'));
});

test('docs/API.md names every field of the calls for raw prompts, gaps and reranking', () => {
  const text = read('docs/API.md');
  const tables: readonly (readonly [string, Readonly<Record<string, FieldRule>>])[] = [
    [section(text, '## 文章の続き').split('### ')[0] ?? '', COMPLETION_FIELDS],
    [section(text, '## 間を埋める').split('| `stop_type` |')[0] ?? '', INFILL_FIELDS],
    [section(text, '## 再順位付け'), RERANK_FIELDS],
  ];
  for (const [part, rules] of tables) {
    const listed = rows(part).flatMap(([field]) => ticked(field));
    const honoured = Object.keys(rules).filter((name) => rules[name] === 'honoured');
    assert.deepEqual(sorted(listed), sorted(honoured));
  }
});

test('docs/API.md names every field of the calls for vectors and tokens', () => {
  const text = read('docs/API.md');
  const tables: readonly (readonly [string, Readonly<Record<string, FieldRule>>])[] = [
    [section(text, '## 埋め込み'), EMBEDDING_FIELDS],
    [section(text, '## トークン'), { ...TOKENIZE_FIELDS, ...DETOKENIZE_FIELDS }],
  ];
  for (const [part, rules] of tables) {
    const listed = rows(part).flatMap(([field]) => ticked(field));
    const fields = listed.filter((name) => !name.startsWith('/'));
    const honoured = Object.keys(rules).filter((name) => rules[name] === 'honoured');
    assert.deepEqual(sorted([...new Set(fields)]), sorted(honoured));
  }
});

test('docs/API.md names every field of a message and of stream_options that is honoured', () => {
  const text = read('docs/API.md');
  const honoured = (rules: Readonly<Record<string, FieldRule>>): string[] =>
    sorted(Object.keys(rules).filter((name) => rules[name] === 'honoured'));
  const message = rows(section(text, '### メッセージ')).flatMap(([field]) => ticked(field));
  assert.deepEqual(sorted(message), honoured(MESSAGE_FIELDS));
  for (const name of honoured(STREAM_OPTION_FIELDS)) assert.ok(text.includes(`"${name}"`), name);
});

test('the CLI and docs/user-manual.md know the same commands and options', async () => {
  const overview = await help();
  const commands = [...overview.matchAll(/^ {2}hoshikage (\w+)(.*)$/gm)].map(
    ([, name = '', rest = '']) => ({ name, names: names(name, rest) }),
  );
  const helps = await Promise.all(commands.map(({ name }) => help(name)));
  // Commands of a command: their names stand after its own.
  const inner = helps.flatMap((text, index) =>
    [...text.matchAll(/^ {2}hoshikage (\w+) (\w+)(.*)$/gm)]
      .filter(([, outer]) => outer === commands[index]?.name)
      .map(([, outer = '', name = '', rest = '']) => ({ outer, name, names: names(name, rest) })),
  );
  helps.push(...(await Promise.all(inner.map(({ outer, name }) => help(outer, name)))));
  const options = [overview, ...helps].flatMap((text) =>
    [...text.matchAll(/--[a-z-]+/g)].map(([option]) => option),
  );
  assert.deepEqual(manual('hoshikage ([a-z]+)'), sorted(commands.flatMap(({ names }) => names)));
  assert.deepEqual(
    manual('hoshikage ((?:lib|service|config) [a-z]+)'),
    sorted(inner.flatMap(({ outer, names }) => names.map((name) => `${outer} ${name}`))),
  );
  assert.deepEqual(manual('(--[a-z-]+)'), sorted(options));
  // What a usage error shows, and TAB offers.
  const written = [
    ...commands.map(({ name }) => name),
    ...inner.map((one) => `${one.outer} ${one.name}`),
  ];
  for (const [at, name] of written.entries()) {
    const [inHelp, inUsage] = [helps[at] ?? '', syntaxOf(name)].map((text) =>
      optionsIn(text).filter((option) => option.startsWith('--')),
    );
    assert.deepEqual(sorted(inUsage ?? []), sorted(inHelp ?? []), name);
  }
  const known = [
    ...commands.flatMap(({ names }) => names),
    ...inner.flatMap((one) => one.names.map((name) => `${one.outer} ${name}`)),
  ];
  assert.deepEqual(sorted(commandNames()), sorted(known));
});

test('docs/user-manual.md lists every check of the doctor once', () => {
  const listed = rows(section(read('docs/user-manual.md'), '## 診断')).flatMap(([, ids]) =>
    ticked(ids).filter((id) => /^[a-z]+\.[a-z_]+$/.test(id)),
  );
  assert.deepEqual([...listed].sort(), Object.keys(CHECKS).sort());
});

/** A command's name with its other names, which stand in the line after it. */
function names(name: string, rest: string): readonly string[] {
  const aliases = /\[aliases: ([^\]]+)\]/.exec(rest)?.[1]?.split(', ') ?? [];
  return [name, ...aliases];
}

/** The CLI's help in English, of a command where one is named. */
async function help(...command: string[]): Promise<string> {
  const main = join(ROOT, 'dist/cli/main.js');
  const args = [main, ...command, '--help', '--lang', 'en'];
  return (await promisify(execFile)(process.execPath, args, { cwd: ROOT, timeout: 60_000 })).stdout;
}

/** What a pattern finds in the commands that the manual's table shows. */
function manual(pattern: string): string[] {
  const shown = rows(section(read('docs/user-manual.md'), '## コマンド'))
    .flat()
    .flatMap((cell) => ticked(cell));
  const found = shown.flatMap((text) => [...text.matchAll(new RegExp(pattern, 'g'))]);
  return sorted(found.map(([, name = '']) => name));
}

test('docs/BENCHMARKS.md explains every group of the benchmarks once, by its name and number', () => {
  const listed = rows(section(read('docs/BENCHMARKS.md'), '## 行の意味'))
    .filter(([, name]) => /^`\w+`$/.test(name ?? ''))
    .map(([row, name]) => `${row} ${ticked(name)[0]}`);
  const known = GROUPS.map(({ name, row }) => `${row ?? ''} ${name}`);
  assert.deepEqual(listed.sort(), known.sort());
});

test('docs/BENCHMARKS.md shows the saved results, and says why one misses its target', () => {
  const text = read('docs/BENCHMARKS.md');
  const results = savedRows('results');
  const made = documentWith(text, results, savedRows('before'));
  assert.ok(made === text, 'run `npm run bench -- --redraw`');
  const explained = rows(section(text, '## 届かなかった行'))
    .filter(([, reason, tried]) => reason && tried)
    .flatMap(([name]) => ticked(name));
  const missed = results.filter((row) => verdictOf(row) === 'missed').map(({ group }) => group);
  assert.deepEqual(sorted(missed.filter((group) => !explained.includes(group))), []);
});

test('every npm and hoshikage command in a document exists', () => {
  const scripts = new Set(Object.keys(JSON.parse(read('package.json')).scripts));
  const commands = new Set(manual('hoshikage ([a-z]+)'));
  for (const name of DOCUMENTS) {
    const text = read(name);
    const blocks = [...codeBlocks(text, 'bash'), ...ticked(text.replace(/^```[\s\S]*?^```/gm, ''))];
    for (const block of blocks) {
      for (const [, script = ''] of block.matchAll(/\bnpm run (?:-s )?([\w:-]+)/g)) {
        assert.ok(scripts.has(script), `${name}: npm run ${script}`);
      }
      if (/\bnpm (start|test)\b/.test(block))
        assert.ok(scripts.has('start') && scripts.has('test'));
      for (const [, word = ''] of block.matchAll(/^(?:npx )?hoshikage ([a-z]+)/gm)) {
        assert.ok(commands.has(word), `${name}: hoshikage ${word}`);
      }
      for (const [, file = ''] of block.matchAll(/\bnode ((?:scripts|dist)\/[\w./-]+)/g)) {
        const source = file.replace(/^dist\/(.*)\.js$/, '$1.ts');
        assert.ok(existsSync(join(ROOT, source)), `${name}: node ${file}`);
      }
    }
  }
});

test('docs/ARCHITECTURE.md and docs/CONTRIBUTING.md speak of files that exist', () => {
  const places = ['', 'src', 'native/src', 'docs'];
  for (const name of ['docs/ARCHITECTURE.md', 'docs/CONTRIBUTING.md']) {
    for (const text of ticked(read(name).replace(/^```[\s\S]*?^```/gm, ''))) {
      if (!/^[\w./-]+\.(ts|mjs|cc|h|json|txt|gyp)$/.test(text) || text === 'napi.h') continue;
      const found = places.some((place) => existsSync(join(ROOT, place, text)));
      assert.ok(found, `${name}: ${text}`);
    }
  }
});

test('links between documents lead to files and headings that exist', () => {
  for (const name of DOCUMENTS) {
    for (const [, target = ''] of read(name).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? name : join(dirname(name), path);
      assert.ok(existsSync(join(ROOT, file)), `${name} -> ${target}`);
      if (anchor === undefined) continue;
      const anchors = [...read(file).matchAll(/^#+ (.+)$/gm)].map((found) => slug(found[1] ?? ''));
      assert.ok(anchors.includes(decodeURIComponent(anchor)), `${name} -> ${target}`);
    }
  }
});

/** The anchor GitHub makes of a heading. */
function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M}\s_-]/gu, '')
    .replace(/\s/g, '-');
}
