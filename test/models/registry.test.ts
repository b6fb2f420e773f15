import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { HoshikageError } from '../../src/errors.js';
import { aliasProblem, ModelRegistry } from '../../src/models/registry.js';
import { startChild } from '../helpers/child.js';
import { ggufBytes, smallGguf, splitValues, withValues } from '../helpers/gguf-bytes.js';

let directory = '';
let map = '';
let model = '';
let registry = new ModelRegistry('');
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-registry-'));
  map = join(directory, 'config', 'model_map.json');
  mkdirSync(join(directory, 'config'));
  model = join(directory, 'star.gguf');
  writeFileSync(model, ggufBytes(smallGguf()).file);
  registry = new ModelRegistry(map);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** What the map holds, as plain JSON. */
const onDisk = (): Record<string, unknown> => JSON.parse(readFileSync(map, 'utf8'));
const names = async (): Promise<readonly string[]> => (await registry.read()).map(({ id }) => id);

describe('a map', () => {
  test('that is not there, empty or blank has no models', async () => {
    assert.deepEqual(await registry.read(), []);
    for (const content of ['', ' \n', '{}', '\ufeff{}']) {
      writeFileSync(map, content);
      assert.deepEqual(await registry.read(), []);
    }
    writeFileSync(map, '');
    await registry.add('a', { path: model });
    assert.deepEqual(await names(), ['a']);
  });

  test('of the earlier versions is read as it is', async () => {
    const old = { path: '/models', model: 'LFM.gguf', stop: ['<|im_end|>', '</s>'] };
    writeFileSync(map, JSON.stringify({ LFM: old, bare: { path: '/m', model: 'b.gguf' } }));
    assert.deepEqual(await registry.read(), [
      { id: 'LFM', path: '/models/LFM.gguf', stop: old.stop, origin: 'map', settings: {} },
      { id: 'bare', path: '/m/b.gguf', stop: [], origin: 'map', settings: {} },
    ]);
  });

  test('has relative paths counted from its own directory, and ~ from home', async () => {
    const entry = (path: string) => ({ path, model: 'a.gguf' });
    writeFileSync(
      map,
      JSON.stringify({ a: entry('./models'), b: entry(''), c: entry('../x'), d: entry('~/y') }),
    );
    const paths = (await registry.read()).map(({ path }) => path);
    const config = join(directory, 'config');
    assert.deepEqual(paths, [
      join(config, 'models', 'a.gguf'),
      join(config, 'a.gguf'),
      join(directory, 'x', 'a.gguf'),
      join(homedir(), 'y', 'a.gguf'),
    ]);
  });

  test('may hold settings of a model', async () => {
    const settings = { n_ctx: 8192, n_gpu_layers: -1, temperature: 0.7, chat_template: '{{x}}' };
    writeFileSync(map, JSON.stringify({ a: { path: '/m', model: 'a.gguf', ...settings } }));
    assert.deepEqual((await registry.read())[0]?.settings, {
      nCtx: 8192,
      nGpuLayers: -1,
      temperature: 0.7,
      chatTemplate: '{{x}}',
    });
  });

  test('may say how long a model is to stay, in seconds or as a text', async () => {
    const entry = (keep_alive: number | string) => ({ path: '/m', model: 'a.gguf', keep_alive });
    writeFileSync(map, JSON.stringify({ a: entry('5m'), b: entry(-1), c: entry(0) }));
    const times = (await registry.read()).map(({ settings }) => settings.keepAliveMs);
    assert.deepEqual(times, [300_000, Number.POSITIVE_INFINITY, 0]);
    writeFileSync(map, JSON.stringify({ a: entry('long') }));
    await assert.rejects(registry.read(), /"a"\.keep_alive/);
  });

  test('that is broken is named with the reason and never touched', async () => {
    const entry = '{"path":"/m","model":"a.gguf"';
    const broken: readonly (readonly [string, RegExp])[] = [
      ['{"a":', /JSON/],
      ['[]', /not a JSON object/],
      ['null', /not a JSON object/],
      ['{"a":1}', /"a"/],
      ['{"a":{"model":"a.gguf"}}', /"a"\.path/],
      ['{"a":{"path":"/m","model":""}}', /"a"\.model/],
      [`{"a":${entry},"stop":"x"}}`, /"a"\.stop/],
      [`{"a":${entry},"stop":[""]}}`, /"a"\.stop\.0/],
      [`{"a":${entry},"temperature":"hot"}}`, /"a"\.temperature/],
      [`{"a":${entry},"n_ctx":0}}`, /"a"\.n_ctx/],
      [`{" ":${entry}}}`, /empty/],
      [`{"a\\u001b":${entry}}}`, /control/],
    ];
    for (const [content, reason] of broken) {
      writeFileSync(map, content);
      for (const attempt of [
        () => registry.read(),
        () => registry.add('new', { path: model }),
        () => registry.remove('a'),
      ]) {
        await assert.rejects(attempt(), (error) => {
          assert.ok(error instanceof HoshikageError);
          assert.equal(error.code, 'map_broken');
          assert.equal(error.details.path, map);
          assert.match(String(error.details.reason), reason);
          return true;
        });
      }
      assert.equal(readFileSync(map, 'utf8'), content);
    }
  });

  test('with bytes that are no UTF-8, or that is a directory, is broken', async () => {
    writeFileSync(map, Buffer.from([0x7b, 0xff, 0x7d]));
    await assert.rejects(registry.read(), { code: 'map_broken' });
    rmSync(map);
    mkdirSync(map);
    await assert.rejects(registry.read(), { code: 'map_broken' });
  });
});

