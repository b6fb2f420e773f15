import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { LibraryIdentity } from '../../src/engine/engine.js';
import type { WireError } from '../../src/engine/protocol.js';
import type { HoshikageError } from '../../src/errors.js';
import type { Identification, IdentifyInput } from '../../src/library/identify.js';
import { proofKey, recordProof } from '../../src/library/proofs.js';
import { LibraryService } from '../../src/library/service.js';
import { LibraryStore } from '../../src/library/store.js';
import { llamaFunctions, writeElf, writeLlama } from '../helpers/elf-file.js';
import { recordingLog } from '../helpers/recording-log.js';

let root = '';
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'hoshikage-library-')));
  mkdirSync(join(root, 'lib'));
  writeLlama(join(root, 'lib', 'libllama.so'), ['libggml.so']);
  writeElf(join(root, 'lib', 'libggml.so'));
});
afterEach(() => rmSync(root, { recursive: true }));

const identity: LibraryIdentity = {
  path: '/lib/libllama.so',
  version: '0.5.0',
  ggmlVersion: null,
  ggmlCommit: null,
  layout: { model: 'M10', context: 'C11' },
  bracket: [1, 2],
  minimal: false,
  unknownSymbols: [],
  samplers: { penalties: null, dry: null },
  devices: [],
};

const good: Identification = { verdict: { identity, error: null }, certain: true };

function bad(code: WireError['code'], certain: boolean): Identification {
  const error = { code, details: { reason: 'evidence' }, reason: 'evidence' };
  return { verdict: { identity: null, error }, certain };
}

/** A service whose probe gives `answer`, and what the probe was asked. */
function setUp(
  answer: (input: IdentifyInput) => Promise<Identification>,
  libPath?: string,
  refusalLastsMs?: number,
) {
  const asked: IdentifyInput[] = [];
  const log = recordingLog();
  const service = new LibraryService({
    places: {
      libPath: libPath ?? null,
      libDir: join(root, 'lib'),
      platform: 'linux',
      arch: 'x64',
      searchPath: '',
      packageRoots: [],
    },
    cacheDir: join(root, 'cache'),
    env: {},
    ...(refusalLastsMs !== undefined && { refusalLastsMs }),
    log,
    identify: (input) => {
      asked.push(input);
      return answer(input);
    },
  });
  return { service, asked, log };
}

const patient = () => AbortSignal.timeout(10_000);

test('while the probe runs the state is checking, and ready waits for it', async () => {
  let answer = (_: Identification): void => {};
  const { service, asked } = setUp(
    () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  );
  assert.equal(service.status().state, 'checking');
  const ready = service.ready(patient());
  while (asked.length === 0) await new Promise(setImmediate);
  assert.equal(service.status().path, join(root, 'lib', 'libllama.so'));
  assert.deepEqual(asked[0]?.files.preload, [join(root, 'lib', 'libggml.so')]);
  answer(good);
  const status = await ready;
  assert.deepEqual([status.state, status.origin], ['ok', 'config']);
  assert.equal(status.identity?.layout.context, 'C11');
  await service.close();
});

test('the path is logged with the reason at start', async () => {
  const { service, log } = setUp(async () => good);
  await service.ready(patient());
  const line = log.records.find((record) => record.message === 'libllama');
  assert.match(JSON.stringify(line?.fields), /found in .*lib/);
  await service.close();
});

test('a verdict is remembered: the next start asks no probe', async () => {
  const first = setUp(async () => good);
  await first.service.ready(patient());
  await first.service.close();
  const second = setUp(async () => bad('library_incompatible', true));
  assert.equal((await second.service.ready(patient())).state, 'ok');
  assert.equal(second.asked.length, 0);
  await second.service.close();
});

test('a refusal keeps its evidence; an uncertain one is asked again at the next start', async () => {
  const first = setUp(async () => bad('library_incompatible', false));
  await assert.rejects(first.service.ready(patient()), {
    code: 'library_incompatible',
    details: { reason: 'evidence' },
  });
  assert.equal(first.service.status().state, 'refused');
  assert.ok(first.log.records.some((line) => line.level === 'error'));
  const second = setUp(async () => good);
  assert.equal((await second.service.ready(patient())).state, 'ok');
});

test('a file that is there but cannot be opened is refused, not missing', async () => {
  const { service } = setUp(async () => bad('library_not_found', false));
  await assert.rejects(service.ready(patient()), { code: 'library_incompatible' });
  assert.equal(service.status().state, 'refused');
});

test('what the scan refuses is never opened, and the refusal has a Japanese half too', async () => {
  writeElf(join(root, 'lib', 'libllama.so'), [], null, { exports: ['deflate'] });
  const { service, asked } = setUp(async () => good);
  await assert.rejects(service.ready(patient()), (error: HoshikageError) => {
    assert.equal(error.code, 'library_incompatible');
    assert.match(String(error.details.reason_ja), /libllama ではありません/);
    return true;
  });
  assert.deepEqual([asked.length, service.status().state], [0, 'refused']);
});

