/** `hoshikage run` and `hoshikage chat` with real engines: with a server that runs, and without one. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { hoshikage } from '../helpers/cli.js';
import { rambler, TEXT, talker } from '../helpers/models.js';
import { childrenOf, hasProc } from '../helpers/proc.js';
import { type Home, makeHome, type Owner, startServer } from '../helpers/server.js';
import { inTerminal, whyNoTerminal } from '../helpers/terminal.js';
import { until } from '../helpers/waiting.js';

async function homeWithModels(owner: Owner): Promise<Home> {
  const home = makeHome(owner);
  home.writeMap({ talker: await talker(), rambler: await rambler() });
  return home;
}

describe('hoshikage run', () => {
  test('answers without a server, and leaves nothing that looks like one', async (t) => {
    const home = await homeWithModels(t);
    const { code, output } = await hoshikage(t, home, ['run', 'talker', 'こんにちは']);
    assert.deepEqual([code, output], [0, `${TEXT.greeting}\n`]);
    assert.equal(existsSync(home.runFile), false);
    const log = join(home.root, 'h.log');
    const said = await hoshikage(t, home, ['run', 'talker', '設定は?', '--json'], {
      LOG_FILE_PATH: log,
    });
    assert.equal(JSON.parse(said.output).text, TEXT.settings, 'the log is in its file');
    const unknown = await hoshikage(t, home, ['run', 'talkre', 'x', '--lang', 'en']);
    assert.equal(unknown.code, 1);
    assert.match(unknown.output, /Model not found: talkre.*Did you mean: talker/s);
  });

  test('asks the server that runs, and not another program in its place', async (t) => {
    const home = await homeWithModels(t);
    const server = await startServer(t, { home });
    const { code, output } = await hoshikage(t, home, [
      'run',
      'talker',
      'English?',
      '--max-tokens',
      '4',
    ]);
    assert.equal(code, 0);
    assert.ok(TEXT.english.startsWith(output.trimEnd()), output);
    assert.equal((await server.status()).model?.id, 'talker');
    assert.equal((await server.stop()).code, 0);
    const other = createServer((_, response) => response.end('{"data":"of another kind"}'));
    other.listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    t.after(() => void other.close());
    const { port } = other.address() as AddressInfo;
    const run = { pid: process.pid, host: '127.0.0.1', port, token: 'x', version: '0' };
    writeFileSync(home.runFile, JSON.stringify(run));
    const alone = await hoshikage(t, home, ['run', 'talker', '設定は?']);
    assert.deepEqual([alone.code, alone.output], [0, `${TEXT.settings}\n`]);
    assert.deepEqual(JSON.parse(readFileSync(home.runFile, 'utf8')), run, 'left as it was');
  });
});

describe('hoshikage chat', { skip: whyNoTerminal() }, () => {
  test('talks, obeys its commands, stops an answer by Ctrl-C, and leaves by the second one', async (t) => {
    const home = await homeWithModels(t);
    const one = inTerminal(t, home, ['chat', 'talker', '--lang', 'en']);
    await one.see(/talker\r\n.*its own.*\r\n[\s\S]*> /);
    assert.equal(existsSync(home.runFile), false);
    one.type('こんにちは\r');
    await one.see(/さようなら。\r\n\r\n> /);
    assert.ok(one.shown().includes(TEXT.greeting), one.shown());
    one.type('/stats\r');
    await one.see(/Tokens written +\d+\r\n[\s\S]*In total +1 answers/);
    one.type('/model ramblr\r');
    await one.see(/Did you mean: rambler/);
    one.type('/model rambler\r');
    await one.see(/rambler answers from now on/);
    one.type('話して\r');
    await one.see(/そして話は続きます/);
    one.type('\u0003');
    await one.see(/\(stopped\)\r\n\r\n> /);
    one.type('短く\r');
    await one.see(/はい、短く答えます。\r\n\r\n> /);
    one.type('/save talk.json\r');
    await one.see(/Saved ~\/talk\.json/);
    const { model, messages } = JSON.parse(readFileSync(join(home.root, 'talk.json'), 'utf8'));
    const roles = messages.map(({ role }: { role: string }) => role).join(' ');
    assert.deepEqual([model, roles], ['rambler', 'user assistant user assistant user assistant']);
    assert.match(messages[3].content, /^そして話は続きます/, 'what was stopped is kept');
    one.type('\u0003');
    await one.see(/Ctrl-C once more to leave[\s\S]*> /);
    one.type('\u0003');
    assert.equal(await one.ended(), 0);
    assert.equal(existsSync(home.runFile), false);
  });

  test('stops by Ctrl-C what a server that hangs is asked by a command, and talks on', async (t) => {
    const home = await homeWithModels(t);
    let asked = 0;
    const server = createServer((_, response) => {
      asked += 1;
      if (asked <= 2) response.end(JSON.stringify({ data: [{ id: 'talker' }] }));
    });
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const run = { pid: process.pid, host: '127.0.0.1', port, token: 'x', version: '0' };
    writeFileSync(home.runFile, JSON.stringify(run));
    const one = inTerminal(t, home, ['chat', '--lang', 'en']);
    await one.see(/talker\r\n[\s\S]*> /);
    asked = 2;
    one.type('/model\r');
    await until('the question', () => asked === 3);
    one.type('\u0003');
    await one.see(/\(stopped\)[\s\S]*> /);
    one.type('\u0004');
    assert.equal(await one.ended(), 0);
    assert.ok(!one.shown().includes('error'), one.shown());
  });

  test('uses the server that runs, takes the model in memory, and goes on when the server has gone', async (t) => {
    const home = await homeWithModels(t);
    const server = await startServer(t, { home });
    await hoshikage(t, home, ['load', 'talker']);
    const engines = hasProc ? childrenOf(server.pid).length : 0;
    const args = ['chat', '--lang', 'ja', '--system', '丁寧に'];
    const one = inTerminal(t, home, args, { NO_COLOR: '1' });
    await one.see(/星影 Hoshikage {2}talker\r\n[\s\S]*> /);
    one.type('"""\r設定を\r教えて"""\r');
    await one.see(/起動し直してください。\r\n\r\n> /);
    if (hasProc) assert.equal(childrenOf(server.pid).length, engines, 'the same engine');
    assert.equal((await server.stop()).code, 0);
    one.type('こんにちは\r');
    await one.see(/さようなら。\r\n\r\n> /);
    one.type('\u0004');
    assert.equal(await one.ended(), 0);
    assert.equal(/\[[0-9;]*m/.test(one.raw()), false, 'no colours');
  });
});