describe('adding', () => {
  test('stores directory, file and stop strings, in a directory made for it', async () => {
    const other = join(directory, 'new', 'deep', 'map.json');
    const added = await new ModelRegistry(other).add('a', { path: model, stop: ['b', 'a'] });
    assert.equal(added.outcome, 'added');
    assert.deepEqual(JSON.parse(readFileSync(other, 'utf8')), {
      a: { path: directory, model: 'star.gguf', stop: ['b', 'a'] },
    });
  });

  test('stores a path that was given relative as an absolute one', async () => {
    const { entry } = await registry.add('a', { path: relative(process.cwd(), model) });
    assert.equal(entry.path, model);
    assert.deepEqual(onDisk(), { a: { path: directory, model: 'star.gguf', stop: [] } });
  });

  test('stores settings under the names of the map', async () => {
    const settings = { nCtx: 512, topK: 0, minP: 0.05, repeatLastN: -1, maxTokens: 0 };
    await registry.add('a', { path: model, settings });
    assert.deepEqual(onDisk().a, {
      path: directory,
      model: 'star.gguf',
      stop: [],
      n_ctx: 512,
      top_k: 0,
      min_p: 0.05,
      repeat_last_n: -1,
      max_tokens: 0,
    });
    assert.deepEqual((await registry.read())[0]?.settings, settings);
  });

  test('the same entry again is a success that writes nothing', async () => {
    const request = { path: model, stop: ['x'], settings: { nCtx: 512, topP: 0.5 } };
    await registry.add('a', request);
    const before = statSync(map).ino;
    const again = await registry.add('a', { ...request, settings: { topP: 0.5, nCtx: 512 } });
    assert.equal(again.outcome, 'unchanged');
    assert.equal(statSync(map).ino, before);
  });

  test('another entry under a taken name is refused, and replaces it when forced', async () => {
    await registry.add('a', { path: model });
    for (const other of [{ stop: ['x'] }, { settings: { nCtx: 9 } }]) {
      await assert.rejects(registry.add('a', { path: model, ...other }), {
        code: 'model_exists',
        details: { model: 'a' },
      });
    }
    const forced = await registry.add('a', { path: model, stop: ['x'], force: true });
    assert.equal(forced.outcome, 'replaced');
    assert.deepEqual((await registry.read())[0]?.stop, ['x']);
  });

  test('loses nothing of what else the map holds, in the order it has', async () => {
    const own = { path: '/m', model: 'z.gguf', stop: [], note: { by: '私', deep: [1, null] } };
    writeFileSync(map, JSON.stringify({ z: own, b: { ...own, model: 'b.gguf' } }));
    await registry.add('a', { path: model });
    assert.deepEqual(Object.keys(onDisk()), ['z', 'b', 'a']);
    assert.deepEqual(onDisk().z, own);
    await registry.add('z', { path: model, force: true });
    assert.deepEqual(Object.keys(onDisk()), ['z', 'b', 'a']);
    const replaced = { path: directory, model: 'star.gguf', stop: [], note: own.note };
    assert.deepEqual(onDisk().z, replaced);
    await registry.remove('b');
    assert.deepEqual(Object.keys(onDisk()), ['z', 'a']);
    assert.deepEqual(onDisk().z, replaced);
  });

  test('refuses a file that is missing or is no model, and changes nothing', async () => {
    const broken = join(directory, 'broken.gguf');
    writeFileSync(broken, 'GGUF but not really, and long enough to be read');
    const empty = join(directory, 'empty.gguf');
    writeFileSync(empty, ggufBytes(smallGguf({ tensors: [] })).file);
    const missing = join(directory, 'none.gguf');
    await assert.rejects(registry.add('a', { path: missing }), {
      code: 'model_file_missing',
      details: { path: missing },
    });
    for (const path of [broken, directory, empty]) {
      await assert.rejects(registry.add('a', { path }), { code: 'model_file_invalid' });
    }
    assert.equal(existsSync(map), false);
  });

  test('takes a split model by its first part and wants the others beside it', async () => {
    const part = (index: number) => join(directory, `big-0000${index}-of-00002.gguf`);
    for (const index of [1, 2]) {
      const file = withValues(smallGguf(), splitValues(index - 1, 2));
      writeFileSync(part(index), ggufBytes(file).file);
    }
    await assert.rejects(registry.add('a', { path: part(2) }), { code: 'model_file_invalid' });
    assert.equal((await registry.add('a', { path: part(1) })).entry.path, part(1));
    rmSync(part(2));
    await assert.rejects(registry.add('b', { path: part(1) }), {
      code: 'model_file_missing',
      details: { path: part(2) },
    });
  });

  test('refuses values that cannot be, by their names', async () => {
    const attempts: readonly (readonly [Parameters<ModelRegistry['add']>[1], string])[] = [
      [{ path: '' }, 'path'],
      [{ path: 'a\0b' }, 'path'],
      [{ path: model, stop: [''] }, 'stop.0'],
      [{ path: model, stop: ['x'.repeat(257)] }, 'stop.0'],
      [{ path: model, settings: { temperature: 3 } }, 'temperature'],
      [{ path: model, settings: { nCtx: 1.5 } }, 'n_ctx'],
      [{ path: model, settings: { topP: Number.NaN } }, 'top_p'],
      [{ path: model, settings: { nCtx: 2 ** 24 + 1 } }, 'n_ctx'],
      [{ path: model, settings: { nGpuLayers: 100_001 } }, 'n_gpu_layers'],
      [{ path: model, settings: { topK: 2 ** 31 } }, 'top_k'],
      [{ path: model, settings: { repeatLastN: 2 ** 31 } }, 'repeat_last_n'],
      [{ path: model, settings: { maxTokens: 2 ** 31 } }, 'max_tokens'],
    ];
    for (const [request, param] of attempts) {
      await assert.rejects(registry.add('a', request), (error) => {
        assert.ok(error instanceof HoshikageError);
        assert.equal(error.code, 'invalid_value');
        assert.equal(error.details.param, param);
        return true;
      });
    }
  });

  test('keeps the file\u2019s permissions and its place behind a link', async () => {
    const real = join(directory, 'dotfiles.json');
    writeFileSync(real, '{}');
    chmodSync(real, 0o600);
    symlinkSync(real, map);
    await registry.add('a', { path: model });
    assert.deepEqual(Object.keys(JSON.parse(readFileSync(real, 'utf8'))), ['a']);
    assert.equal(statSync(real).mode & 0o777, 0o600);
    assert.deepEqual(await names(), ['a']);
  });

  test('leaves nothing behind but the map and its lock, and clears what a kill left', async () => {
    const leftover = join(directory, 'config', '.model_map.json.0123456789ab.tmp');
    const fresh = join(directory, 'config', '.model_map.json.ba9876543210.tmp');
    for (const path of [leftover, fresh]) writeFileSync(path, '{"half":');
    utimesSync(leftover, 1_000_000, 1_000_000);
    await registry.add('a', { path: model });
    assert.deepEqual(readdirSync(join(directory, 'config')).sort(), [
      '.model_map.json.ba9876543210.tmp',
      'model_map.json',
      'model_map.json.lock',
    ]);
  });

  test('says map_unwritable where it cannot write', async () => {
    const blocked = new ModelRegistry(join(model, 'under', 'a', 'file.json'));
    await assert.rejects(blocked.add('a', { path: model }), { code: 'map_unwritable' });
  });
});

