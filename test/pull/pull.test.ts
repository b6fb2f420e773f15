/** Files that are brought from a hub or an address: whole, in parts, and after breaks. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { COMMIT, fakeHub, noisyGguf, splitGguf } from '../helpers/fake-hub.js';
import {
  askedRanges,
  assertRefused,
  FILE,
  hubWithModel,
  MODEL,
  OTHER,
  type Puller,
  puller,
  REPO,
  sha256,
  TARGET,
} from '../helpers/puller.js';

/** The note of where a file at an address came from. */
const ORIGIN = join('127.0.0.1', '.x.gguf.origin.json');

const bytesOf = (spans: readonly (readonly [number, number])[]): number =>
  spans.reduce((sum, [from, to]) => sum + to - from, 0);

/** Pulls until so many bytes are here, and is interrupted then. */
async function pullPart(from: Puller, source: string, bytes: number): Promise<void> {
  const abort = new AbortController();
  const watch = {
    progress: (_: string, received: number) => void (received >= bytes && abort.abort()),
    checking: () => {},
    note: () => {},
  };
  await assertRefused(from.pull(source, { watch, signal: abort.signal }), 'cancelled');
}

describe('a file of a repository', () => {
  test('comes over several connections, each byte once, and is the file', async (t) => {
    const hub = await hubWithModel(t);
    const to = puller(t, hub);
    const pulled = await to.pull(`hf:${REPO}`);
    assert.deepEqual(pulled, { path: join(to.root, TARGET), bytes: MODEL.length, already: false });
    assert.deepEqual(to.files(), [TARGET]);
    assert.ok(to.read(TARGET).equals(MODEL));
    const asked = askedRanges(hub.asked).sort(([a], [b]) => a - b);
    assert.ok(asked.length > 4, `${asked.length} ranges`);
    assert.equal(asked[0]?.[0], 0);
    for (const [index, [, end]] of asked.entries()) {
      assert.equal(asked[index + 1]?.[0] ?? MODEL.length, end);
    }
    assert.deepEqual([to.progress[0], to.progress.at(-1)], [0, MODEL.length]);
    assert.deepEqual(to.notes, []);
    // The commit that was listed, whatever the branch is by now.
    const files = hub.asked.filter(({ path }) => path.includes('/resolve/'));
    assert.ok(files.every(({ path }) => path.includes(`/resolve/${COMMIT}/`)));
  });

  test('that is here with the right hash is not downloaded; another one is not replaced unasked', async (t) => {
    const hub = await hubWithModel(t);
    const to = puller(t, hub);
    mkdirSync(join(to.root, dirname(TARGET)), { recursive: true });
    writeFileSync(join(to.root, TARGET), MODEL);
    assert.equal((await to.pull(`hf:${REPO}`)).already, true);
    assert.deepEqual(
      hub.asked.filter(({ server }) => server === 'storage'),
      [],
    );
    writeFileSync(join(to.root, TARGET), OTHER);
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_exists', /--force/);
    assert.ok(to.read(TARGET).equals(OTHER));
    assert.equal((await to.pull(`hf:${REPO}`, { force: true })).already, false);
    assert.ok(to.read(TARGET).equals(MODEL));
    assert.deepEqual(to.files(), [TARGET]);
  });

  test('is asked for with the token by the hub alone', async (t) => {
    const hub = await hubWithModel(t);
    await puller(t, hub, { token: 'hf_secret' }).pull(`hf:${REPO}`);
    const keys = new Set(
      hub.asked.map(({ server, authorization }) => `${server} ${authorization}`),
    );
    assert.deepEqual([...keys].sort(), ['hub Bearer hf_secret', 'storage undefined']);
    const elsewhere = puller(t, hub, { token: 'hf_secret', endpoint: 'http://hub.example' });
    await elsewhere.pull(hub.put('x.gguf', MODEL));
    assert.equal(hub.asked.at(-1)?.authorization, undefined);
  });

  test('that is split comes whole, each part checked to be what it is called', async (t) => {
    const hub = await fakeHub(t);
    const [first, second, third] = splitGguf(3, 50_000);
    assert.ok(first && second && third);
    const name = (part: number): string => `Q8_0/m-0000${part}-of-00003.gguf`;
    for (const [index, part] of [first, second, third].entries()) {
      hub.offer(REPO, name(index + 1), part);
      hub.offer('owner/mixed', name(index + 1), index === 0 ? first : third);
    }
    const to = puller(t, hub);
    const { path, bytes } = await to.pull(`hf:${REPO}`);
    assert.equal(path, join(to.root, 'owner', 'repo', 'Q8_0', 'm-00001-of-00003.gguf'));
    assert.equal(bytes, first.length + second.length + third.length);
    assert.equal(to.files().length, 3);
    const mixed = to.pull('hf:owner/mixed');
    await assertRefused(
      mixed,
      'pull_invalid',
      /m-00002-of-00003.*part 3\/3 .* offered as part 2\/3/,
    );
    assert.deepEqual(
      to
        .files()
        .filter((file) => file.includes('mixed'))
        .map((file) => file.slice(-21)),
      ['m-00001-of-00003.gguf'],
    );
  });
});

