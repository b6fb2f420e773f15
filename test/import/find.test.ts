/** What other programs keep: found where they keep it, each model once, and whatever else lies there harmless. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, symlinkSync, truncateSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type Findings, findModels } from '../../src/import/find.js';
import { SOURCES } from '../../src/import/holding.js';
import { placesOf } from '../../src/import/places.js';
import type { ModelEntry } from '../../src/models/registry.js';
import {
  blob,
  foreignHome,
  manifest,
  model,
  put,
  snapshot,
  withoutTemplate,
} from '../helpers/foreign-models.js';

interface Around {
  readonly home: string;
  readonly variables?: Readonly<Record<string, string>>;
  readonly platform?: NodeJS.Platform;
}

function find(
  { home, variables = {}, platform = 'darwin' }: Around,
  entries: ModelEntry[] = [],
): Promise<Findings> {
  // Not Linux: there Ollama has places outside of any home.
  return findModels({
    ...{ sources: SOURCES, around: { home, variables, platform }, entries },
    signal: AbortSignal.timeout(30_000),
    onProgress: () => {},
  });
}

const names = ({ candidates }: Findings): string[] =>
  candidates.map(({ source, alias }) => `${source} ${alias}`);
const reasons = ({ skipped }: Findings): string[] => skipped.map(({ reason }) => reason.en);

function ollamaStore(context: TestContext): { home: string; store: string } {
  const home = foreignHome(context);
  return { home, store: join(home, '.ollama', 'models') };
}

describe('models of Ollama', () => {
  it('are found by their manifests, with the names they have there', async (context) => {
    const { home, store } = ollamaStore(context);
    const bytes = model('qwen');
    const weights = blob(store, 'model', bytes);
    manifest(store, 'registry.ollama.ai/library/qwen2.5/latest', [weights]);
    manifest(store, 'registry.ollama.ai/tane/猫/7b', [blob(store, 'model', model('猫'))]);
    manifest(store, 'hf.co/owner/repo-GGUF/Q4_K_M', [blob(store, 'model', model('hf'))]);
    const found = await find({ home });
    assert.deepEqual(names(found), [
      'ollama hf.co/owner/repo-GGUF:Q4_K_M',
      'ollama qwen2.5',
      'ollama tane/猫:7b',
    ]);
    const [, qwen] = found.candidates;
    assert.match(qwen?.path ?? '', /\/\.ollama\/models\/blobs\/sha256-[0-9a-f]{64}$/);
    assert.deepEqual(
      [qwen?.sizeBytes, qwen?.facts.architecture, qwen?.facts.quantisation],
      [bytes.length, 'llama', 'F16'],
    );
    assert.deepEqual(found.skipped, []);
  });

  it('bring their stop words and what else we have settings for, and say what they do not', async (context) => {
    const { home, store } = ollamaStore(context);
    const parameters = {
      stop: ['<|im_end|>', '終'],
      ...{ temperature: 0.6, top_p: 0.9, top_k: 20, num_ctx: 8192, num_predict: -1 },
      ...{ repeat_penalty: 99, mirostat: 2 },
    };
    manifest(store, 'registry.ollama.ai/library/m/latest', [
      blob(store, 'model', model('m')),
      blob(store, 'params', JSON.stringify(parameters)),
      blob(store, 'template', '{{ .Prompt }}'),
      blob(store, 'system', 'be brief'),
    ]);
    const [found] = (await find({ home })).candidates;
    assert.deepEqual(found?.stop, ['<|im_end|>', '終']);
    assert.deepEqual(found?.settings, {
      ...{ temperature: 0.6, topP: 0.9, topK: 20, nCtx: 8192, maxTokens: 0 },
    });
    assert.deepEqual(
      found?.notes.map(({ en }) => en),
      [
        'parameters not taken over: repeat_penalty, mirostat',
        'its system message is not taken over (put it into the request)',
      ],
    );
  });

  it('use the template in the GGUF; one without gets that of its family, or it is said that none is known', async (context) => {
    const { home, store } = ollamaStore(context);
    const gemma = blob(store, 'template', '<start_of_turn>user\n{{ .Prompt }}<end_of_turn>\n');
    const library = 'registry.ollama.ai/library';
    const add = (name: string, bytes: Uint8Array, template: object) =>
      manifest(store, `${library}/${name}/latest`, [blob(store, 'model', bytes), template]);
    add('own', model('a'), gemma);
    add('family', withoutTemplate('b'), gemma);
    add('strange', withoutTemplate('c'), blob(store, 'template', '{{ .System }}{{ .Prompt }}'));
    const long = `<start_of_turn><end_of_turn>${' '.repeat(64 * 1024)}`;
    add('long', withoutTemplate('d'), blob(store, 'template', long));
    add('gone', withoutTemplate('e'), { ...gemma, digest: `sha256:${'0'.repeat(64)}` });
    manifest(store, `${library}/none/latest`, [blob(store, 'model', withoutTemplate('f'))]);
    const { candidates } = await find({ home });
    const seen = candidates.map(({ alias, settings, notes }) => {
      const { chatTemplate = '' } = settings;
      return [alias, chatTemplate.includes('<start_of_turn>model'), notes.map(({ en }) => en)];
    });
    const known =
      "its GGUF has no chat template: one of the same family as Ollama's (Gemma) goes into chat_template";
    const unknown =
      "its GGUF has no chat template, and Ollama's is of no family that is known: ChatML is used (if that is wrong, write one in Jinja into chat_template of the map)";
    assert.deepEqual(seen, [
      ['family', true, [known]],
      ['gone', false, [unknown]],
      ['long', false, [unknown]],
      ['none', false, []],
      ['own', false, []],
      ['strange', false, [unknown]],
    ]);
  });

  it('are left out where they are no whole GGUF file, with the reason', async (context) => {
    const { home, store } = ollamaStore(context);
    const library = 'registry.ollama.ai/library';
    const adapter = blob(store, 'adapter', 'x');
    const cut = blob(store, 'model', model('cut')) as { digest: string };
    truncateSync(join(store, 'blobs', cut.digest.replace(':', '-')), 40);
    manifest(store, `${library}/cloud/latest`, []);
    manifest(store, `${library}/lora/latest`, [blob(store, 'model', model('x')), adapter]);
    manifest(store, `${library}/partly/latest`, [cut]);
    manifest(store, `${library}/text/latest`, [blob(store, 'model', 'no GGUF')]);
    put(join(store, 'manifests', library, 'broken/latest'), '{"layers":');
    const found = await find({ home });
    assert.deepEqual(found.candidates, []);
    assert.deepEqual(
      reasons(found).map((text) => text.replace(/ \/.*/, '')),
      [
        'broken: it cannot be read',
        'cloud: it is not one GGUF file',
        'lora: it needs an adapter (LoRA)',
        'partly: its file is missing or incomplete',
        'Not a sound GGUF file:',
      ],
    );
  });

  it('name nothing outside of their store, whatever a manifest says', async (context) => {
    const { home, store } = ollamaStore(context);
    const secret = put(join(home, 'secret.gguf'), model('secret'));
    mkdirSync(join(store, 'blobs'), { recursive: true });
    const digests = [
      '../../../secret.gguf',
      `sha256:../../../../${basename(secret)}`,
      `sha256-${'0'.repeat(63)}/`,
      secret,
      'sha256:',
      42,
      null,
      { toString: 'x' },
    ];
    for (const [at, digest] of digests.entries()) {
      const layer = { mediaType: 'application/vnd.ollama.image.model', digest, size: 1e300 };
      manifest(store, `registry.ollama.ai/library/evil/${at}`, [layer]);
    }
    put(join(store, 'manifests/registry.ollama.ai/library/huge/latest'), Buffer.alloc(2 ** 21, 32));
    put(
      join(store, 'manifests/registry.ollama.ai/library/list/latest'),
      '[[],null,{"layers":"x"}]',
    );
    manifest(store, 'registry.ollama.ai/library/odd/latest', [
      blob(store, 'model', model('odd')),
      blob(
        store,
        'params',
        '{"stop":[1,{}],"__proto__":{"temperature":1},"temperature":"hot","num_ctx":1e9}',
      ),
    ]);
    const found = await find({ home });
    assert.deepEqual(names(found), ['ollama odd']);
    const [odd] = found.candidates;
    assert.deepEqual([odd?.stop, odd?.settings], [[], {}]);
    assert.match(odd?.notes[0]?.en ?? '', /stop, __proto__, temperature, num_ctx/);
    assert.equal(found.skipped.length, digests.length + 2);
  });
});

