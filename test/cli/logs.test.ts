/** `hoshikage logs`: the end of the log, over days, and what follows. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { LogFollower, lastLines } from '../../cli/log-files.js';
import { commandUser } from '../helpers/command.js';
import { until, within } from '../helpers/waiting.js';

/** A log of two days. */
function twoDays(context: TestContext): { log: string; first: string; second: string } {
  const folder = mkdtempSync(join(tmpdir(), 'hoshikage-logs-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const log = join(folder, 'h.log');
  const [first, second] = [`${log}.2026-01-30`, `${log}.2026-01-31`];
  writeFileSync(first, 'a1\na2\na3\n');
  writeFileSync(second, '星1\n星2\n');
  writeFileSync(join(folder, '.h.log.audit.json'), '{}');
  writeFileSync(`${log}.gz`, 'no log\n');
  mkdirSync(`${log}.2026-02-01`);
  return { log, first, second };
}

describe('the last lines of a log', () => {
  it('are taken from as many days as it needs', async (context) => {
    const { log } = twoDays(context);
    assert.equal((await lastLines(log, 1)).text, '星2\n');
    assert.equal((await lastLines(log, 2)).text, '星1\n星2\n');
    assert.equal((await lastLines(log, 3)).text, 'a3\n星1\n星2\n');
    assert.equal((await lastLines(log, 99)).text, 'a1\na2\na3\n星1\n星2\n');
    const none = await lastLines(log, 0);
    assert.deepEqual([none.text, none.end?.name], ['', 'h.log.2026-01-31']);
  });

  it('are whole in a large file, and one that is still being written counts', async (context) => {
    const { log, second } = twoDays(context);
    const line = `${'星影'.repeat(5000)}\n`;
    writeFileSync(second, `${line.repeat(8)}unfinished`);
    assert.equal((await lastLines(log, 3)).text, `${line.repeat(2)}unfinished`);
  });

  it('are none where there is no file', async (context) => {
    const { log } = twoDays(context);
    assert.deepEqual(await lastLines(`${log}/nowhere/x`, 5), { text: '', end: null });
  });
});

describe('a log that is followed', () => {
  it('goes on with the next day, across a cut character, and over a file that begins anew', async (context) => {
    const { log, second } = twoDays(context);
    const { end } = await lastLines(log, 0);
    const stop = new AbortController();
    context.after(() => stop.abort());
    let text = '';
    const reading = (async () => {
      for await (const more of new LogFollower(log, end).follow(stop.signal)) text += more;
    })();
    const seen = (wanted: string) => until(wanted, () => text.endsWith(wanted));
    const bytes = Buffer.from('影3\n');
    appendFileSync(second, bytes.subarray(0, 2));
    appendFileSync(second, bytes.subarray(2));
    await seen('影3\n');
    rmSync(`${log}.2026-02-01`, { recursive: true });
    appendFileSync(second, 'late\n');
    writeFileSync(`${log}.tmp`, '次の日\n');
    renameSync(`${log}.tmp`, `${log}.2026-02-01`);
    await seen('late\n次の日\n');
    writeFileSync(`${log}.2026-02-01`, 'new\n');
    await seen('new\n');
    stop.abort();
    await within(reading, 5000, 'end of following');
    assert.equal(text, '影3\nlate\n次の日\nnew\n');
  });
});

describe('hoshikage logs', { concurrency: 2 }, () => {
  it('shows the end of the file, and with -f what comes, until Ctrl-C', async (context) => {
    const user = commandUser(context);
    const file = join(user.home, 'logs/h.log.2026-01-31');
    user.writeFile(file, 'one\ntwo\nthree\n');
    const env = { LOG_FILE_PATH: '~/logs/h.log' };
    const { code, stdout } = await user.run(['logs', '-n', '2'], env);
    assert.deepEqual([code, stdout], [0, 'two\nthree\n']);
    const following = user.start(['logs', '--follow', '--lines', '1'], env);
    await until('the last line', () => following.stdout() === 'three\n', { deadlineMs: 30_000 });
    appendFileSync(file, 'four\n');
    await until('the next line', () => following.stdout() === 'three\nfour\n');
    following.child.kill('SIGINT');
    const end = await within(following.ended, 10_000, 'end of logs -f');
    assert.deepEqual([end.code, end.stderr], [0, '']);
  });

  it('says where the lines go that no file keeps', async (context) => {
    const user = commandUser(context);
    const none = await user.run(['logs']);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /LOG_FILE_PATH is empty.*standard output/);
    user.writeFile(join(user.home, '.config/systemd/user/hoshikage.service'), '[Unit]\n');
    const service = await user.run(['logs', '-f']);
    assert.equal(service.code, 1);
    assert.match(service.stderr, /journalctl --user -u hoshikage\.service -f/);
    const bad = await user.run(['logs', '-n', 'many']);
    assert.deepEqual([bad.code, /-n many/.test(bad.stderr)], [2, true]);
  });
});