test('a library that breaks after its verdict is refused before an engine opens it', async () => {
  const { service } = setUp(async () => good);
  await service.ready(patient());
  rmSync(join(root, 'lib', 'libggml.so'));
  await assert.rejects(service.files(patient()), { code: 'library_incompatible' });
});

test('functions newer than our table are in the status, and reach probe and engine', async () => {
  const exports = [...llamaFunctions(), 'llama_from_tomorrow'];
  writeLlama(join(root, 'lib', 'libllama.so'), ['libggml.so'], { exports });
  const { service, asked } = setUp(async () => good);
  const { scan } = await service.ready(patient());
  assert.deepEqual(scan?.unknownSymbols, ['llama_from_tomorrow']);
  assert.ok(scan?.bracket);
  const files = await service.files(patient());
  assert.deepEqual(files.unknownSymbols, ['llama_from_tomorrow']);
  assert.deepEqual(asked[0]?.files, files);
});

test('no libllama anywhere is missing, and the answer tells where it was searched', async () => {
  rmSync(join(root, 'lib'), { recursive: true });
  const { service } = setUp(async () => bad('library_not_found', false));
  await assert.rejects(service.ready(patient()), (error: Error) =>
    error.message.includes(join(root, 'lib')),
  );
  assert.equal(service.status().state, 'missing');
});

test('a HOSHIKAGE_LIB_PATH that holds nothing is missing, and no probe is asked', async () => {
  const { service, asked } = setUp(async () => good, join(root, 'nothing'));
  await assert.rejects(service.ready(patient()), { code: 'library_not_found' });
  assert.equal(service.status().state, 'missing');
  assert.equal(asked.length, 0);
});

test('recheck looks again', async () => {
  const { service } = setUp(async () => good, join(root, 'later'));
  await assert.rejects(service.ready(patient()), { code: 'library_not_found' });
  mkdirSync(join(root, 'later'));
  writeLlama(join(root, 'later', 'libllama.so'));
  service.recheck();
  assert.equal((await service.ready(patient())).state, 'ok');
  assert.equal((await service.files(patient())).path, join(root, 'later', 'libllama.so'));
});

test('a library whose files vanish after it was found is said to be gone, not still fine', async () => {
  const named = join(root, 'named');
  mkdirSync(named);
  writeLlama(join(named, 'libllama.so'));
  const { service } = setUp(async () => good, named);
  assert.equal((await service.ready(patient())).state, 'ok');
  rmSync(join(named, 'libllama.so'));
  await assert.rejects(service.files(patient()), { code: 'library_not_found' });
  const { state, error } = service.status();
  assert.deepEqual([state, error?.code], ['missing', 'library_not_found']);
  writeLlama(join(named, 'libllama.so'));
  service.recheck();
  assert.equal((await service.files(patient())).path, join(named, 'libllama.so'));
  await service.close();
});

test('a library whose files are replaced shows what it is now at the next load', async () => {
  const next = { ...identity, version: '0.6.0' };
  let answer = good;
  const { service, asked } = setUp(async () => answer);
  await service.ready(patient());
  answer = { verdict: { identity: next, error: null }, certain: true };
  writeLlama(join(root, 'lib', 'libllama.so'), ['libggml.so'], {
    exports: [...llamaFunctions(), 'llama_new'],
  });
  await service.files(patient());
  assert.equal(service.status().identity?.version, '0.6.0');
  assert.equal(asked.length, 2);
  await service.close();
});

test('a library put in its place after a refusal is used without a restart, once that is old', async () => {
  const eager = setUp(async () => good, join(root, 'later'), -1);
  const lazy = setUp(async () => good, join(root, 'later'), 60_000);
  for (const { service } of [eager, lazy]) {
    await assert.rejects(service.ready(patient()), { code: 'library_not_found' });
  }
  mkdirSync(join(root, 'later'));
  writeLlama(join(root, 'later', 'libllama.so'));
  assert.equal((await eager.service.ready(patient())).state, 'ok');
  await assert.rejects(lazy.service.ready(patient()), { code: 'library_not_found' });
});

test('waiting for the verdict ends with its signal, and with the service', async () => {
  const { service } = setUp(
    ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
      }),
  );
  const abort = new AbortController();
  const waiting = service.ready(abort.signal);
  abort.abort();
  await assert.rejects(waiting, { code: 'cancelled' });
  const other = service.ready(patient());
  await service.close();
  await assert.rejects(other, { code: 'cancelled' });
});

