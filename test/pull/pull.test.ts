/** Files that are brought from a hub or an address: whole, in parts, after breaks, and not at all. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { COMMIT, type FakeHub, fakeHub, noisyGguf, splitGguf } from '../helpers/fake-hub.js';
import { type Puller, puller } from '../helpers/puller.js';

const REPO = 'owner/repo';
const FILE = 'model-Q8_0.gguf';
const TARGET = join('owner', 'repo', FILE);
const MODEL = noisyGguf(600_000);
const OTHER = noisyGguf(600_000, 2);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function hubWithModel(context: TestContext): Promise<FakeHub> {
  const hub = await fakeHub(context);
  hub.offer(REPO, 'README.md', Buffer.from('# model'), { sha256: null });
  hub.offer(REPO, FILE, MODEL);
  return hub;
}

/** The ranges that the storage was asked for, without the look at the beginning. */
function ranges(hub: FakeHub): (readonly [number, number])[] {
  return hub.asked.flatMap(({ server, range }) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    const isLook = from === '0' && to === '23';
    return server === 'storage' && from !== undefined && !isLook
      ? [[Number(from), Number(to) + 1] as const]
      : [];
  });
}

const bytesOf = (spans: readonly (readonly [number, number])[]): number =>
  spans.reduce((sum, [from, to]) => sum + to - from, 0);

async function assertRefused(
  pulling: Promise<unknown>,
  code: string,
  words: RegExp = /^/,
): Promise<void> {
  await assert.rejects(pulling, (error: Error & { code?: string }) => {
    assert.equal(error.code, code, `${error.message}\n${error.stack}`);
    assert.match(error.message, words);
    return true;
  });
}

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
    const asked = ranges(hub).sort(([a], [b]) => a - b);
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
    const starts = ranges(hub).map(([from]) => from);
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
    const asked = bytesOf(ranges({ ...hub, asked: hub.asked.slice(before) }));
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

