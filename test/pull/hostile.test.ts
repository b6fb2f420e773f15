/** Servers that do wrong, or refuse: each with its reason, and with nothing wrong left behind. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { COMMIT, type FakeHub, fakeHub } from '../helpers/fake-hub.js';
import {
  askedRanges,
  assertRefused,
  FILE,
  hubWithModel,
  MODEL,
  OTHER,
  puller,
  REPO,
  sha256,
  TARGET,
} from '../helpers/puller.js';

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
    assert.deepEqual(askedRanges(hub.asked), []);
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

  test('for long, or for ever, is given up', async (t) => {
    const hub = await hubWithModel(t);
    const to = puller(t, hub);
    answer(hub, 429, { 'retry-after': '3600' });
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_unreachable', /HTTP 429, try again in 3600 s/);
    answer(hub, 503);
    const before = hub.asked.length;
    await assertRefused(to.pull(`hf:${REPO}`), 'pull_unreachable', /\(HTTP 503\)$/);
    assert.equal(hub.asked.length - before, 3);
  });

  test('in the midst of a file is given up, and what came is kept', async (t) => {
    const hub = await hubWithModel(t);
    let parts = 0;
    hub.meddle = ({ url = '' }, response) => {
      if (!url.startsWith('/blobs/')) return false;
      parts += 1;
      return parts > 3 && Boolean(response.writeHead(503).end());
    };
    const pulling = puller(t, hub).pull(`hf:${REPO}`);
    await assertRefused(pulling, 'pull_unreachable', /HTTP 503\); what has come is kept/);
  });

  test('because nobody is there is told as a missing network or proxy', async (t) => {
    const to = puller(t, await hubWithModel(t));
    const pulling = to.pull('http://127.0.0.1:1/x.gguf');
    const words = /\(there is no way to the internet, or it needs a proxy.*ECONNREFUSED[^;]*\)$/;
    await assertRefused(pulling, 'pull_unreachable', words);
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