describe('after a break', () => {
  test('every connection goes on from where it was', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { chunkBytes: 8192, breakAfter: 24_576 };
    const to = puller(t, hub);
    await to.pull(`hf:${REPO}`);
    assert.ok(to.read(TARGET).equals(MODEL));
    const starts = askedRanges(hub.asked).map(([from]) => from);
    assert.ok(new Set(starts).size > MODEL.length / 32_768, 'ranges that began in the middle');
  });

  test('the next pull asks only for what is missing', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { chunkBytes: 8192, pauseMs: 1 };
    const to = puller(t, hub);
    await pullPart(to, `hf:${REPO}`, 200_000);
    assert.deepEqual(to.files(), [`${TARGET}.part`, `${TARGET}.part.json`, `${TARGET}.part.lock`]);
    const { done } = JSON.parse(to.read(`${TARGET}.part.json`).toString());
    const there = bytesOf(done);
    assert.ok(there >= 200_000 && there < MODEL.length, `${there} bytes`);
    for (const [from, end] of done) {
      assert.ok(to.read(`${TARGET}.part`).subarray(from, end).equals(MODEL.subarray(from, end)));
    }
    const before = hub.asked.length;
    await to.pull(`hf:${REPO}`);
    assert.ok(to.read(TARGET).equals(MODEL));
    const asked = bytesOf(askedRanges(hub.asked.slice(before)));
    assert.equal(asked, MODEL.length - there);
    assert.deepEqual(to.notes, [`resumed ${REPO}/${FILE}`]);
    assert.deepEqual(to.files(), [TARGET]);
  });

  test('a file that has changed on the hub is begun anew', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { chunkBytes: 8192, pauseMs: 1 };
    const to = puller(t, hub);
    await pullPart(to, `hf:${REPO}`, 200_000);
    hub.offer(REPO, FILE, OTHER);
    await to.pull(`hf:${REPO}`);
    assert.ok(to.read(TARGET).equals(OTHER));
    assert.deepEqual(to.notes, [`changed ${REPO}/${FILE}`]);
  });

  test('a state that says nothing sound is no reason to trust the bytes', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { chunkBytes: 8192, pauseMs: 1 };
    const to = puller(t, hub);
    const state = join(to.root, `${TARGET}.part.json`);
    for (const spoil of [
      () => writeFileSync(state, '{"format":1,"size":'),
      () => writeFileSync(state, '[]'),
      () => writeFileSync(state, readFileSync(state, 'utf8').replace('"format":1', '"format":2')),
      () =>
        writeFileSync(state, readFileSync(state, 'utf8').replace('"done":[[', '"done":[[9,8],[')),
      () => truncateSync(join(to.root, `${TARGET}.part`), 1000),
    ]) {
      await pullPart(to, `hf:${REPO}`, 200_000);
      spoil();
      to.notes.length = 0;
      await pullPart(to, `hf:${REPO}`, 200_000);
      assert.deepEqual(to.notes, []);
    }
    await to.pull(`hf:${REPO}`);
    assert.ok(to.read(TARGET).equals(MODEL));
  });

  test('a part that is no file is left alone', async (t) => {
    const hub = await hubWithModel(t);
    const to = puller(t, hub);
    mkdirSync(join(to.root, `${TARGET}.part`), { recursive: true });
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_unwritable', /\.part/);
  });
});

