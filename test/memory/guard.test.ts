import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Device, EngineOptions } from '../../src/engine/engine.js';
import { HoshikageError, words } from '../../src/errors.js';
import { MemoryGuard, type MemoryGuardDeps } from '../../src/memory/guard.js';
import { memoryUse, NO_MEMORY } from '../../src/memory/use.js';
import type { ModelEntry } from '../../src/models/registry.js';
import { engineOptions } from '../helpers/engine-options.js';
import { EIGHT_B, writeHollow, writeHollowLlama } from '../helpers/hollow-model.js';
import { expertContent } from '../helpers/other-models.js';
import { recordingLog } from '../helpers/recording-log.js';

const GIB = 2 ** 30;
let directory = '';
let model = '';
before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'hoshikage-guard-'));
  model = join(directory, 'eight.gguf');
  await writeHollowLlama(model, EIGHT_B);
});
after(() => rmSync(directory, { recursive: true, force: true }));

interface World {
  readonly availableGiB: number;
  readonly devices?: readonly Device[] | null;
  readonly deps?: Partial<MemoryGuardDeps>;
}

function guardOf({ availableGiB, devices = [], deps = {} }: World) {
  const log = recordingLog();
  const machine = async () => ({ totalBytes: 64 * GIB, availableBytes: availableGiB * GIB });
  const guard = new MemoryGuard({
    log,
    refuses: true,
    devices: async () => devices,
    machine,
    platform: 'linux',
    ...deps,
  });
  const plan = (changes: Partial<EngineOptions> = {}, freed = NO_MEMORY) => {
    const entry: ModelEntry = { id: 'm', path: model, stop: [], origin: 'map', settings: {} };
    const options = engineOptions({
      modelPath: model,
      contextTokens: 4096,
      batchTokens: 512,
      ...changes,
    });
    return guard.plan(entry, options, freed);
  };
  const refusal = async (changes: Partial<EngineOptions> = {}): Promise<HoshikageError> => {
    try {
      await plan(changes);
    } catch (error) {
      assert.ok(error instanceof HoshikageError, String(error));
      assert.equal(error.code, 'memory_short');
      return error;
    }
    return assert.fail('it was let in');
  };
  return { plan, refusal, log };
}

const gpu = (gib: number, type: Device['type'] = 'gpu'): Device => ({
  name: 'Fake0',
  description: '',
  type,
  totalBytes: gib * GIB,
  freeBytes: gib * GIB,
});

describe('a model that fits', () => {
  test('gets what it will take written into its options', async () => {
    const { memory } = await guardOf({ availableGiB: 12 }).plan();
    assert.ok(memory);
    assert.equal(memory.layerBytes.length, 32);
    assert.equal(memory.kvBytesPerLayer[31], 2 * 8 * 128 * 2 * 4096);
    assert.equal(memory.expertBytes[0], 0);
    // 32 layers of 218 million weights at 34/32 bytes.
    assert.ok(Math.abs(memory.layerBytes.reduce((a, b) => a + b, 0) / GIB - 6.9) < 0.1);
  });

  test('has a use that adds up', async () => {
    const use = memoryUse(await guardOf({ availableGiB: 12 }).plan());
    assert.equal(use.kvBytes, 0.5 * GIB);
    assert.ok(use.weightsBytes > 6.9 * GIB && use.computeBytes < GIB);
    assert.deepEqual(memoryUse(engineOptions()), NO_MEMORY);
  });

  test('is not refused for scratch memory that only the longest prompt would touch', async () => {
    // The scores of a full context alone are 8 GiB, the cache 16.
    const world = guardOf({ availableGiB: 25 });
    const { memory } = await world.plan({ contextTokens: 131_072, flashAttention: 'off' });
    assert.ok((memory?.computeBytes ?? 0) > 8 * GIB);
  });
});

