import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { type CatalogOptions, ModelCatalog } from '../../src/models/catalog.js';
import { GUIDE_ID, guidePath } from '../../src/models/guide.js';
import { ModelRegistry } from '../../src/models/registry.js';
import { startChild } from '../helpers/child.js';
import { ggufBytes, smallGguf } from '../helpers/gguf-bytes.js';
import { recordingLog } from '../helpers/recording-log.js';
import { pause, until } from '../helpers/waiting.js';

let directory = '';
let model = '';
let log = recordingLog();
let opened: ModelCatalog[] = [];
const map = (): string => join(directory, 'config', 'model_map.json');
const cliRegistry = (): ModelRegistry => new ModelRegistry(map());

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-catalog-'));
  for (const name of ['config', 'models']) mkdirSync(join(directory, name));
  model = join(directory, 'star.gguf');
  writeFileSync(model, ggufBytes(smallGguf()).file);
  log = recordingLog();
});
afterEach(() => {
  for (const catalog of opened) catalog.close();
  opened = [];
  rmSync(directory, { recursive: true, force: true });
});

async function open(options: Partial<CatalogOptions> = {}): Promise<ModelCatalog> {
  const catalog = await ModelCatalog.open({
    modelMapFile: map(),
    modelDir: join(directory, 'models'),
    log,
    ...options,
  });
  opened.push(catalog);
  return catalog;
}

const idsOf = (catalog: ModelCatalog): readonly string[] => catalog.list().map(({ id }) => id);
const putModel = (name: string): void =>
  writeFileSync(join(directory, 'models', name), ggufBytes(smallGguf()).file);
const seen = (catalog: ModelCatalog, ids: readonly string[]): Promise<boolean> =>
  until(`list of ${ids}`, () => JSON.stringify(idsOf(catalog)) === JSON.stringify(ids));

describe('the list of models', () => {
  test('is the built-in one while there is no other', async () => {
    const catalog = await open();
    const builtin = { id: GUIDE_ID, path: guidePath(), stop: [], origin: 'builtin', settings: {} };
    assert.deepEqual(catalog.list(), [builtin]);
    assert.deepEqual(catalog.get(GUIDE_ID), builtin);
    await catalog.add('a', { path: model });
    assert.deepEqual(idsOf(catalog), ['a']);
    await catalog.remove('a');
    assert.deepEqual(idsOf(catalog), [GUIDE_ID]);
  });

  test('is the map, then what MODEL_DIR has besides, without writing the map', async () => {
    for (const name of ['b.gguf', 'a.gguf', 'mine.gguf', 'star.gguf']) putModel(name);
    await cliRegistry().add('z', { path: model });
    await cliRegistry().add('own', { path: join(directory, 'models', 'mine.gguf') });
    await cliRegistry().add('star', { path: model });
    const before = readFileSync(map(), 'utf8');
    const catalog = await open();
    assert.deepEqual(
      catalog.list().map(({ id, origin }) => `${id} ${origin}`),
      ['z map', 'own map', 'star map', 'a scan', 'b scan'],
    );
    assert.equal(readFileSync(map(), 'utf8'), before);
  });

  test('finds an entry in both Unicode spellings, and none by a name of JavaScript\u2019s', async () => {
    const catalog = await open();
    await catalog.add('が/星 影', { path: model });
    assert.equal(catalog.get('が/星 影'.normalize('NFD'))?.path, model);
    assert.equal(catalog.get('constructor'), undefined);
    assert.equal(catalog.get('__proto__'), undefined);
  });

  test('has new files of MODEL_DIR after a reload', async () => {
    const catalog = await open();
    putModel('new.gguf');
    assert.deepEqual(idsOf(catalog), [GUIDE_ID]);
    await catalog.reload();
    assert.deepEqual(idsOf(catalog), ['new']);
  });
});

describe('removing', () => {
  test('what only lies in MODEL_DIR or is built in is refused with the reason', async () => {
    const catalog = await open();
    await assert.rejects(catalog.remove(GUIDE_ID), { code: 'model_built_in' });
    putModel('found.gguf');
    await catalog.reload();
    await assert.rejects(catalog.remove('found'), {
      code: 'model_not_in_map',
      details: { model: 'found', path: join(directory, 'models', 'found.gguf') },
    });
    await assert.rejects(catalog.remove('none'), { code: 'model_not_found' });
    await assert.rejects(catalog.remove(GUIDE_ID), {
      code: 'model_not_found',
      message: /rests while other models are registered.*add models\/hoshikage-guide\.gguf/,
    });
  });
});