describe('models of LM Studio', () => {
  it('are its GGUF files: a split one once, no projector, nothing half loaded', async (context) => {
    const home = foreignHome(context);
    const folder = join(home, '.lmstudio/models/owner/repo');
    put(join(folder, 'Qwen-Q4_K_M.gguf'), model('a'));
    put(join(folder, 'mmproj-Qwen-f16.gguf'), model('b'));
    put(join(folder, 'downloading_Other-Q8.gguf'), model('c'));
    put(join(folder, 'Other-Q8.gguf.part'), model('d'));
    put(
      join(folder, 'projector.gguf'),
      model('e', [['general.architecture', { type: 'string', value: 'clip' }]]),
    );
    for (const [no, name] of [
      'big-00001-of-00002.gguf',
      'big-00002-of-00002.gguf',
      'half-00001-of-00002.gguf',
    ].entries()) {
      const part = [
        ['split.no', { type: 'u16', value: no % 2 }],
        ['split.count', { type: 'u16', value: 2 }],
      ] as const;
      put(join(folder, name), model(name, part));
    }
    const found = await find({ home });
    assert.deepEqual(names(found), ['lmstudio Qwen-Q4_K_M', 'lmstudio big'], reasons(found).join());
    const [, big] = found.candidates;
    assert.equal(big?.sizeBytes, 2 * (big?.facts.sizeBytes ?? 0));
    const skipped = found.skipped.map(({ path, reason }) => `${basename(path)}: ${reason.en}`);
    assert.match(
      skipped.find((one) => one.startsWith('half')) ?? '',
      /does not exist: .*half-00002/,
    );
    const later = 'a later part of a split model, which is registered by its first';
    assert.deepEqual(
      skipped.filter((one) => !one.startsWith('half')),
      [
        'Other-Q8.gguf.part: it is not whole yet',
        `big-00002-of-00002.gguf: ${later}`,
        'downloading_Other-Q8.gguf: it is not whole yet',
        'mmproj-Qwen-f16.gguf: a projector for images',
        'projector.gguf: a projector for images',
      ],
    );
  });

  it('are found where its settings or its pointer put them', async (context) => {
    const home = foreignHome(context);
    const moved = join(home, 'moved');
    put(join(home, '.lmstudio-home-pointer'), `${moved}\n`);
    put(join(moved, 'settings.json'), JSON.stringify({ downloadsFolder: join(home, 'disk') }));
    put(join(home, 'disk/o/r/one.gguf'), model('one'));
    put(join(moved, 'models/o/r/two.gguf'), model('two'));
    put(join(home, '.cache/lm-studio/models/o/r/three.gguf'), model('three'));
    assert.deepEqual(names(await find({ home })), [
      'lmstudio one',
      'lmstudio two',
      'lmstudio three',
    ]);
  });
});

