/**
 * The decision where a model's layers go, taken when its library is open and before anything is
 * loaded. Engine process. It must never wait long: only as long as devices are still being given back
 * memory by an engine that has just ended.
 */
import { basename } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { HoshikageError } from '../errors.js';
import type { Device, EngineOptions } from './engine.js';
import { type LayerPlace, type LayerShortage, layerDevices, placeLayers } from './place-layers.js';

/** Drivers take back an ended process' memory a little later: how often and how long to look again, ms. */
const LOOK_EVERY_MS = 200;
const LOOK_FOR_MS = 3000;

/** What the decision needs beside the options. */
export interface PlacementInput {
  readonly devices: readonly Device[];
  /** The devices as they are now. */
  readonly look: () => Promise<readonly Device[]>;
  readonly signal: AbortSignal;
}

/**
 * The options with a number of layers instead of `auto`. Without an estimate they stay as they are.
 * Codes: memory_short, cancelled.
 */
export async function placed(
  options: EngineOptions,
  input: PlacementInput,
): Promise<EngineOptions> {
  const { memory } = options;
  if (!memory) return options;
  let { devices } = input;
  let place = placeLayers(memory, options, devices);
  const wantsMore = ({ gpuLayers, shortage }: LayerPlace): boolean =>
    shortage !== null || (options.gpuLayers === 'auto' && gpuLayers <= memory.layerBytes.length);
  const end = performance.now() + LOOK_FOR_MS;
  while (layerDevices(devices).length > 0 && wantsMore(place) && performance.now() < end) {
    await wait(LOOK_EVERY_MS, undefined, { signal: input.signal }).catch(() => {
      throw new HoshikageError('cancelled');
    });
    const before = freeOf(devices);
    devices = await input.look();
    place = placeLayers(memory, options, devices);
    if (freeOf(devices) <= before) break;
  }
  if (place.shortage && options.memoryChecked) throw shortError(options, place.shortage);
  return options.gpuLayers === 'auto' ? { ...options, gpuLayers: place.gpuLayers } : options;
}

function freeOf(devices: readonly Device[]): number {
  return layerDevices(devices).reduce((sum, { freeBytes }) => sum + freeBytes, 0);
}

function shortError(
  options: EngineOptions,
  { device, needed, free, fitting }: LayerShortage,
): HoshikageError {
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return new HoshikageError('memory_short', {
    model: basename(options.sourcePath ?? options.modelPath),
    needed: gib(needed),
    free: gib(free),
    short: gib(needed - free),
    needed_bytes: needed,
    free_bytes: free,
    advice: `${device} has room for ${fitting} layers: N_GPU_LAYERS of auto, or ${fitting} or less, leaves the rest in main memory.`,
    advice_ja: `${device} には ${fitting} 層まで載ります。N_GPU_LAYERS を auto か ${fitting} 以下にすると、残りはメインメモリに置きます。`,
  });
}