/** Puts a libllama of its own into `lib/<id>` and gives its path. */
function putInstalled(id: string): string {
  mkdirSync(join(root, 'lib', id));
  writeLlama(join(root, 'lib', id, 'libllama.so'));
  return join(root, 'lib', id, 'libllama.so');
}

/** Lets it pass, as `lib use` would. */
async function prove(path: string, minimal = false): Promise<void> {
  await recordProof(join(root, 'cache'), (await proofKey(path)) ?? '', { minimal });
}

test('use switches to a proved library, remembers it and tells who listens', async () => {
  const other = putInstalled('other');
  await prove(other);
  const { service } = setUp(async () => good);
  await service.ready(patient());
  let changes = 0;
  service.onChange(() => {
    changes += 1;
  });
  const status = await service.use('other', patient());
  assert.deepEqual([status.id, status.path, status.origin], ['other', other, 'active']);
  assert.equal((await service.files(patient())).path, other);
  assert.equal(changes, 1);
  assert.deepEqual((await service.store.active()).active, { id: 'other', minimal: false });
  await service.close();
  // The next server starts with it, and from there the way back is open.
  const next = setUp(async () => good).service;
  assert.equal((await next.ready(patient())).path, other);
  const back = await next.use(null, patient());
  assert.deepEqual([back.id, back.origin], [null, 'config']);
  assert.deepEqual((await next.store.active()).active, null);
  await next.close();
});

test('use refuses what did not pass, is not there or cannot be identified, and nothing changes', async () => {
  const unproved = putInstalled('unproved');
  const broken = putInstalled('broken');
  await prove(broken);
  const { service } = setUp(async ({ files }) =>
    files.path === broken ? bad('library_incompatible', true) : good,
  );
  await service.ready(patient());
  service.onChange(() => assert.fail('nothing has changed'));
  await assert.rejects(service.use('unproved', patient()), { code: 'library_unproved' });
  await assert.rejects(service.use('nothing', patient()), { code: 'library_unknown' });
  await assert.rejects(service.use('../lib/broken', patient()), { code: 'library_unknown' });
  await assert.rejects(service.use('broken', patient()), { code: 'library_incompatible' });
  // A proof belongs to files: another file in the same place has none.
  await prove(unproved);
  writeElf(unproved, ['libm.so.6']);
  await assert.rejects(service.use('unproved', patient()), { code: 'library_unproved' });
  assert.equal(service.status().path, join(root, 'lib', 'libllama.so'));
  assert.deepEqual(await new LibraryStore(join(root, 'lib')).active(), { active: null });
  await service.close();
});

test('use refuses where HOSHIKAGE_LIB_PATH decides', async () => {
  const other = putInstalled('other');
  await prove(other);
  const { service } = setUp(async () => good, join(root, 'lib'));
  await assert.rejects(service.use('other', patient()), { code: 'library_pinned' });
  await service.close();
});

test('a library that passed in the minimal mode is used in it, and only it', async () => {
  const other = putInstalled('other');
  await prove(other, true);
  const { service, asked } = setUp(async () => good);
  await service.ready(patient());
  assert.equal((await service.files(patient())).allowUnknown, false);
  await service.use('other', patient());
  assert.deepEqual(
    asked.map(({ files }) => files.allowUnknown),
    [false, true],
  );
  assert.equal((await service.files(patient())).allowUnknown, true);
  await service.close();
  const next = setUp(async () => good).service;
  await next.ready(patient());
  assert.equal((await next.files(patient())).allowUnknown, true);
  await next.close();
});

test('switches come one after the other, and a closing service ends the one that runs', async () => {
  for (const id of ['one', 'two']) await prove(putInstalled(id));
  const { service } = setUp(
    ({ files, signal }) =>
      new Promise((resolve, reject) => {
        if (!files.path.includes('two')) resolve(good);
        if (signal.aborted) reject(new Error('aborted'));
        signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
      }),
  );
  await service.ready(patient());
  const [one, two] = [service.use('one', patient()), service.use('two', patient())];
  assert.equal((await one).id, 'one');
  const ended = assert.rejects(two);
  await service.close();
  await ended;
  assert.equal((await service.store.active()).active?.id, 'one');
});

test('a chosen library whose files changed since it passed is used, and said to be so', async () => {
  const other = putInstalled('other');
  await prove(other);
  await new LibraryStore(join(root, 'lib')).activate('other');
  const warned = ({ log }: ReturnType<typeof setUp>) =>
    log.records.filter(({ level, message }) => level === 'warn' && /since it passed/.test(message));
  const same = setUp(async () => good);
  await same.service.ready(patient());
  await same.service.close();
  assert.deepEqual(warned(same), []);
  utimesSync(other, 1, 1);
  const changed = setUp(async () => good);
  assert.equal((await changed.service.ready(patient())).path, other);
  await changed.service.close();
  assert.equal(warned(changed).length, 1);
});