describe('models in the cache of llama.cpp', () => {
  it('have the names that their manifests or addresses tell', async (context) => {
    const home = foreignHome(context);
    const cache = join(home, 'Library/Caches/llama.cpp');
    put(join(cache, 'ggml-org_gemma_gemma-3-Q4_K_M.gguf'), model('a'));
    put(join(cache, 'ggml-org_gemma_mmproj-f16.gguf'), model('b'));
    const told = { ggufFile: { rfilename: 'gemma-3-Q4_K_M.gguf' } };
    put(join(cache, 'manifest=ggml-org=gemma=latest.json'), JSON.stringify(told));
    put(join(cache, 'o_r_sub_x-Q8.gguf'), model('c'));
    put(
      join(cache, 'manifest=o=r=Q8.json'),
      JSON.stringify({ ggufFile: { rfilename: 'sub/x-Q8.gguf' } }),
    );
    put(join(cache, 'p_q_old.gguf'), model('d'));
    put(
      join(cache, 'p_q_old.gguf.json'),
      '{"url":"https://huggingface.co/p/q/resolve/main/old.gguf"}',
    );
    put(join(cache, 'p_q_bare.gguf'), model('e'));
    put(join(cache, 'p_q_new.gguf.downloadInProgress'), model('f'));
    put(join(cache, 'manifest=bad=one=x.json'), '{"ggufFile":{"rfilename":{}}}');
    const found = await find({ home });
    assert.deepEqual(names(found), [
      'llama.cpp gemma-3-Q4_K_M',
      'llama.cpp x-Q8',
      'llama.cpp p_q_bare',
      'llama.cpp old',
    ]);
    assert.deepEqual(reasons(found), ['a projector for images', 'it is not whole yet']);
  });
});

