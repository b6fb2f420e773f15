/** `hoshikage import`: shows before it asks, registers in place, and repeats itself without harm. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { answer, error, fakeServer, writeRunFile } from '../helpers/fake-admin.js';
import { blob, manifest, model, put, withoutTemplate } from '../helpers/foreign-models.js';

/** A user of Ollama and LM Studio. */
function userWithModels(context: TestContext): CommandUser & { readonly file: string } {
  const user = commandUser(context);
  const store = join(user.home, '.ollama', 'models');
  manifest(store, 'registry.ollama.ai/library/qwen/7b', [
    blob(store, 'model', model('qwen')),
    blob(store, 'params', '{"stop":["<|im_end|>"],"num_ctx":8192}'),
    blob(store, 'template', '{{ .Prompt }}'),
  ]);
  const file = put(join(user.home, '.lmstudio/models/o/r/neko.gguf'), model('neko'));
  put(join(user.home, '.lmstudio/models/o/r/broken.gguf'), 'no model');
  return { ...user, file };
}

const mapOf = (user: CommandUser) => JSON.parse(readFileSync(user.mapFile, 'utf8'));

describe('hoshikage import', { concurrency: 2 }, () => {
  it('shows what there is, and registers nothing that nobody agreed to', async (context) => {
    const user = userWithModels(context);
    const { code, stdout } = await user.run(['import']);
    assert.equal(code, 0);
    const [head, qwen, neko] = stdout.split('\n');
    assert.match(head ?? '', /^FROM +NAME +TYPE +SIZE$/);
    assert.match(qwen ?? '', /^Ollama +qwen:7b +llama F16 +\d+\.\d KiB$/);
    assert.match(neko ?? '', /^LM Studio +neko +llama F16 +/);
    assert.match(stdout, /qwen:7b: settings taken over: stop=\["<\|im_end\|>"\] n_ctx=8192/);
    assert.match(stdout, /chat templates are those in the GGUF files, not Ollama's/);
    assert.match(stdout, /Left out \(LM Studio\): ~?.*broken\.gguf: Not a sound GGUF file/);
    assert.match(stdout, /Add --yes to register these 2/);
    assert.equal(existsSync(user.mapFile), false);
  });

  it('--yes registers them where they lie, once; --json tells what became of each', async (context) => {
    const user = userWithModels(context);
    const first = await user.run(['import', '--yes']);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^Added model: qwen:7b\nAdded model: neko$/m);
    const map = mapOf(user);
    assert.deepEqual(map.neko, { path: join(user.file, '..'), model: 'neko.gguf', stop: [] });
    assert.deepEqual([map['qwen:7b'].stop, map['qwen:7b'].n_ctx], [['<|im_end|>'], 8192]);
    assert.match(map['qwen:7b'].model, /^sha256-[0-9a-f]{64}$/);
    const again = await user.run(['import', '--from', 'lmstudio', '--yes', '--json']);
    assert.equal(again.code, 0);
    const { models, already_registered: registered } = JSON.parse(again.stdout);
    assert.deepEqual([models, registered], [[], ['neko']]);
    put(join(user.home, '.lmstudio/models/o/r/inu.gguf'), model('inu'));
    const more = JSON.parse((await user.run(['import', '--yes', '--json'])).stdout);
    assert.deepEqual(
      more.models.map((one: { alias: string; registered: boolean }) => [one.alias, one.registered]),
      [['inu', true]],
    );
    renameSync(user.file, `${user.file}.gone`);
    const { stdout } = await user.run(['list']);
    assert.match(stdout, /^neko .*\[file missing\]/m);
  });

  it('writes a chat template for a file that has none, by the family of the one in Ollama', async (context) => {
    const user = commandUser(context);
    const store = join(user.home, '.ollama', 'models');
    manifest(store, 'registry.ollama.ai/library/old/latest', [
      blob(store, 'model', withoutTemplate('old')),
      blob(store, 'template', '[INST] {{ .System }} {{ .Prompt }} [/INST]'),
      blob(store, 'params', '{"num_ctx":2048}'),
    ]);
    const { code, stdout, stderr } = await user.run(['import', '--yes']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^ {2}old: settings taken over: n_ctx=2048$/m);
    assert.match(stdout, /^ {2}old: .*family as Ollama's \(Mistral\) goes into chat_template$/m);
    assert.doesNotMatch(stdout, /chat templates are those in the GGUF/);
    assert.match(mapOf(user).old.chat_template, /\[INST\].*message\.content/);
  });

  it('has the running server register them, and says what it refuses', async (context) => {
    const user = userWithModels(context);
    const server = await fakeServer(context, ({ body }, response) => {
      const { name } = body as { name: string };
      if (name === 'neko') answer(response, 409, error('model_exists'));
      else answer(response, 200, { success: true });
    });
    writeRunFile(user, server);
    const { code, stdout, stderr } = await user.run(['import', '--yes']);
    assert.equal(code, 1);
    assert.match(stdout, /^Added model: qwen:7b$/m);
    assert.match(stderr, /^neko: The name is taken: neko/m);
    const [qwen] = server.seen;
    const { path, ...rest } = (qwen ?? assert.fail('nobody asked')).body as { path: string };
    assert.match(path, /sha256-/);
    assert.deepEqual(rest, { name: 'qwen:7b', stop: ['<|im_end|>'], force: false, n_ctx: 8192 });
    assert.equal(existsSync(user.mapFile), false);
  });

  it('says where it looked when there is nothing', async (context) => {
    const user = commandUser(context);
    const none = await user.run(['import', '--from', 'llama.cpp']);
    assert.deepEqual([none.code, none.stderr], [0, '']);
    assert.match(none.stdout, /^No models of other programs were found/);
    put(join(user.home, 'cache/readme.txt'), '');
    const empty = await user.run(['import', '--from', 'llama.cpp'], {
      LLAMA_CACHE: join(user.home, 'cache'),
    });
    assert.match(empty.stdout, /^Nothing to register \(looked into: .*cache\)$/m);
  });
});