test('what a kill left behind beside a file that was placed goes with the next pull', async (t) => {
  const hub = await hubWithModel(t);
  const to = puller(t, hub);
  await to.pull(`hf:${REPO}`);
  const temporary = join('owner', 'repo', `.${FILE}.part.json.0123456789ab.tmp`);
  for (const file of [`${TARGET}.part.json`, `${TARGET}.part.lock`, temporary]) {
    writeFileSync(join(to.root, file), '{}');
  }
  assert.equal((await to.pull(`hf:${REPO}`)).already, true);
  assert.deepEqual(to.files(), [TARGET]);
});

describe('a server without ranges', () => {
  test('sends the file as one stream, which a break begins anew', async (t) => {
    const hub = await hubWithModel(t);
    let broken = 0;
    hub.meddle = ({ url = '' }) => {
      if (url.startsWith('/blobs/'))
        hub.manner = { ranges: false, breakAfter: broken++ < 2 ? 200_000 : Infinity };
      return false;
    };
    const to = puller(t, hub);
    await to.pull(`hf:${REPO}`);
    assert.ok(to.read(TARGET).equals(MODEL));
    assert.deepEqual(to.notes, [`no_ranges ${REPO}/${FILE}`]);
  });

  test('that never gets to the end is given up with the reason', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { ranges: false, breakAfter: 200_000 };
    const to = puller(t, hub);
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_invalid', /broke off 3 times .*cannot go on/);
  });

  test('may not even say how long the file is', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { ranges: false, total: null };
    const to = puller(t, hub);
    await to.pull(hub.put('x.gguf', MODEL));
    assert.ok(to.read(join('127.0.0.1', 'x.gguf')).equals(MODEL));
    assert.deepEqual(to.notes, ['no_ranges x.gguf', 'no_hash x.gguf']);
    // It may not go on until the disk is full.
    const freeBytes = async (): Promise<number> => 256 * 2 ** 20 + 300_000;
    const endless = puller(t, hub);
    const pulling = endless.pull(hub.put('y.gguf', MODEL), { freeBytes });
    await assertRefused(pulling, 'pull_invalid', /room for 293\.0 KiB only/);
    assert.deepEqual(endless.files(), []);
  });
});