describe('an alias', () => {
  const aliases = ['星影/小さな 星', '__proto__', 'constructor', 'toString', '42', 'a\\b"c', '🌟'];

  test('may be any name, also one that JavaScript knows', async () => {
    for (const alias of aliases) await registry.add(alias, { path: model });
    assert.deepEqual(new Set(await names()), new Set(aliases));
    for (const alias of aliases) {
      assert.equal((await registry.remove(alias)).id, alias);
      await assert.rejects(registry.remove(alias), { code: 'model_not_found' });
    }
    assert.deepEqual(onDisk(), {});
    assert.equal(Object.hasOwn(Object.prototype, 'path'), false);
  });

  test('is one name in both Unicode spellings', async () => {
    const [composed, decomposed] = ['が'.normalize('NFC'), 'が'.normalize('NFD')];
    await registry.add(decomposed, { path: model });
    assert.equal((await registry.add(composed, { path: model })).outcome, 'unchanged');
    assert.equal((await registry.remove(decomposed)).id, composed);
  });

  test('is not empty, blank, too long, with control characters or a step in a path', async () => {
    for (const alias of [
      '',
      ' ',
      '\u3000',
      'a\nb',
      '\u007f',
      '\u2028',
      '\ud800',
      'x'.repeat(257),
      '.',
      '..',
    ]) {
      await assert.rejects(registry.add(alias, { path: model }), { code: 'invalid_value' });
    }
    await registry.add('🌟'.repeat(256), { path: model });
  });

  test('of any kind comes back as it was given', async () => {
    const alias = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 20 })
      .map((text) => text.normalize('NFC'))
      .filter((text) => aliasProblem(text) === null);
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(alias, { maxLength: 5 }), async (wanted) => {
        rmSync(map, { force: true });
        for (const name of wanted) await registry.add(name, { path: model });
        assert.deepEqual(new Set(await names()), new Set(wanted));
      }),
      { numRuns: 10 },
    );
  });
});