describe('models in the cache of Hugging Face', () => {
  it('are the links of the newest snapshot, or of the one that main names', async (context) => {
    const home = foreignHome(context);
    const hub = join(home, '.cache/huggingface/hub');
    const repository = 'owner/repo-GGUF';
    const at = (revision: string, file: string) => ({ repository, revision, file });
    const link = snapshot(hub, at('aaa', 'm-Q4.gguf'), model('new'));
    snapshot(hub, at('bbb', 'm-Q4.gguf'), model('old'));
    snapshot(hub, at('bbb', 'sub/m-Q8.gguf'), model('only here'));
    put(join(hub, 'models--owner--repo-GGUF/refs/main'), 'aaa\n');
    put(join(hub, 'models--owner--repo-GGUF/blobs/x.incomplete'), model('half'));
    put(join(hub, 'datasets--o--d/snapshots/aaa/data.gguf'), model('data'));
    for (const revision of ['aaa', 'bbb']) {
      snapshot(hub, at(revision, 'mmproj-m.gguf'), model('projector'));
    }
    const found = await find({ home });
    assert.deepEqual(names(found), ['huggingface m-Q4', 'huggingface m-Q8']);
    assert.deepEqual(reasons(found), ['a projector for images']);
    assert.equal(found.candidates[0]?.path, link);
  });
});