describe('a file at an address', () => {
  test('is gone on with only while its ETag, or its date, is the same', async (t) => {
    const hub = await hubWithModel(t);
    const slow = { chunkBytes: 8192, pauseMs: 1 };
    const url = hub.put('x.gguf', MODEL);
    for (const [before, after, note] of [
      [{ etag: '"one"' }, { etag: '"one"' }, 'resumed x.gguf'],
      [{ etag: '"one"' }, { etag: '"two"' }, 'changed x.gguf'],
      [{ etag: null, modified: 'Mon, 05 Jan 2026 00:00:00 GMT' }, {}, 'resumed x.gguf'],
      [{ etag: null }, {}, 'changed x.gguf'],
      [{ etag: 'W/"weak"' }, {}, 'changed x.gguf'],
    ] as const) {
      hub.manner = { ...slow, ...before };
      const to = puller(t, hub);
      await pullPart(to, url, 200_000);
      hub.manner = { ...hub.manner, ...after };
      await to.pull(url);
      assert.ok(to.read(join('127.0.0.1', 'x.gguf')).equals(MODEL));
      assert.deepEqual(to.notes, [note, 'no_hash x.gguf']);
    }
  });

  test('that changes while it comes is begun anew, and given up where it never stays the same', async (t) => {
    const hub = await hubWithModel(t);
    const url = hub.put('x.gguf', MODEL);
    let answers = 0;
    hub.meddle = () => {
      answers += 1;
      if (answers === 4) hub.put('x.gguf', OTHER);
      return false;
    };
    const to = puller(t, hub);
    await to.pull(url);
    assert.ok(to.read(join('127.0.0.1', 'x.gguf')).equals(OTHER));
    assert.deepEqual(to.notes, ['changed x.gguf', 'no_hash x.gguf']);
    hub.meddle = () => {
      answers += 1;
      hub.manner = { etag: `"${answers}"` };
      return false;
    };
    const never = puller(t, hub);
    await assertRefused(never.pull(url), 'pull_unreachable', /keeps changing/);
  });

  test('is checked by the hash that was given, or that a hub names on the way', async (t) => {
    const hub = await hubWithModel(t);
    const to = puller(t, hub, { endpoint: 'http://hub.example' });
    const url = hub.put('x.gguf', MODEL);
    const wrong = to.pull(url, { sha256: sha256(OTHER) });
    await assertRefused(wrong, 'pull_invalid', /SHA-256/);
    await to.pull(url, { sha256: sha256(MODEL) });
    await to.pull(`${hub.url}/${REPO}/resolve/main/${FILE}`);
    assert.deepEqual(to.notes, []);
    assert.equal((await to.pull(url, { sha256: sha256(MODEL) })).already, true);
    assert.equal((await to.pull(`${hub.url}/${REPO}/resolve/main/${FILE}`)).already, true);
  });

  test('is here only where it came from that very address, and is still the same there', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { etag: '"one"' };
    const to = puller(t, hub);
    const url = hub.put('x.gguf', MODEL);
    await to.pull(url);
    assert.equal((await to.pull(url)).already, true);
    hub.manner = { etag: '"two"' };
    await assertRefused(to.pull(url), 'pull_exists', /--force .*--dir .*--alias/);
    assert.equal((await to.pull(url, { force: true })).already, false);
    assert.equal((await to.pull(url)).already, true);
    hub.put('x.gguf', noisyGguf(700_000));
    await assertRefused(to.pull(url), 'pull_exists');
  });

  test('of another folder is another one, though host, name, length and ETag are the same', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { etag: '"one"' };
    const to = puller(t, hub);
    await to.pull(hub.put('a/x.gguf', MODEL));
    const other = hub.put('b/x.gguf', OTHER);
    await assertRefused(to.pull(other), 'pull_exists');
    await assertRefused(to.pull(`${hub.storage}/files/a/x.gguf?key=secret`), 'pull_exists');
    assert.ok(to.read(join('127.0.0.1', 'x.gguf')).equals(MODEL));
    // What replaces it with a known hash takes the note of the first one away.
    await to.pull(other, { force: true, sha256: sha256(OTHER) });
    await assertRefused(to.pull(`${hub.storage}/files/a/x.gguf`), 'pull_exists');
  });

  test('that nobody can tell apart from another one is asked about', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { etag: null };
    const to = puller(t, hub);
    const url = hub.put('x.gguf', MODEL);
    await to.pull(url);
    await assertRefused(to.pull(url), 'pull_exists');
    hub.manner = { etag: null, modified: 'Mon, 05 Jan 2026 00:00:00 GMT' };
    await to.pull(url, { force: true });
    assert.equal((await to.pull(url)).already, true);
    for (const said of [
      '[]',
      '{',
      '{"format":1}',
      to.read(ORIGIN).toString().replace('1,', '2,'),
    ]) {
      writeFileSync(join(to.root, ORIGIN), said);
      await assertRefused(to.pull(url), 'pull_exists');
    }
  });
});

test('too little space is told before anything is written; what is here already counts', async (t) => {
  const hub = await hubWithModel(t);
  const to = puller(t, hub);
  const freeBytes = async (): Promise<number> => 450_000;
  await assertRefused(to.pull(`hf:${REPO}`, { freeBytes }), 'disk_full', /needed, 439\.5 KiB free/);
  assert.deepEqual(to.files(), []);
  hub.manner = { chunkBytes: 8192, pauseMs: 1 };
  await pullPart(to, `hf:${REPO}`, 200_000);
  await to.pull(`hf:${REPO}`, { freeBytes });
  assert.ok(to.read(TARGET).equals(MODEL));
});

test('two pulls of one file do not mix: the second is told of the first', async (t) => {
  const hub = await hubWithModel(t);
  hub.manner = { chunkBytes: 8192, pauseMs: 60 };
  const to = puller(t, hub);
  const ends = await Promise.allSettled([to.pull(`hf:${REPO}`), to.pull(`hf:${REPO}`)]);
  const failed = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason.code] : []));
  assert.deepEqual(failed, ['pull_busy']);
  assert.ok(to.read(TARGET).equals(MODEL));
  assert.deepEqual(to.files(), [TARGET]);
  assert.equal((await to.pull(`hf:${REPO}`)).already, true);
});