describe('a model that cannot fit', () => {
  test('is refused with figures, in both languages', async () => {
    const error = await guardOf({ availableGiB: 12 }).refusal({ contextTokens: 131_072 });
    assert.equal(error.details.needed, '23.0 GiB');
    assert.equal(error.details.free, '11.5 GiB');
    assert.equal(error.details.short, '11.5 GiB');
    assert.ok(Number(error.details.needed_bytes) > Number(error.details.free_bytes));
    assert.match(words('memory_short', 'ja', error.details), /11\.5 GiB 足りません.*N_CTX/);
    assert.match(words('memory_short', 'en', error.details), /11\.5 GiB more .* N_CTX/);
  });

  test('is told the longest context that does fit, and that one is let in', async () => {
    const world = guardOf({ availableGiB: 12 });
    const { details } = await world.refusal({ contextTokens: 131_072 });
    const longest = Number(
      /N_CTX \(n_ctx of the model\) of (\d+)/.exec(String(details.advice))?.[1],
    );
    assert.ok(longest > 4096 && longest % 256 === 0);
    await world.plan({ contextTokens: longest });
    await world.refusal({ contextTokens: longest + 256 });
  });

  test('is told what a smaller cache saves, and whether that is enough', async () => {
    const little = await guardOf({ availableGiB: 12 }).refusal({ contextTokens: 131_072 });
    assert.match(
      String(little.details.advice),
      /CACHE_TYPE_K=q8_0 and CACHE_TYPE_V=q8_0 saves 7\.5 GiB, which is not enough/,
    );
    const world = guardOf({ availableGiB: 18 });
    const { details } = await world.refusal({ contextTokens: 131_072 });
    assert.match(String(details.advice), /saves 7\.5 GiB, which is enough/);
    await world.plan({ contextTokens: 131_072, cacheTypeK: 'q8_0', cacheTypeV: 'q8_0' });
  });

  test('is told only of a smaller cache for keys where flash attention is off', async () => {
    const { details } = await guardOf({ availableGiB: 12 }).refusal({
      contextTokens: 131_072,
      flashAttention: 'off',
    });
    assert.match(String(details.advice), /CACHE_TYPE_K=q8_0 saves/);
  });

  test('is told how many slots fit', async () => {
    const world = guardOf({ availableGiB: 10 });
    const { details } = await world.refusal({ contextTokens: 8192, slots: 8 });
    const slots = Number(/N_SLOTS of (\d+)/.exec(String(details.advice))?.[1]);
    await world.plan({ contextTokens: 8192, slots });
    await world.refusal({ contextTokens: 8192, slots: slots + 1 });
  });

  test('is told how large its weights may be where nothing else helps', async () => {
    const { details } = await guardOf({ availableGiB: 6 }).refusal();
    assert.match(
      String(details.advice),
      /weights of [45]\.\d GiB or less, a smaller quantisation \(now 6\.9 GiB, Q8_0\)/,
    );
    assert.doesNotMatch(String(details.advice), /N_CTX/);
  });

  test('may be tried all the same where the check is off, with a warning', async () => {
    const world = guardOf({ availableGiB: 2, deps: { refuses: false } });
    assert.ok((await world.plan()).memory);
    assert.match(world.log.records[0]?.message ?? '', /may not fit/);
  });
});

describe('what goes first', () => {
  test('is counted as free', async () => {
    const world = guardOf({ availableGiB: 4 });
    await world.refusal();
    await world.plan({}, { ...NO_MEMORY, freedBytes: 8 * GIB });
  });

  test('never makes more than the machine has', async () => {
    const world = guardOf({ availableGiB: 60 });
    const freed = { ...NO_MEMORY, freedBytes: 40 * GIB };
    await assert.rejects(world.plan({ contextTokens: 131_072, slots: 4 }, freed), {
      code: 'memory_short',
    });
  });

  test('may be as much as weights that were stored anew, which nobody can see', async () => {
    const { memory } = await guardOf({ availableGiB: 12 }).plan();
    assert.ok((memory?.privateBytes ?? 0) > 7 * GIB);
  });
});