describe('a change of the map by somebody else', () => {
  test('is noticed by itself', async () => {
    const catalog = await open();
    let changes = 0;
    const stop = catalog.onChange(() => changes++);
    await cliRegistry().add('a', { path: model });
    await seen(catalog, ['a']);
    await cliRegistry().remove('a');
    await seen(catalog, [GUIDE_ID]);
    assert.equal(changes, 2);
    stop();
    await cliRegistry().add('b', { path: model });
    await seen(catalog, ['b']);
    assert.equal(changes, 2);
  });

  test('is noticed by the poll where watching is not possible', async () => {
    const later = join(directory, 'later', 'model_map.json');
    const catalog = await open({ modelMapFile: later, pollMs: 20 });
    await new ModelRegistry(later).add('a', { path: model });
    await seen(catalog, ['a']);
  });

  test('is noticed when another process makes it', async () => {
    const catalog = await open();
    const child = startChild('map-worker', [map(), model, 'm', '5', 'keep']);
    assert.equal((await child.ended).code, 0);
    await seen(catalog, ['m0', 'm1', 'm2', 'm3', 'm4']);
  });

  test('does not call listeners when the list stays what it was', async () => {
    await cliRegistry().add('a', { path: model });
    const catalog = await open({ pollMs: 10 });
    catalog.onChange(() => assert.fail('called'));
    writeFileSync(map(), `${readFileSync(map(), 'utf8')}\n\n`);
    await pause(150);
    await catalog.reload();
    assert.deepEqual(idsOf(catalog), ['a']);
  });

  test('does not stop because a listener fails', async () => {
    const catalog = await open();
    let called = false;
    catalog.onChange(() => {
      throw new Error('a bad listener');
    });
    catalog.onChange(() => {
      called = true;
    });
    await catalog.add('a', { path: model });
    assert.ok(called);
    assert.equal(log.records.at(-1)?.level, 'error');
  });
});

describe('a broken map', () => {
  test('stops the start', async () => {
    writeFileSync(map(), '{"a":');
    await assert.rejects(open(), { code: 'map_broken' });
  });

  test('keeps the last good list, is reported once, and counts again once it is whole', async () => {
    await cliRegistry().add('a', { path: model });
    const good = readFileSync(map(), 'utf8');
    const catalog = await open({ pollMs: 10 });
    writeFileSync(map(), good.slice(0, -10));
    await until('problem', () => catalog.problem !== null);
    await pause(100);
    assert.deepEqual(idsOf(catalog), ['a']);
    assert.equal(catalog.problem?.code, 'map_broken');
    assert.equal(log.records.filter(({ level }) => level === 'error').length, 1);
    await assert.rejects(catalog.reload(), { code: 'map_broken' });
    await assert.rejects(catalog.add('b', { path: model }), { code: 'map_broken' });
    await assert.rejects(catalog.remove('a'), { code: 'map_broken' });

    writeFileSync(map(), good.replace('"a"', '"repaired"'));
    await seen(catalog, ['repaired']);
    assert.equal(catalog.problem, null);
  });
});

describe('facts', () => {
  test('come from the file and are kept until it changes', async () => {
    const catalog = await open();
    await catalog.add('a', { path: model });
    const facts = await catalog.facts('a');
    assert.equal(facts?.contextLength, 2048);
    assert.equal(await catalog.facts('a'), facts);
    const other = smallGguf().values.map(([key, value]) =>
      key === 'llama.context_length'
        ? ([key, { type: 'u64', value: 4096 }] as const)
        : [key, value],
    ) as ReturnType<typeof smallGguf>['values']; // map() widens the pairs
    writeFileSync(model, ggufBytes(smallGguf({ values: other })).file);
    assert.equal((await catalog.facts('a'))?.contextLength, 4096);
  });

  test('are null for a file that is gone or broken and for a name nobody knows', async () => {
    const catalog = await open();
    await catalog.add('a', { path: model });
    assert.equal(await catalog.facts('b'), null);
    writeFileSync(model, 'broken');
    assert.equal(await catalog.facts('a'), null);
    rmSync(model);
    assert.equal(await catalog.facts('a'), null);
    assert.deepEqual(idsOf(catalog), ['a']);
  });
});

describe('two command lines and the server', () => {
  test('adding and removing 100 names at once keep exactly what was said', async () => {
    const catalog = await open();
    const children = ['x', 'y'].map((prefix) =>
      startChild('map-worker', [map(), model, prefix, '40', 'churn']),
    );
    const own: Promise<unknown>[] = [];
    for (let index = 0; index < 20; index++) {
      own.push(catalog.add(`own${index}`, { path: model }));
      await pause(5);
    }
    await Promise.all(own);
    for (const child of children) assert.equal((await child.ended).code, 0);
    const expected = ['x', 'y'].flatMap((prefix) =>
      Array.from({ length: 20 }, (_, index) => `${prefix}${index * 2}`),
    );
    expected.push(...Array.from({ length: 20 }, (_, index) => `own${index}`));
    const held = (await cliRegistry().read()).map(({ id }) => id);
    assert.deepEqual(held.sort(), expected.sort());
    await until('whole list', () => catalog.list().length === expected.length);
  });
});
