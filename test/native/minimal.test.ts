/** Driving a libllama that is newer than the table, and what cannot be set in one that may be. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildFake, FakeControl, skipReason } from './fake.js';
import { modelFile, startStory } from './rig.js';

/** The fake with a context struct that nobody knows yet. */
function futureFake(): string {
  return buildFake((source) =>
    source
      .replace('  void* ctx_other;\n};', '  void* ctx_other;\n  uint64_t of_the_future;\n};')
      .replace('llama_context_params) == 160', 'llama_context_params) == 168')
      .replace('  p.n_samplers = 0;\n', '  p.n_samplers = 0;\n  p.of_the_future = 7;\n'),
  );
}

async function drive(library: string, parameters: object): Promise<Record<string, unknown>> {
  const control = new FakeControl();
  try {
    const all = { library, model: modelFile(control), ...parameters };
    const end = await startStory('drive', all, control).end;
    assert.equal(end.code, 0, end.stderr);
    assert.equal(control.get('violations'), 0);
    return end.out[0] ?? {};
  } finally {
    control.close();
  }
}

describe('the minimal mode', { skip: skipReason, concurrency: 2 }, () => {
  it('generates with sizes and threads as asked for', async () => {
    const told = await drive(futureFake(), { allowUnknown: true });
    assert.deepEqual(told.layout, { model: 'minimal', context: 'minimal' }, String(told.message));
    assert.deepEqual(told.info, {
      contextTokens: 1024,
      contextTokensPerSlot: 512,
      slots: 2,
      batchTokens: 256,
      threads: 3,
    });
    assert.equal(told.text, 'bcdefghijklmnopqrstuvwxyz</s>');
    assert.equal(JSON.stringify(told.logs).includes('not applied'), false);
  });

  it('names every setting that it cannot apply', async () => {
    const told = await drive(futureFake(), {
      allowUnknown: true,
      modelOptions: {
        ...{ gpuLayers: 5, mainGpu: 1, tensorSplit: [1, 2] },
        ...{ mmap: false, mlock: true, cpuExpertLayers: 2 },
      },
      contextOptions: {
        ...{ flashAttention: 1, typeK: 8, typeV: 8 },
        ...{ ropeScaling: 2, ropeFreqBase: 1e6, ropeFreqScale: 0.5 },
      },
    });
    const said = 'warn: not applied, since it is unknown where this libllama has them: ';
    assert.deepEqual(
      (told.logs as string[]).filter((line) => line.startsWith(said)), // drive tells lines
      [
        `${said}MAIN_GPU, TENSOR_SPLIT, USE_MMAP, USE_MLOCK, N_CPU_MOE`,
        `${said}FLASH_ATTN, CACHE_TYPE_K, CACHE_TYPE_V, ROPE_SCALING, ROPE_FREQ_BASE, ROPE_FREQ_SCALE`,
      ],
      JSON.stringify(told),
    );
  });

  it('is not entered unasked', async () => {
    const { code, message } = await drive(futureFake(), {});
    assert.equal(code, 'library_incompatible');
    assert.match(String(message), /newer than the table/);
  });
});

describe('a field that may have moved without a trace', {
  skip: skipReason,
  concurrency: 2,
}, () => {
  const unknownSymbols = ['llama_of_the_future'];

  it('is not written where the library has functions newer than the table', async () => {
    const told = await drive(buildFake(), { unknownSymbols, modelOptions: { mainGpu: 1 } });
    assert.equal(told.code, 'model_load_failed');
    assert.match(String(told.message), /MAIN_GPU cannot be set.*llama_of_the_future/);
  });

  it('stays as it is where it is not asked for', async () => {
    const told = await drive(buildFake(), { unknownSymbols, modelOptions: { mainGpu: 0 } });
    assert.equal(told.reason, 'eog', String(told.message));
  });

  it('is not written where the library writes the gap behind it', async () => {
    const library = buildFake((source) =>
      source.replace('  llama_model_params p;\n', '  llama_model_params p = {};\n'),
    );
    const told = await drive(library, { modelOptions: { mainGpu: 1 } });
    assert.match(String(told.message), /MAIN_GPU cannot be set.*gap behind it/);
    assert.equal((await drive(library, {})).reason, 'eog');
    assert.equal((await drive(buildFake(), { modelOptions: { mainGpu: 1 } })).reason, 'eog');
  });
});