describe('a server that does not what it said', () => {
  /** Each with how it goes wrong, and the words that say so. */
  const CASES: readonly (readonly [string, FakeHub['manner'], RegExp])[] = [
    [
      'names another length than the listing',
      { total: 600_001 },
      /gives it 600001 bytes instead of/,
    ],
    ['sends another range than was asked for', { shift: 32 }, /another range came/],
    ['says a wrong Content-Length', { length: 12 }, /another range came|no GGUF/],
    ['compresses what was to come as it is', { encoding: 'gzip' }, /sent it as gzip/],
    [
      'has a longer file without ranges',
      { ranges: false, total: 700_000, extra: 1 },
      /700000 bytes instead/,
    ],
    [
      'sends more than it said, without saying where it ends',
      { ranges: false, total: null, extra: 5 },
      /more bytes than it had said/,
    ],
    [
      'sends less than it said, without saying where it ends',
      { ranges: false, total: null, breakAfter: 500_000 },
      /broke off|instead of/,
    ],
  ];
  for (const [what, manner, words] of CASES) {
    test(what, async (t) => {
      const hub = await hubWithModel(t);
      hub.manner = manner;
      const to = puller(t, hub);
      await assertRefused(to.pull(`hf:${REPO}`), 'pull_invalid', words);
      assert.ok(!to.files().includes(TARGET));
    });
  }

  test('does all this only after it was looked at', async (t) => {
    const hub = await hubWithModel(t);
    for (const [manner, words] of [
      [{ total: MODEL.length + 1 }, /now gives it \d+ bytes instead of/],
      [{ shift: 32 }, /another range came/],
      [{ length: 12 }, /another range came/],
      [{ length: null, extra: 5 }, /more bytes than it had said/],
      [{ encoding: 'br' }, /sent it as br/],
    ] as const) {
      hub.meddle = ({ headers }) => {
        hub.manner = headers.range === 'bytes=0-23' ? {} : manner;
        return false;
      };
      const to = puller(t, hub);
      await assertRefused(to.pull(`hf:${REPO}`), 'pull_invalid', words);
      assert.ok(!to.files().includes(TARGET));
    }
  });

  test('has a shorter file than it lists', async (t) => {
    const hub = await hubWithModel(t);
    hub.offer(REPO, FILE, MODEL, { size: MODEL.length + 100 });
    const to = puller(t, hub);
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_invalid', /bytes instead of/);
    assert.deepEqual(to.files(), []);
  });

  test('has other bytes than its hash says: nothing of them is kept', async (t) => {
    const hub = await hubWithModel(t);
    hub.offer(REPO, FILE, MODEL, { sha256: sha256(OTHER) });
    const to = puller(t, hub);
    const words = new RegExp(`SHA-256 is ${sha256(MODEL)} instead of ${sha256(OTHER)}; .*deleted`);
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_invalid', words);
    assert.deepEqual(to.files(), []);
  });

  test('names one hash in the listing and another on the way', async (t) => {
    const hub = await hubWithModel(t);
    hub.meddle = ({ url = '' }, response) => {
      if (!url.includes('/resolve/')) return false;
      const location = `${hub.storage}/blobs/${sha256(MODEL)}`;
      const headers = { location, 'x-linked-etag': `"${sha256(OTHER)}"` };
      response.writeHead(302, headers).end();
      return true;
    };
    const to = puller(t, hub);
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_invalid', /offers another file/);
    assert.deepEqual(to.files(), []);
  });

  test('sends a web page: refused at its first bytes, with nothing written', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { type: 'text/html; charset=utf-8' };
    const page = Buffer.from(`<!doctype html>${' '.repeat(5000)}`);
    const to = puller(t, hub);
    const words = /no GGUF file \(does not begin with GGUF; the server sent text\/html\)/;
    await assertRefused(to.pull(hub.put('x.gguf', page)), 'pull_invalid', words);
    await assertRefused(
      to.pull(hub.put('y.gguf', Buffer.from('GGUF'))),
      'pull_invalid',
      /too short/,
    );
    const big = Buffer.concat([Buffer.from('GGUF\0\0\0\x03'), Buffer.alloc(100)]);
    await assertRefused(to.pull(hub.put('z.gguf', big)), 'pull_invalid', /big-endian/);
    assert.deepEqual(to.files(), []);
    assert.deepEqual(ranges(hub), []);
  });

  test('has a file that begins well and is cut off', async (t) => {
    const hub = await hubWithModel(t);
    const to = puller(t, hub);
    const cut = hub.put('x.gguf', MODEL.subarray(0, 300_000));
    await assertRefused(to.pull(cut), 'pull_invalid', /no sound GGUF file \(.*beyond the file/);
    assert.deepEqual(to.files(), []);
  });

  test('lists names that lead elsewhere', async (t) => {
    const hub = await fakeHub(t);
    hub.offer(REPO, '../../../evil-Q4_K_M.gguf', MODEL);
    const to = puller(t, hub);
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_invalid', /its name is refused/);
    assert.deepEqual(to.files(), []);
    assert.equal(hub.asked.length, 1);
  });

  test('leads from outside to an address inside', async (t) => {
    const hub = await hubWithModel(t);
    hub.meddle = ({ url = '' }, response) => {
      if (!url.includes('/resolve/')) return false;
      response.writeHead(302, { location: 'http://169.254.169.254/latest/x.gguf' }).end();
      return true;
    };
    // To this test 127.0.0.1 is a host outside.
    const isPrivate = (address: string): boolean => address !== '127.0.0.1';
    const to = puller(t, hub, { web: { isPrivate } });
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_unsafe', /169\.254\.169\.254/);
    assert.deepEqual(to.files(), []);
  });

  test('answers with something that is no listing', async (t) => {
    const hub = await hubWithModel(t);
    for (const body of ['', '<html>', '[]', '{"sha":"x","siblings":[]}', `{"sha":"${COMMIT}"}`]) {
      hub.meddle = (_, response) => Boolean(response.writeHead(200).end(body));
      await assertRefused(puller(t, hub).pull(`hf:${REPO}`), 'pull_invalid', /no JSON|no listing/);
    }
  });
});

