/** `hoshikage show`: the real command as a process, by a name and by a file. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type CommandUser, commandUser } from '../helpers/command.js';
import { writeEncoder } from '../helpers/encoder-model.js';

async function shown(user: CommandUser, ...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await user.run(['show', '--json', ...args]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

describe('hoshikage show', { concurrency: 2 }, () => {
  it('says what a model is, by its name, in the language that was asked for', async (context) => {
    const user = commandUser(context);
    user.model('m.gguf');
    await user.run(['add', 'm.gguf', '星', '<|end|>']);
    const { code, stdout } = await user.run(['show', '星']);
    assert.equal(code, 0);
    for (const line of [
      /^Name +星$/m,
      /^File +~\/m\.gguf \(\d+\.\d KiB\)$/m,
      /^Model +小さな星$/m,
      /^Architecture +llama, 2 layers, 64 wide$/m,
      /^Parameters +4\.42 K \(4416\)$/m,
      /^Quantisation +F16 \(F32 × 3\)$/m,
      /^Context +2048 \(2048 per request with the present settings\)$/m,
      /^Made for +generating text$/m,
      /^Template +its own \(25 characters\)$/m,
      /^Tokens +4 \(gpt2\)$/m,
      /^Special tokens +bos a \(0\), eos <eos> \(3\)$/m,
      /^Stop strings +"<\|end\|>"$/m,
      /^Memory +about .*KV cache.* are free$/m,
    ]) {
      assert.match(stdout, line);
    }
    const japanese = await user.run(['show', '星', '--lang', 'ja']);
    assert.match(japanese.stdout, /^テンプレート +自前\(25 文字\)$/m);
    assert.match(japanese.stdout, /^メモリ +およそ /m);
  });

  it('gives the same as JSON, with the template and every byte counted', async (context) => {
    const user = commandUser(context);
    const path = user.model('m.gguf');
    const view = await shown(user, path);
    const { memory, tokenizer, ...facts } = view as {
      memory: Record<string, number>;
      tokenizer: { special_tokens: object };
    };
    assert.deepEqual(facts, {
      ...{ name: null, path, files: 1, size_bytes: facts['size_bytes' as never] },
      ...{ model_name: '小さな星', architecture: 'llama', purpose: 'generate' },
      ...{ parameters: 4416, quantisation: 'F16', tensor_types: { F32: 3 } },
      ...{ layers: 2, embedding_length: 64, context_length: 2048 },
      ...{ chat_template: '{{ messages[0].content }}', stop: [] },
    });
    assert.deepEqual(tokenizer.special_tokens, {
      bos: { id: 0, text: 'a' },
      eos: { id: 3, text: '<eos>' },
    });
    const { weights_bytes = 0, kv_bytes = 0, compute_bytes = 0, total_bytes } = memory;
    assert.equal(total_bytes, weights_bytes + kv_bytes + compute_bytes);
    assert.ok(weights_bytes >= 4416 * 4 && Number(memory.available_bytes) > 0);
  });

  it('reckons with the settings, those of the model before the others', async (context) => {
    const user = commandUser(context);
    const path = user.model('m.gguf');
    const settings = { path: user.home, model: 'm.gguf', stop: [], n_ctx: 512 };
    user.writeFile(user.mapFile, JSON.stringify({ m: settings }));
    user.writeFile(join(user.configDir, '.env'), 'N_CTX=1024\nN_SLOTS=2\n');
    const memoryOf = async (what: string) => {
      const { memory } = (await shown(user, what)) as { memory: Record<string, number> };
      return [memory.context_tokens, memory.slots];
    };
    assert.deepEqual(await memoryOf('m'), [512, 2]);
    assert.deepEqual(await memoryOf(path), [1024, 2]);
  });

  it('tells a model for embeddings, which keeps no cache', async (context) => {
    const user = commandUser(context);
    const path = join(user.home, 'encoder.gguf');
    await writeEncoder(path, 1);
    const { purpose, memory } = (await shown(user, path)) as {
      purpose: string;
      memory: Record<string, number>;
    };
    assert.deepEqual([purpose, memory.kv_bytes], ['embed', 0]);
  });

  it('takes a name for a name, also where a file is called like that', async (context) => {
    const user = commandUser(context);
    user.model('a');
    const other = user.model('b.gguf');
    await user.run(['add', 'b.gguf', 'a']);
    assert.equal((await shown(user, 'a')).path, other);
    assert.equal((await shown(user, './a')).path, join(user.home, 'a'));
  });

  it('shows the built-in model where that is asked for', async (context) => {
    const view = await shown(commandUser(context), 'hoshikage-guide');
    assert.equal(view.architecture, 'llama');
  });

  it('ends with 1 for what is not there or broken, and with 2 without a name', async (context) => {
    const user = commandUser(context);
    user.writeFile(join(user.home, 'no.gguf'), 'no model');
    for (const [args, code, words] of [
      [['nobody'], 1, /Model not found: nobody/],
      [['gone.gguf'], 1, /does not exist: .*gone\.gguf/],
      [['no.gguf'], 1, /Not a sound GGUF file: .*no\.gguf \(too short/],
      [['.'], 1, /not a regular file/],
      [[], 2, /Usage: hoshikage show <ALIAS \| FILE>/],
    ] as const) {
      const outcome = await user.run(['show', ...args]);
      assert.equal(outcome.code, code, args.join(' '));
      assert.match(outcome.stderr, words);
      assert.equal(outcome.stdout, '');
    }
  });
});
