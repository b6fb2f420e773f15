/** The file of a saved state: what is written comes back whole, and anything else does not. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { NativeLibrary, NativeState } from '../../src/engine/addon.js';
import {
  modelIdentity,
  readState,
  type StateOwner,
  stateKey,
  writeState,
} from '../../src/engine/state-file.js';
import { HoshikageError } from '../../src/errors.js';
import { until } from '../helpers/waiting.js';

const never = new AbortController().signal;
const KEY = '{"model":"a"}';
const state: NativeState = {
  tokens: Int32Array.of(1, 2, 2_000_000_000),
  ends: Int32Array.of(2, 3),
  parts: [Uint8Array.of(9, 8, 7), Uint8Array.of(6, 5)],
};
/** The same tokens with other bytes, in one part. */
const stateOf = (data: Uint8Array): NativeState => ({
  tokens: state.tokens,
  ends: Int32Array.of(state.tokens.length),
  parts: [data],
});
const bytesOf = ({ parts }: NativeState) => parts.map((part) => [...part]);

describe('the file of a state', () => {
  let folder = '';
  let path = '';
  let good: Buffer;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hoshikage-state-'));
    path = join(folder, 'state');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const problemOf = async (bytes: Uint8Array, key = KEY): Promise<string> => {
    const other = join(folder, 'other');
    await writeFile(other, bytes);
    const read = await readState(other, key);
    assert.ok('problem' in read);
    return read.problem;
  };

  it('comes back as it was written, is its owner’s only and leaves nothing beside it', async () => {
    const bytes = await writeState(path, KEY, state, never);
    good = await readFile(path);
    assert.equal(good.length, bytes);
    assert.deepEqual(await readdir(folder), ['state']);
    if (process.platform !== 'win32') assert.equal((await stat(path)).mode & 0o777, 0o600);
    const read = await readState(path, KEY);
    assert.ok('state' in read);
    assert.deepEqual(read.state.tokens, state.tokens);
    assert.deepEqual(read.state.ends, state.ends);
    assert.deepEqual(bytesOf(read.state), bytesOf(state));
  });

  it('holds more than is read and written at once', async () => {
    const data = randomBytes(9 * 1024 * 1024 + 1);
    const large = join(folder, 'large');
    await writeState(large, KEY, stateOf(data), never);
    const read = await readState(large, KEY);
    assert.ok('state' in read && data.equals(read.state.parts[0] ?? data.subarray(1)));
    await rm(large);
  });

  it('is replaced whole, also where a view of a larger array is saved', async () => {
    const tokens = Int32Array.of(7, 8, 9, 10).subarray(1, 3);
    const view = Uint8Array.of(0, 1, 2).subarray(1);
    await writeState(path, KEY, { tokens, ends: Int32Array.of(2), parts: [view] }, never);
    const read = await readState(path, KEY);
    assert.ok('state' in read);
    assert.deepEqual([...read.state.tokens], [8, 9]);
    assert.deepEqual(bytesOf(read.state), [[1, 2]]);
  });

  it('is not used with one bit changed, wherever that is', async () => {
    for (let bit = 0; bit < good.length * 8; bit += 3) {
      const bad = Buffer.from(good);
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.notEqual(await problemOf(bad), '', `bit ${bit}`);
    }
  });

  it('is not used cut short, grown, empty, missing, or where it is none', async () => {
    for (let length = 0; length < good.length; length += 5) {
      assert.notEqual(await problemOf(good.subarray(0, length)), '');
    }
    assert.match(await problemOf(Buffer.concat([good, Buffer.of(0)])), /do not add up/);
    assert.match(await problemOf(Buffer.alloc(200, 'a')), /not a saved state/);
    const missing = await readState(join(folder, 'missing'), KEY);
    assert.ok('problem' in missing && missing.problem.includes('ENOENT'));
    const aFolder = await readState(folder, KEY);
    assert.ok('problem' in aFolder);
  });

  it('never lets a number in it ask for more memory than the file has', async () => {
    for (const at of [12, 16, 20, 24, 28]) {
      const bad = Buffer.from(good);
      bad.writeUInt32LE(0xffff_ffff, at);
      assert.match(await problemOf(bad), /do not add up/);
    }
  });

  it('is not used under another key, which is said', async () => {
    assert.match(await problemOf(good, '{"model":"b"}'), /another model, library or context/);
  });

  it('that cannot be written is an error with its path, and nothing is left behind', async () => {
    const nowhere = join(folder, 'no', 'such', 'state');
    await assert.rejects(writeState(nowhere, KEY, state, never), (error) => {
      assert.ok(error instanceof HoshikageError);
      assert.deepEqual([error.code, error.details.path], ['state_unwritable', nowhere]);
      return true;
    });
    const taken = join(folder, 'taken');
    await mkdir(join(taken, 'inside'), { recursive: true });
    await assert.rejects(writeState(taken, KEY, state, never), { code: 'state_unwritable' });
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.endsWith('.tmp')),
      [],
    );
  });

  it('that is given up half-way is an error, and nothing is left behind', async () => {
    const abort = new AbortController();
    const data = new Uint8Array(64 * 1024 * 1024);
    const large = join(folder, 'given-up');
    const writing = writeState(large, KEY, stateOf(data), abort.signal);
    const refused = assert.rejects(writing, { code: 'closed' });
    const mine = (names: readonly string[]) => names.filter((name) => name.startsWith('given-up'));
    await until('the file', async () => mine(await readdir(folder)).length > 0);
    abort.abort();
    await refused;
    assert.deepEqual(mine(await readdir(folder)), []);
  });

  it('is rid of what killed processes left of it, and of nothing else', async () => {
    const own = await mkdtemp(join(folder, 'own-'));
    // No process has so large a number.
    const kept = [`state.${process.pid}.01234567.tmp`, 'other.4194999.01234567.tmp', 'state.tmp'];
    for (const name of [...kept, 'state.4194999.01234567.tmp'])
      await writeFile(join(own, name), '');
    await writeState(join(own, 'state'), KEY, state, never);
    assert.deepEqual((await readdir(own)).sort(), [...kept, 'state'].sort());
    // A process id that is in use again is no excuse for a file that has not grown for an hour.
    const [mine = ''] = kept;
    const long = Date.now() / 1000 - 3601;
    await utimes(join(own, mine), long, long);
    await writeState(join(own, 'state'), KEY, state, never);
    assert.equal((await readdir(own)).includes(mine), false);
  });

  it('tells of every piece that it is written and read in', async () => {
    const data = randomBytes(9 * 1024 * 1024);
    const file = join(folder, 'pieces');
    let pieces = 0;
    const onPiece = (): void => {
      pieces += 1;
    };
    await writeState(file, KEY, stateOf(data), never, onPiece);
    assert.ok(pieces >= 3, `${pieces} pieces`);
    pieces = 0;
    assert.ok('state' in (await readState(file, KEY, onPiece)));
    assert.equal(pieces, 3);
    await rm(file);
  });
});