describe('a server that refuses', () => {
  const answer = (hub: FakeHub, status: number, headers: Record<string, string> = {}): void => {
    hub.meddle = (_, response) => Boolean(response.writeHead(status, headers).end('{}'));
  };

  test('says why, and what to do about it', async (t) => {
    const hub = await hubWithModel(t);
    const to = puller(t, hub);
    await assertRefused(
      to.pull('hf:nobody/nothing'),
      'pull_refused',
      /no such repository, or it is private/,
    );
    await assertRefused(to.pull(`hf:${REPO}:Q4_K_M`), 'pull_not_found', /Q4_K_M.*there is Q8_0/);
    answer(hub, 403, { 'x-error-code': 'GatedRepo' });
    const gated = new RegExp(`HTTP 403.*open ${hub.url}/${REPO}, agree, .* HF_TOKEN`);
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_refused', gated);
    answer(hub, 401);
    const known = puller(t, hub, { token: 'hf_secret' });
    await assertRefused(known.pull(`hf:${REPO}`), 'pull_refused', /HF_TOKEN may not read it/);
    await assertRefused(to.pull(`${hub.storage}/x.gguf`), 'pull_refused', /does not send/);
    answer(hub, 404, { 'x-error-code': 'RevisionNotFound' });
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_not_found', /no such revision/);
    answer(hub, 416);
    await assertRefused(to.pull(`${hub.storage}/x.gguf`), 'pull_invalid', /shorter than was said/);
    answer(hub, 418);
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_unreachable', /HTTP 418/);
    assert.deepEqual(to.files(), []);
  });

  test('for a moment is asked again, as late as it wants', async (t) => {
    const hub = await hubWithModel(t);
    let refusals = 0;
    hub.meddle = (_, response) => {
      if (refusals >= 2) return false;
      refusals += 1;
      const status = refusals === 1 ? 429 : 503;
      return Boolean(response.writeHead(status, { 'retry-after': '0' }).end());
    };
    const to = puller(t, hub);
    await to.pull(`hf:${REPO}`);
    assert.ok(to.read(TARGET).equals(MODEL));
    assert.equal(refusals, 2);
  });

  test('for long, or for ever, is given up, and what came is kept', async (t) => {
    const hub = await hubWithModel(t);
    const to = puller(t, hub);
    answer(hub, 429, { 'retry-after': '3600' });
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_unreachable', /HTTP 429, try again in 3600 s/);
    answer(hub, 503);
    const before = hub.asked.length;
    await assertRefused(
      to.pull(`hf:${REPO}`),
      'pull_unreachable',
      /HTTP 503.*what has come is kept/,
    );
    assert.equal(hub.asked.length - before, 3);
  });

  test('all connections but one gets one', async (t) => {
    const hub = await hubWithModel(t);
    hub.manner = { chunkBytes: 8192, pauseMs: 1 };
    let open = 0;
    hub.meddle = ({ url = '' }, response) => {
      if (!url.startsWith('/blobs/')) return false;
      if (open > 0) return Boolean(response.writeHead(503).end());
      open += 1;
      response.once('close', () => {
        open -= 1;
      });
      return false;
    };
    const to = puller(t, hub);
    await to.pull(`hf:${REPO}`);
    assert.ok(to.read(TARGET).equals(MODEL));
  });

  test('to say anything is given up', async (t) => {
    const hub = await hubWithModel(t);
    hub.meddle = () => true;
    const to = puller(t, hub, { web: { silenceMs: 100 }, client: { tries: 1 } });
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_unreachable', /Timeout/i);
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

  test('that is here in the same length is taken for the same', async (t) => {
    const hub = await hubWithModel(t);
    const to = puller(t, hub);
    const url = hub.put('x.gguf', MODEL);
    await to.pull(url);
    assert.equal((await to.pull(url)).already, true);
    hub.put('x.gguf', noisyGguf(700_000));
    await assertRefused(to.pull(url), 'pull_exists');
    assert.equal((await to.pull(url, { force: true })).bytes, noisyGguf(700_000).length);
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