describe('what was found', () => {
  it('is there once, under a name that no other model has', async (context) => {
    const { home, store } = ollamaStore(context);
    const bytes = model('one');
    const layer = blob(store, 'model', bytes) as { digest: string };
    manifest(store, 'registry.ollama.ai/library/one/latest', [layer]);
    manifest(store, 'registry.ollama.ai/library/one/again', [layer]);
    const file = join(store, 'blobs', layer.digest.replace(':', '-'));
    const folder = join(home, '.lmstudio/models/o/r');
    mkdirSync(folder, { recursive: true });
    linkSync(file, join(folder, 'hard.gguf'));
    symlinkSync(file, join(folder, 'soft.gguf'));
    put(join(folder, 'one.gguf'), model('another'));
    put(join(folder, 'known.gguf'), model('known'));
    put(join(folder, 'か\u3099.gguf'), model('が'));
    symlinkSync(join(folder, 'known.gguf'), join(home, 'link.gguf'));
    const entries = [
      { id: 'mine', path: join(home, 'link.gguf'), stop: [], origin: 'map', settings: {} },
      { id: 'が', path: '/nowhere.gguf', stop: [], origin: 'map', settings: {} },
    ] as const satisfies ModelEntry[];
    const found = await find({ home }, [...entries]);
    assert.deepEqual(names(found), ['ollama one:again', 'lmstudio one', 'lmstudio が-2']);
    assert.deepEqual(found.registered, ['mine']);
  });

  it('gets a legal name, whatever its program calls it', async (context) => {
    const home = foreignHome(context);
    const folder = join(home, '.lmstudio/models/o');
    put(join(folder, 'bad\u0007 name.gguf'), model('a'));
    put(join(folder, ' .gguf'), model('b'));
    put(join(folder, '...gguf'), model('c'));
    put(join(folder, 'x..gguf'), model('d'));
    assert.deepEqual(names(await find({ home })), [
      'lmstudio model',
      'lmstudio bad name',
      'lmstudio x.',
    ]);
  });

  it('survives loops of links, pipes and folders that nobody may read', {
    skip: process.platform === 'win32',
  }, async (context) => {
    const home = foreignHome(context);
    const folder = join(home, '.lmstudio/models/o/r');
    put(join(folder, 'fine.gguf'), model('fine'));
    symlinkSync('..', join(folder, 'up'));
    symlinkSync('self.gguf', join(folder, 'self.gguf'));
    symlinkSync('/nowhere/x.gguf', join(folder, 'gone.gguf'));
    execFileSync('mkfifo', [join(folder, 'pipe.gguf')]);
    const closed = join(home, '.lmstudio/models/closed');
    put(join(closed, 'x.gguf'), model('x'));
    chmodSync(closed, 0);
    put(join(home, '.ollama/models/manifests'), 'a file where a folder should be');
    const found = await find({ home }).finally(() => chmodSync(closed, 0o700));
    const isRoot = process.getuid?.() === 0;
    assert.deepEqual(names(found), [...(isRoot ? ['lmstudio x'] : []), 'lmstudio fine']);
    assert.deepEqual(reasons(found), isRoot ? [] : ['cannot be read (EACCES)']);
  });

  it('stops when it is told to', async (context) => {
    const home = foreignHome(context);
    put(join(home, '.lmstudio/models/x.gguf'), model('x'));
    const around = { home, variables: {}, platform: 'darwin' } as const;
    const wanted = { sources: SOURCES, around, entries: [], onProgress: () => {} };
    await assert.rejects(
      findModels({ ...wanted, signal: AbortSignal.abort(new Error('enough')) }),
      /enough/,
    );
  });
});

describe('the places of other programs', () => {
  it('are those of the system, unless a variable names another', async (context) => {
    const home = foreignHome(context);
    const of = async (platform: NodeJS.Platform, variables: Record<string, string> = {}) => {
      const around = { home, variables, platform };
      const found = await Promise.all(SOURCES.map((source) => placesOf(source, around)));
      return found.map((paths) => paths[0]?.replace(home, '~').replaceAll('\\', '/'));
    };
    assert.deepEqual(await of('linux'), [
      '~/.ollama/models',
      '~/.lmstudio/models',
      '~/.cache/llama.cpp',
      '~/.cache/huggingface/hub',
    ]);
    const [, , mac] = await of('darwin');
    const [, , windows] = await of('win32', { LOCALAPPDATA: `${home}/Local` });
    assert.deepEqual([mac, windows], ['~/Library/Caches/llama.cpp', '~/Local/llama.cpp']);
    assert.deepEqual(
      await of('linux', {
        OLLAMA_MODELS: '/o',
        LLAMA_CACHE: '/l',
        HF_HOME: '/h',
        XDG_CACHE_HOME: '/c',
      }),
      ['/o', '~/.lmstudio/models', '/l', '/h/hub'],
    );
    assert.equal((await of('linux', { HF_HUB_CACHE: '/hub', HF_HOME: '/h' }))[3], '/hub');
    assert.equal((await of('linux', { XDG_CACHE_HOME: '/c' }))[3], '/c/huggingface/hub');
    const linux = await placesOf('ollama', { home, variables: {}, platform: 'linux' });
    assert.ok(linux.includes('/usr/share/ollama/.ollama/models'));
  });
});
