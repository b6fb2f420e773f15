/**
 * How many layers go to the devices: as many as are asked for, or as fit, by the estimate of what they
 * take and what is free. Pure functions. It must never refuse what might work: where a figure is not
 * known, or not of the device alone, it lets libllama try.
 */
import type { Device, EngineOptions } from './engine.js';
import type { MemoryNeed } from './memory-need.js';

/** What is left free on a device that `auto` fills: drivers and the screen want some, and estimates err. */
const KEPT_LEAST = 256 * 2 ** 20;
const KEPT_SHARE = 1 / 25;

/** What of the options decides where layers go. */
export type LayerWish = Pick<EngineOptions, 'gpuLayers' | 'tensorSplit' | 'cpuExpertLayers'>;

/** A device that cannot hold its part; in bytes. */
export interface LayerShortage {
  readonly device: string;
  readonly needed: number;
  readonly free: number;
  /** How many layers would fit there. */
  readonly fitting: number;
}

/** What becomes of a wish. */
export interface LayerPlace {
  /** Layers on devices, the output counted as one; 0 = none. */
  readonly gpuLayers: number;
  /** Why that cannot work; null where it may. */
  readonly shortage: LayerShortage | null;
}

/** Devices that libllama puts layers on: integrated ones only where there are no others. */
export function layerDevices(devices: readonly Device[]): readonly Device[] {
  const own = devices.filter(({ type }) => type === 'gpu');
  return own.length > 0 ? own : devices.filter(({ type }) => type === 'igpu');
}

/** Decides on the layers of a model with these needs. `devices`: as they are now, before the load. */
export function placeLayers(
  need: MemoryNeed,
  wish: LayerWish,
  devices: readonly Device[],
): LayerPlace {
  const found = layerDevices(devices);
  const all = need.layerBytes.length + 1;
  if (found.length === 0) return { gpuLayers: 0, shortage: null };
  if (wish.gpuLayers === 'auto') {
    const fits = (count: number): boolean => roomLeft(need, wish, found, count, kept) === null;
    return { gpuLayers: largest(all, fits), shortage: null };
  }
  const count = wish.gpuLayers < 0 ? all : Math.min(wish.gpuLayers, all);
  // What is shared with main memory, or allocated as it is used, cannot be judged from here.
  const judged = found.every(({ type }) => type === 'gpu') && process.platform !== 'darwin';
  const short = judged ? roomLeft(need, wish, found, count, nothing) : null;
  if (!short) return { gpuLayers: count, shortage: null };
  const fits = (fewer: number): boolean => roomLeft(need, wish, found, fewer, nothing) === null;
  return { gpuLayers: count, shortage: { ...short, fitting: largest(count, fits) } };
}

/** What a device must have besides weights and cache for a placement to count as fitting. */
type Margin = (device: Device, need: MemoryNeed) => number;

/** `auto` also needs room for scratch memory, and leaves some to others. */
const kept: Margin = ({ totalBytes }, { computeBytes, draft }) =>
  computeBytes + (draft?.deviceBytes ?? 0) + Math.max(KEPT_LEAST, totalBytes * KEPT_SHARE);
/** A fixed number is only refused for what is certain. */
const nothing: Margin = () => 0;

/** The first device on which so many layers do not fit; null where all do. */
function roomLeft(
  need: MemoryNeed,
  wish: LayerWish,
  devices: readonly Device[],
  count: number,
  margin: Margin,
): Omit<LayerShortage, 'fitting'> | null {
  const loads = devices.map(() => 0);
  for (const outputFirst of [true, false]) {
    for (const [index, bytes] of loadsOf(need, wish, devices, count, outputFirst).entries()) {
      loads[index] = Math.max(loads[index] ?? 0, bytes);
    }
  }
  for (const [index, device] of devices.entries()) {
    const bytes = loads[index] ?? 0;
    // A device that does not tell its memory is believed to have enough.
    if (bytes === 0 || device.totalBytes === 0) continue;
    const needed = bytes + margin(device, need);
    if (needed > device.freeBytes) return { device: device.name, needed, free: device.freeBytes };
  }
  return null;
}

/**
 * Bytes on each device, spread as libllama spreads layers: by the given shares, else by what is free.
 * `outputFirst`: whether the output is the first to go there or, as in older builds, the last.
 */
function loadsOf(
  need: MemoryNeed,
  { tensorSplit, cpuExpertLayers = 0 }: LayerWish,
  devices: readonly Device[],
  count: number,
  outputFirst: boolean,
): readonly number[] {
  const layers = need.layerBytes.length;
  const first = outputFirst || count > layers ? layers + 1 - count : layers - count;
  const shares = devices.map((device, index) =>
    tensorSplit?.some((share) => share > 0) ? (tensorSplit[index] ?? 0) : device.freeBytes,
  );
  const loads = devices.map(() => 0);
  for (let index = Math.max(0, first); index < first + count; index += 1) {
    const experts = index < cpuExpertLayers ? (need.expertBytes[index] ?? 0) : 0;
    const bytes =
      index === layers
        ? need.outputBytes + need.outputCopyBytes
        : (need.layerBytes[index] ?? 0) - experts + (need.kvBytesPerLayer[index] ?? 0);
    const device = deviceAt((index - first) / count, shares);
    loads[device] = (loads[device] ?? 0) + bytes;
  }
  return loads;
}

/** The device in whose share a position between 0 and 1 lies. */
function deviceAt(position: number, shares: readonly number[]): number {
  const total = shares.reduce((sum, share) => sum + share, 0);
  let end = 0;
  for (const [index, share] of shares.entries()) {
    end += total > 0 ? share / total : 1 / shares.length;
    if (position < end) return index;
  }
  return shares.length - 1;
}

/** The largest number from 0 to `most` that fits; 0 does. */
function largest(most: number, fits: (count: number) => boolean): number {
  for (let count = most; count > 0; count -= 1) if (fits(count)) return count;
  return 0;
}
