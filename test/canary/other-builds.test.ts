/**
 * The short form of `npm run test:libs`: the build that comes with the package and the oldest of the
 * matrix, identified, proved and compared. The old one is downloaded once; where the registry cannot be
 * reached, the tests that need it are skipped.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { inProject } from '../../scripts/root.js';
import { findLibrary } from '../../src/library/find.js';
import { whyNoLibrary } from '../helpers/default-library.js';
import { BUILDS } from '../libs/builds.js';
import { withTable } from '../libs/guide.js';
import { obtain, whyUnreachable } from '../libs/obtain.js';
import { type Proved, prove, relativeDifference } from '../libs/prove.js';

const DOWNLOAD_LIMIT_MS = 60_000;
const PROOF_LIMIT_MS = 120_000;

const isForUs = process.platform === 'linux' && process.arch === 'x64';
const why = whyNoLibrary() || (isForUs ? false : 'the matrix is of builds for Linux x64');

describe('Two builds of the matrix', { skip: why }, () => {
  const [oldest, packaged] = [BUILDS[0], BUILDS.at(-1)];
  const proved: Proved[] = [];
  let unreachable: string | null = null;
  let path = '';

  before(async () => {
    try {
      path = await obtain(oldest?.version ?? '', AbortSignal.timeout(DOWNLOAD_LIMIT_MS));
    } catch (error) {
      unreachable = whyUnreachable(error);
      if (unreachable === null) throw error;
    }
  });

  test('the newest is the one that the package depends on', () => {
    const text = readFileSync(inProject('package.json'), 'utf8');
    const { optionalDependencies } = JSON.parse(text);
    assert.equal(packaged?.version, optionalDependencies['@node-llama-cpp/linux-x64']);
  });

  test('the packaged one is what it is known to be, and passes the canary', async () => {
    assert.ok(packaged);
    const { platform, arch } = process;
    const places = { libPath: null, libDir: '/nowhere', platform, arch, searchPath: '' };
    const found = await findLibrary(places);
    const one = await prove(packaged, found.path, AbortSignal.timeout(PROOF_LIMIT_MS));
    assert.deepEqual(one.problems, []);
    proved.push(one);
  });

  test('so is the oldest one, and so does it', async (context) => {
    if (unreachable !== null) return context.skip(`no build: ${unreachable}`);
    assert.ok(oldest);
    const one = await prove(oldest, path, AbortSignal.timeout(PROOF_LIMIT_MS));
    assert.deepEqual(one.problems, []);
    proved.push(one);
  });

  test('their logits of random weights differ by less than a hundredth', (context) => {
    if (unreachable !== null) return context.skip(`no build: ${unreachable}`);
    const [one, other] = proved.map(({ logits }) => logits);
    assert.ok(one && other);
    const apart = relativeDifference(one, other);
    assert.ok(apart < 1e-2, String(apart));
    assert.ok(
      relativeDifference(
        one,
        other.map((x, i) => x * (i % 2 ? 1.03 : 0.97)),
      ) > 1e-2,
    );
  });

  test('the guide’s table is the matrix, and a changed one is noticed', () => {
    const guide = readFileSync(inProject('docs/LIBRARY_GUIDE.md'), 'utf8');
    assert.equal(withTable(guide, BUILDS), guide);
    const rows = [{ name: 'b1', version: '1.0.0', layout: { model: 'M0', context: 'C0' } }];
    const changed = withTable(guide, rows);
    assert.notEqual(changed, guide);
    assert.ok(changed.includes('| 1.0.0 | b1 | M0 / C0 |'));
    assert.equal(withTable(changed, rows), changed);
    assert.throws(() => withTable('no table', rows), /has no/);
  });
});