describe('a file in main memory', () => {
  const tmpfs = process.platform === 'linux' && statfsSync('/dev/shm').type === 0x0102_1994;
  test('takes no more of it when it is mapped', { skip: !tmpfs }, async () => {
    const stage = async (): Promise<string> => '/dev/shm';
    const world = guardOf({ availableGiB: 2, deps: { stage } });
    await world.plan();
    await world.refusal({ mmap: false });
  });
});

describe('slots that are left open', () => {
  test('never cost a model its place; beside one they share half of what is free then', async () => {
    // One slot of 4 GiB more or less fits, two do not.
    const tight = guardOf({ availableGiB: 12 });
    await tight.refusal({ contextTokens: 32_768, slots: 2 });
    const one = await tight.plan({ contextTokens: 32_768, slots: 1 });
    const open = await tight.plan({ contextTokens: 32_768, slots: 'auto' });
    assert.deepEqual([open.memory, open.moreSlots, open.slots], [one.memory, [], 'auto']);
    // 0.5 GiB each, and 4.5 free beside the first: 2 and 4 take less than half of it, 8 more.
    const { moreSlots } = await guardOf({ availableGiB: 12.5 }).plan({ slots: 'auto' });
    assert.deepEqual(
      moreSlots?.map(({ slots }) => slots),
      [2, 4],
    );
    const four = await guardOf({ availableGiB: 12.5 }).plan({ slots: 4 });
    assert.deepEqual(moreSlots?.[1]?.memory, four.memory);
  });

  test('are refused as one slot would be', async () => {
    const world = guardOf({ availableGiB: 6 });
    const { details } = await world.refusal({ slots: 'auto' });
    assert.deepEqual(details, (await world.refusal({ slots: 1 })).details);
  });
});

describe('a draft model', () => {
  let speculation: NonNullable<EngineOptions['speculation']>;
  before(async () => {
    const draftModelPath = join(directory, 'draft.gguf');
    await writeHollowLlama(draftModelPath, { ...EIGHT_B, layers: 8 });
    speculation = { lookup: false, draftModelPath, mostTokens: 8 };
  });

  test('counts with its weights and its cache, wherever they lie', async () => {
    const world = guardOf({ availableGiB: 20 });
    const [alone, both] = [await world.plan(), await world.plan({ speculation })];
    const use = memoryUse(both);
    // A quarter of the layers, and as long a context.
    assert.equal(use.kvBytes, 1.25 * memoryUse(alone).kvBytes);
    const draft = both.memory?.draft ?? assert.fail('nothing is said of it');
    assert.ok(draft.weightsBytes > 1.7 * GIB && draft.weightsBytes < 2.5 * GIB);
    assert.equal(draft.deviceBytes, 0);
    assert.ok(use.freedBytes - memoryUse(alone).freedBytes > draft.weightsBytes / 2);
    const held = guardOf({ availableGiB: 20, devices: [gpu(12)] });
    const partly = await held.plan({ speculation, gpuLayers: 4 });
    assert.ok((partly.memory?.draft?.deviceBytes ?? 0) > 1.7 * GIB);
    assert.equal((await held.plan({ speculation, gpuLayers: 0 })).memory?.draft?.deviceBytes, 0);
  });

  test('that is too much beside the model is refused with the advice to do without', async () => {
    const world = guardOf({ availableGiB: 9 });
    const { details } = await world.refusal({ speculation });
    assert.match(String(details.advice), /empty DRAFT_MODEL .* fits/);
    await world.plan();
  });
});