describe('removing', () => {
  test('takes out that entry only, and leaves its file', async () => {
    for (const name of ['a', 'b', 'c']) await registry.add(name, { path: model });
    assert.equal((await registry.remove('b')).path, model);
    assert.deepEqual(await names(), ['a', 'c']);
    assert.ok(existsSync(model));
  });

  test('of an unknown name is model_not_found, also without a map', async () => {
    await assert.rejects(registry.remove('a'), { code: 'model_not_found' });
    await registry.add('a', { path: model });
    const before = statSync(map).ino;
    await assert.rejects(registry.remove('A'), {
      code: 'model_not_found',
      details: { model: 'A' },
    });
    assert.equal(statSync(map).ino, before);
  });
});

describe('many writers', () => {
  test('in one process lose nothing', async () => {
    const other = new ModelRegistry(map);
    const adding = Array.from({ length: 40 }, (_, index) =>
      (index % 2 ? registry : other).add(`m${index}`, { path: model }),
    );
    await Promise.all(adding);
    assert.equal((await names()).length, 40);
  });

  test('say map_locked when the lock stays taken', async () => {
    const child = startChild('map-worker', [map, '', '', '0', 'hold']);
    await child.saidLines(1);
    const impatient = new ModelRegistry(map, { lockTimeoutMs: 30 });
    await assert.rejects(impatient.add('a', { path: model }), { code: 'map_locked' });
    assert.deepEqual(await impatient.read(), []);
    child.process.kill('SIGKILL');
    await child.ended;
    await impatient.add('a', { path: model });
  });

  for (const preload of [undefined, 'without-fs-ext.cjs']) {
    const way = preload ? 'a file with a pid' : 'flock';
    test(`in two processes, one killed, keep exactly what was said (by ${way})`, async () => {
      const worker = (prefix: string) =>
        startChild('map-worker', [map, model, prefix, '100', 'churn'], preload);
      const survivor = worker('survivor-');
      const victim = worker('victim-');
      await victim.saidLines(40);
      victim.process.kill('SIGKILL');
      await victim.ended;
      JSON.parse(readFileSync(map, 'utf8'));
      assert.deepEqual(await survivor.ended, { code: 0, signal: null });
      assert.equal(survivor.lines.length, 150);

      const said = replay([...survivor.lines, ...victim.lines]);
      const extra = difference(await names(), said);
      const lost = difference(said, await names());
      // The victim's last change may have been made without being said any more: one at the most.
      assert.ok(extra.length + lost.length <= 1, `${extra} / ${lost}`);
      for (const name of [...extra, ...lost]) assert.match(name, /^victim-/);
    });
  }

  test('never show a reader, who takes no lock, less than what was there', async () => {
    const child = startChild('map-worker', [map, model, 'm', '150', 'keep']);
    let most = 0;
    while (child.process.exitCode === null && child.process.signalCode === null) {
      const count = (await registry.read()).length;
      assert.ok(count >= most, `${count} after ${most}`);
      most = count;
    }
    assert.deepEqual(await child.ended, { code: 0, signal: null });
    assert.equal((await names()).length, 150);
  });

  test('are killed again and again, and the map is whole every time', async () => {
    const said: string[] = [];
    let uncertain = 0;
    for (let round = 0; round < 4; round++) {
      const child = startChild('map-worker', [map, model, `r${round}-`, '100000', 'keep']);
      await child.saidLines(3 + round * 2);
      child.process.kill('SIGKILL');
      await child.ended;
      said.push(...child.lines);
      uncertain++;
      const held = await names();
      assert.deepEqual(difference(replay(said), held), []);
      assert.ok(difference(held, replay(said)).length <= uncertain);
    }
  });
});

/** The names that must be there after these lines. */
function replay(lines: readonly string[]): readonly string[] {
  const held = new Set<string>();
  for (const line of lines) {
    const [what, name = ''] = line.split(' ');
    if (what === 'added') held.add(name);
    else held.delete(name);
  }
  return [...held];
}

function difference(of: readonly string[], without: readonly string[]): readonly string[] {
  const others = new Set(without);
  return of.filter((name) => !others.has(name));
}
