/** How checks are run: each for itself, each with its deadline, every one with a result. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CHECKS, finding, GROUPS, runExaminations } from '../../src/doctor/check.js';
import { HoshikageError } from '../../src/errors.js';

const signal = () => new AbortController().signal;

describe('a doctor’s checks', () => {
  it('are reported in the order of the table, whichever ends first', async () => {
    const results = await runExaminations(
      [
        { ids: ['server.port'], run: async () => [finding('server.port', 'ok', 'free')] },
        {
          ids: ['runtime.node'],
          run: async () => {
            await new Promise(setImmediate);
            return [finding('runtime.node', 'warning', 'old')];
          },
        },
      ],
      signal(),
    );
    assert.deepEqual(
      results.map(({ id, group, state }) => [id, group, state]),
      [
        ['runtime.node', 'runtime', 'warning'],
        ['server.port', 'server', 'ok'],
      ],
    );
  });

  it('are broken themselves where they throw, in words and without a stack', async () => {
    const results = await runExaminations(
      [
        {
          ids: ['models.map', 'models.files'],
          run: async () => {
            throw new HoshikageError('map_broken', { path: '/map', reason: 'why' });
          },
        },
        {
          ids: ['runtime.node'],
          run: async () => {
            throw new TypeError('x is not a function');
          },
        },
        { ids: ['server.port'], run: async () => [finding('server.port', 'ok', 'free')] },
      ],
      signal(),
    );
    const [node, map, files, port] = results;
    assert.equal(node?.state, 'broken');
    assert.equal(node?.detail.en, 'The check itself failed: x is not a function');
    assert.match(map?.detail.ja ?? '', /モデルの台帳を読めません: \/map\(why\)/);
    assert.deepEqual([map?.state, files?.state, port?.state], ['broken', 'skipped', 'ok']);
    assert.equal(files?.detail.en, 'Because "Map" could not be checked');
  });

  it('are broken where they are late, and told to stop', async () => {
    let told = false;
    const [result] = await runExaminations(
      [
        {
          ids: ['library.search'],
          deadlineMs: 20,
          run: (stop) =>
            new Promise(() => {
              stop.addEventListener('abort', () => {
                told = true;
              });
            }),
        },
      ],
      signal(),
    );
    assert.equal(result?.state, 'broken');
    assert.match(result?.detail.en ?? '', /did not end within 0\.02 s/);
    assert.equal(told, true);
  });

  it('say that they do not apply where they say nothing', async () => {
    const [result] = await runExaminations(
      [{ ids: ['storage.ramdisk'], run: async () => [] }],
      signal(),
    );
    assert.deepEqual([result?.state, result?.detail.en], ['skipped', 'Does not apply here']);
  });

  it('end together when they are cancelled', async () => {
    const abort = new AbortController();
    const running = runExaminations(
      [{ ids: ['server.port'], run: () => new Promise(() => {}) }],
      abort.signal,
    );
    abort.abort();
    await assert.rejects(running, { name: 'AbortError' });
  });

  it('tell which groups still run', async () => {
    const heard: string[] = [];
    await runExaminations(
      [
        { ids: ['server.port'], run: async () => [] },
        { ids: ['server.running'], run: async () => [] },
      ],
      signal(),
      (groups) => heard.push(groups.map(({ en }) => en).join()),
    );
    assert.deepEqual(heard, ['Server', 'Server', '']);
  });

  it('have names that begin with their group’s', () => {
    const strays = Object.keys(CHECKS).filter(
      (id) => !Object.hasOwn(GROUPS, id.slice(0, id.indexOf('.'))),
    );
    assert.deepEqual(strays, []);
  });
});