// No GPU is at hand: what libllama does with these is known from its sources only.
describe('devices', () => {
  test('take the weights and the cache of their layers off main memory', async () => {
    const world = guardOf({ availableGiB: 4, devices: [gpu(12)] });
    await world.plan({ gpuLayers: -1 });
    await world.plan({ gpuLayers: 99 });
    await world.refusal({ gpuLayers: 0 });
    await world.plan({ gpuLayers: 20 });
    await world.refusal({ gpuLayers: 8 });
  });

  test('that are unknown yet, or are none, are not counted on wrongly', async () => {
    await guardOf({ availableGiB: 4, devices: null }).plan({ gpuLayers: -1 });
    await guardOf({ availableGiB: 4, devices: null }).refusal({ gpuLayers: 0 });
    await guardOf({ availableGiB: 4, devices: [gpu(64, 'cpu')] }).refusal({ gpuLayers: -1 });
  });

  test('are said to be needed, so that nobody loads beside one that still holds them', async () => {
    const bytes = async (devices: readonly Device[] | null, gpuLayers: number): Promise<number> =>
      (await guardOf({ availableGiB: 12, devices }).plan({ gpuLayers })).memory?.deviceBytes ?? -1;
    assert.ok((await bytes([gpu(12)], -1)) > 7 * GIB);
    assert.ok((await bytes(null, -1)) > 7 * GIB);
    assert.equal(await bytes([gpu(12)], 0), 0);
    assert.equal(await bytes([gpu(12, 'cpu')], -1), 0);
  });

  test('that are too small as a whole are a refusal that says how many layers fit', async () => {
    const world = guardOf({ availableGiB: 12, devices: [gpu(3), gpu(2)] });
    const error = await world.refusal({ gpuLayers: -1 });
    const most = Number(/N_GPU_LAYERS of auto, or (\d+)/.exec(String(error.details.advice))?.[1]);
    assert.ok(most > 10 && most < 32);
    await world.plan({ gpuLayers: most });
    await world.refusal({ gpuLayers: most + 1 });
    await world.plan({ gpuLayers: 'auto' });
  });

  test('with layers chosen by themselves need main memory for what they do not hold', async () => {
    await guardOf({ availableGiB: 4, devices: [gpu(6)] }).plan({ gpuLayers: 'auto' });
    await guardOf({ availableGiB: 4, devices: [gpu(2)] }).refusal({ gpuLayers: 'auto' });
  });

  test('are advised where main memory is short and they have room', async () => {
    const { details } = await guardOf({ availableGiB: 4, devices: [gpu(12)] }).refusal({
      gpuLayers: 4,
    });
    assert.match(String(details.advice), /N_GPU_LAYERS=auto/);
  });

  test('that share main memory say nothing certain of their own', async () => {
    await guardOf({ availableGiB: 4, devices: [gpu(1, 'igpu')] }).plan({ gpuLayers: -1 });
    const mac = guardOf({ availableGiB: 4, devices: [gpu(12)], deps: { platform: 'darwin' } });
    await mac.refusal({ gpuLayers: -1 });
  });

  test('leave experts in main memory where they are told to', async () => {
    const { metadata, tensors } = expertContent();
    const large = tensors.map((tensor) =>
      tensor.name.includes('exps') ? { ...tensor, shape: [4096, 8192, 8] } : tensor,
    );
    const path = join(directory, 'experts.gguf');
    await writeHollow(path, { metadata, tensors: large });
    const world = guardOf({ availableGiB: 8, devices: [gpu(6)] });
    const options = { modelPath: path, gpuLayers: -1 };
    const { details } = await world.refusal(options);
    const least = Number(/N_CPU_MOE of (\d+)/.exec(String(details.advice))?.[1]);
    await world.plan({ ...options, cpuExpertLayers: least });
    await world.refusal({ ...options, cpuExpertLayers: least - 1 });
  });
});

test('a file that is no model is refused as such', async () => {
  const world = guardOf({ availableGiB: 12 });
  await assert.rejects(world.plan({ modelPath: join(directory, 'nothing.gguf') }), {
    code: 'model_file_missing',
  });
});
