/** `hoshikage doctor` as a process: what it prints, and what it ends with. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { describe, it } from 'node:test';
import { CHECKS } from '../../src/doctor/check.js';
import { commandUser } from '../helpers/command.js';
import { whyNoLibrary } from '../helpers/default-library.js';

const FREE = { PORT: '0' };

/** What --json prints. */
interface Report {
  readonly ok: boolean;
  readonly checks: readonly {
    readonly id: string;
    readonly state: string;
    readonly title: { readonly ja: string; readonly en: string };
    readonly detail: { readonly ja: string; readonly en: string };
    readonly remedy: { readonly ja: string; readonly en: string } | null;
  }[];
}

describe('hoshikage doctor', { concurrency: 2 }, () => {
  it('finds nothing broken for a new user, and ends with 0', {
    skip: whyNoLibrary(),
  }, async (context) => {
    const user = commandUser(context);
    const { code, stdout, stderr } = await user.run(['doctor', '--lang', 'ja'], FREE);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^実行環境\n {2}✓ Node\.js +v\d/);
    assert.match(stdout, /\nlibllama\n {2}✓ 場所 +.*libllama/);
    assert.match(stdout, /✓ デバイス +CPU \[cpu\]/);
    assert.doesNotMatch(stdout, /✗/);
    assert(!stdout.includes('\u001b'), 'no colours where nobody watches');
    assert.equal(stderr, '');
  });

  it('prints JSON in both languages, with a name for each check', async (context) => {
    const user = commandUser(context);
    const env = { ...FREE, HOSHIKAGE_LIB_PATH: `${user.home}/nowhere` };
    const { code, stdout } = await user.run(['doctor', '--json'], env);
    assert.equal(code, 1);
    // Written by the command under test; the assertions check the parts they use.
    const report = JSON.parse(stdout) as Report;
    assert.equal(report.ok, false);
    for (const { id, title, detail } of report.checks) {
      assert(Object.hasOwn(CHECKS, id), id);
      for (const text of [title, detail]) assert(text.ja !== '' && text.en !== '', id);
    }
    const search = report.checks.find(({ id }) => id === 'library.search');
    assert.equal(search?.state, 'broken');
    assert.match(search?.remedy?.ja ?? '', /HOSHIKAGE_LIB_PATH を直すか/);
  });

  it('says how to choose again where the chosen library is gone', async (context) => {
    const user = commandUser(context);
    const chosen = { format: 1, active: { id: 'gone-1', minimal: false } };
    user.writeFile(`${user.configDir}/lib/active.json`, JSON.stringify(chosen));
    const { code, stdout } = await user.run(['doctor', '--lang', 'en'], FREE);
    assert.equal(code, 1);
    assert.match(stdout, /✗ Place .*the chosen gone-1 is not installed any more/);
    assert.match(stdout, /→ Choose again with .* lib use <ID>/);
    assert.match(stdout, /- Opening +Not reached/);
  });

  it('shows everything that is wrong at once, each with its remedy', async (context) => {
    const user = commandUser(context);
    user.writeFile(user.mapFile, '{');
    user.writeFile(`${user.configDir}/.env`, 'N_CTX=lots\n');
    writeFileSync(`${user.home}/libllama.so`, 'not a library');
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    context.after(() => taken.close());
    // address() of a listening TCP server is an AddressInfo.
    const port = String((taken.address() as AddressInfo).port);
    const env = { PORT: port, HOSHIKAGE_LIB_PATH: `${user.home}/libllama.so` };
    const { code, stdout } = await user.run(['doctor', '--lang', 'en'], env);
    assert.equal(code, 1);
    assert.match(stdout, /✗ Before opening .*libllama\.so is a text, not a library/);
    assert.match(stdout, /✗ Values .*"lots" for the setting N_CTX/);
    assert.match(stdout, /✗ Map .*cannot be read/);
    assert.match(stdout, /✗ Port .*is used by another program\n +→ Stop it, or choose/);
    assert.match(stdout, /\nBroken: 4, warnings: \d\n$/);
  });
});
