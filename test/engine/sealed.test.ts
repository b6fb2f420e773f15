import assert from 'node:assert/strict';
import {
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { openLocalEngine } from '../../src/engine/local.js';
import { checkSealed } from '../../src/engine/sealed.js';
import { stateOf } from '../../src/models/gguf.js';
import { engineOptions } from '../helpers/engine-options.js';
import { createFakeAddon, emptyAbi } from '../helpers/fake-addon.js';

let directory = '';
let counter = 0;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-sealed-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

function file(): string {
  const path = join(directory, `${counter++}.gguf`);
  writeFileSync(path, 'weights');
  return path;
}

const seal = (path: string) => stateOf(path, statSync(path, { bigint: true }));
const library = { path: '/lib/libllama.so', preload: [], unknownSymbols: [], allowUnknown: false };

describe('a file that was looked at', () => {
  test('is let through while it is the same', async () => {
    const files = [file(), file()].map(seal);
    await checkSealed(files);
    await checkSealed([]);
  });

  const changes: Readonly<Record<string, (path: string) => void>> = {
    'is shorter': (path) => truncateSync(path, 3),
    'was written anew with as many bytes and the old time': (path) => {
      const { atime, mtime } = statSync(path);
      writeFileSync(path, 'WEIGHTS');
      utimesSync(path, atime, mtime);
    },
    'is another file': (path) => {
      const other = file();
      rmSync(path);
      renameSync(other, path);
    },
    'is gone': (path) => rmSync(path),
  };
  for (const [what, change] of Object.entries(changes)) {
    test(`is refused when it ${what}`, async () => {
      const path = file();
      const sealed = seal(path);
      change(path);
      await assert.rejects(checkSealed([seal(file()), sealed]), {
        code: 'model_file_changed',
        details: { path },
      });
    });
  }
});

describe('an engine', () => {
  const open = (options: Parameters<typeof engineOptions>[0]) => {
    const addon = createFakeAddon();
    const opening = openLocalEngine({
      ...{ addon, abi: emptyAbi, library },
      options: engineOptions(options),
    });
    return { addon, opening };
  };

  test('hands a file that is not the one looked at to no library', async () => {
    const modelPath = file();
    const sealed = [seal(modelPath)];
    truncateSync(modelPath, 3);
    const { addon, opening } = open({ modelPath, sealed });
    await assert.rejects(opening, { code: 'model_file_changed' });
    assert.ok(!addon.calls.includes('loadModel'));
  });

  test('hands a draft model that changed while its own loaded to no library', async () => {
    const [modelPath, draftModelPath] = [file(), file()];
    const sealed = [modelPath, draftModelPath].map(seal);
    const addon = createFakeAddon({ onLoad: () => truncateSync(draftModelPath, 3) });
    const opening = openLocalEngine({
      ...{ addon, abi: emptyAbi, library },
      options: engineOptions({
        ...{ modelPath, sealed },
        speculation: { lookup: false, draftModelPath, mostTokens: 4 },
      }),
    });
    await assert.rejects(opening, {
      code: 'model_file_changed',
      details: { path: draftModelPath },
    });
    assert.equal(addon.calls.filter((call) => call === 'loadModel').length, 1);
  });

  test('opens what is as it was', async () => {
    const modelPath = file();
    const { addon, opening } = open({ modelPath, sealed: [seal(modelPath)] });
    await (await opening).close();
    assert.ok(addon.calls.includes('loadModel'));
  });
});
