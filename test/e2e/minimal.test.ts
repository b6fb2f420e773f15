/**
 * A libllama that is newer than the table of layouts: a real one, and a copy of this package whose
 * table ends before it. `lib use` proves it in the minimal mode and asks before it is used in it.
 */
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { ROOT } from '../../scripts/root.js';
import { addonPath } from '../../src/engine/addon.js';
import { TEXT, talker } from '../helpers/models.js';
import { copyLibrary } from '../helpers/packaged.js';
import { type Home, makeHome, type Owner, startProcess, startServer } from '../helpers/server.js';
import { within } from '../helpers/waiting.js';
import { chat, chatBody } from '../helpers/wire.js';

const COMMAND_MS = 90_000;

/** A copy of this package that does not know the newest layout yet; its command. */
function olderPackage(owner: Owner): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'hoshikage-older-')));
  owner.after(() => rmSync(root, { recursive: true, force: true }));
  for (const name of ['dist', 'package.json', join('native', 'abi')]) {
    cpSync(join(ROOT, name), join(root, name), { recursive: true });
  }
  mkdirSync(join(root, 'build', 'Release'), { recursive: true });
  cpSync(addonPath(), join(root, 'build', 'Release', 'hoshikage_native.node'));
  symlinkSync(realpathSync(join(ROOT, 'node_modules')), join(root, 'node_modules'));
  const table = join(root, 'native', 'abi', 'llama.json');
  const abi = JSON.parse(readFileSync(table, 'utf8'));
  abi.modelParams.pop();
  writeFileSync(table, JSON.stringify(abi));
  return join(root, 'dist', 'cli', 'main.js');
}

async function homeWithNewest(owner: Owner): Promise<Home> {
  const home = makeHome(owner);
  home.writeMap({ talker: await talker() });
  await copyLibrary(join(home.configDir, 'lib', 'newest'));
  return home;
}

describe('A libllama newer than the table', () => {
  test('is used in the minimal mode once it has passed in it and the user agrees', async (t) => {
    const main = olderPackage(t);
    const home = await homeWithNewest(t);
    const lib = async (...args: string[]) => {
      const started = startProcess(t, home, ['lib', ...args, '--lang', 'en'], { main });
      const { code } = await within(started.exited, COMMAND_MS, `end of lib ${args.join(' ')}`);
      return { code, output: started.output() };
    };
    const active = join(home.configDir, 'lib', 'active.json');

    const asked = await lib('use', 'newest');
    assert.equal(asked.code, 1, asked.output);
    assert.match(asked.output, /passed in the minimal mode/);
    assert.match(asked.output, /lib use newest --minimal/);
    assert.equal(existsSync(active), false);

    // What nobody chose has no place to remember a mode.
    const unchosen = await lib('use', 'default', '--minimal');
    assert.equal(unchosen.code, 1, unchosen.output);
    assert.match(unchosen.output, /unknown layout/);

    const agreed = await lib('use', 'newest', '--minimal');
    assert.equal(agreed.code, 0, agreed.output);
    assert.deepEqual(JSON.parse(readFileSync(active, 'utf8')).active, {
      id: 'newest',
      minimal: true,
    });
    assert.match((await lib('list')).output, /^\* +newest .* minimal /m);

    const server = await startServer(t, { home, main });
    const { body } = await chat(server, chatBody('talker', '設定', { temperature: 0 }));
    assert.equal(body.choices[0]?.message.content, TEXT.settings);
    const { library } = await server.status();
    assert.equal(basename(dirname(library.path ?? '')), 'newest');
  });
});