describe('the key of a state', () => {
  let folder = '';
  type Owner = Omit<StateOwner, 'model'> & { readonly modelPath: string };
  const keyOf = async ({ modelPath, ...rest }: Owner) =>
    stateKey({ ...rest, model: await modelIdentity(modelPath) });
  let owner: Owner;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hoshikage-key-'));
    const modelPath = join(folder, 'model.gguf');
    const libraryPath = join(folder, 'libllama.so');
    await writeFile(modelPath, 'a model');
    await writeFile(libraryPath, 'a library');
    const library: NativeLibrary = {
      path: libraryPath,
      version: '1',
      ggmlVersion: null,
      ggmlCommit: null,
      layout: { model: 'M1', context: 'C1' },
      bracket: [1, 2],
      devices: [],
      minimal: false,
      unknownSymbols: [],
      samplers: { penalties: null, dry: null },
    };
    const context = { contextTokens: 64, slots: 1, batchTokens: 32, typeK: 1, typeV: 1 };
    owner = { modelPath, library, context, tokensPerSlot: 64 };
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('changes with the files, with what the library is and with the shape of the cache', async () => {
    const { library, context } = owner;
    const keys = [
      await keyOf(owner),
      await keyOf({ ...owner, tokensPerSlot: 128 }),
      await keyOf({ ...owner, library: { ...library, version: '2' } }),
      await keyOf({ ...owner, library: { ...library, layout: { model: 'M1', context: 'C2' } } }),
      await keyOf({ ...owner, context: { ...context, typeK: 8 } }),
      await keyOf({ ...owner, context: { ...context, ropeFreqBase: 1e6 } }),
      await keyOf({ ...owner, modelPath: library.path }),
    ];
    await utimes(owner.modelPath, 1, 1);
    keys.push(await keyOf(owner));
    await writeFile(library.path, 'another library');
    keys.push(await keyOf(owner));
    assert.equal(new Set(keys).size, keys.length);
    assert.ok(!keys.includes(null));
  });

  it('changes with every part of a model that was split into several', async () => {
    const part = (index: number) => join(folder, `split-0000${index}-of-00003.gguf`);
    for (const index of [1, 2, 3]) await writeFile(part(index), 'a part');
    const split = { ...owner, modelPath: part(1) };
    const keys = [await keyOf(split)];
    for (const index of [2, 3]) {
      await utimes(part(index), 1, 1);
      keys.push(await keyOf(split));
    }
    assert.equal(new Set(keys).size, 3);
    await rm(part(3));
    assert.equal(await keyOf(split), null);
  });

  it('stays with what does not touch the cache, and is none where a file is gone', async () => {
    const { context } = owner;
    const key = await keyOf(owner);
    assert.equal(await keyOf({ ...owner, context: { ...context, threads: 7, slots: 3 } }), key);
    assert.equal(await keyOf({ ...owner, modelPath: join(folder, 'gone') }), null);
  });
});
