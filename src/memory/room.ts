/**
 * Whether a model fits into the memory there is, and by how much not. Pure functions. What cannot be
 * known (which device libllama chooses, what is free on it, what a driver takes) counts in the model's
 * favour: whoever is refused here could not have been served.
 */
import type { Device, EngineOptions, SizedOptions } from '../engine/engine.js';
import type { MemoryNeed } from '../engine/memory-need.js';
import type { GgufFacts } from '../models/gguf.js';
import { type Estimate, estimateDraft, estimateMemory } from './estimate.js';

/** The headers of all files that one engine loads. */
export interface EngineFiles {
  readonly model: readonly GgufFacts[];
  /** Of the model that guesses ahead; null = none. */
  readonly draft: readonly GgufFacts[] | null;
}

/** What there is for one engine. */
export interface Room {
  /** Main memory it may have, bytes; what the system keeps is taken off. */
  readonly mainBytes: number;
  /** Null: nobody knows yet what devices there are. */
  readonly devices: readonly Device[] | null;
  /** The file lies in main memory already, so that mapping it takes no more. */
  readonly isFileInMemory: boolean;
  /** The devices' memory is main memory. */
  readonly isUnified: boolean;
}

/** Where something does not fit; in bytes. */
export interface Shortage {
  readonly where: 'main' | 'device';
  readonly needed: number;
  readonly free: number;
}

/** What of an estimate lies in main memory at least, and on devices at least. */
export interface Placement {
  readonly mainBytes: number;
  /** What main memory has back at most once the engine has ended. */
  readonly privateBytes: number;
  readonly deviceBytes: number;
}

const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0);

/** Why these options cannot work with this room; null where they may. */
export function shortageOf(files: EngineFiles, options: SizedOptions, room: Room): Shortage | null {
  const { mainBytes, deviceBytes } = placementOfAll(files, options, room);
  if (mainBytes > room.mainBytes) {
    return { where: 'main', needed: Math.ceil(mainBytes), free: Math.floor(room.mainBytes) };
  }
  const deviceRoom = deviceRoomOf(room);
  if (options.gpuLayers !== 'auto' && deviceRoom !== null && deviceBytes > deviceRoom) {
    return { where: 'device', needed: Math.ceil(deviceBytes), free: deviceRoom };
  }
  return null;
}

/** What of main memory an engine needs at least. */
export function mainBytesOf(files: EngineFiles, options: SizedOptions, room: Room): number {
  return placementOfAll(files, options, room).mainBytes;
}

/** What an engine takes, and where. */
export function needOf(files: EngineFiles, options: SizedOptions, room: Room): MemoryNeed {
  const { floatBytes: _, touchedBytes: __, ...estimate } = estimateMemory(files.model, options);
  const { privateBytes, deviceBytes } = placementOfAll(files, options, room);
  const draft = files.draft && draftOf(files.draft, options, room);
  if (!draft) return { ...estimate, privateBytes, deviceBytes };
  const { layerBytes, outputBytes, inputBytes, kvBytesPerLayer } = draft.estimate;
  return {
    ...estimate,
    privateBytes,
    deviceBytes,
    draft: {
      weightsBytes: sum(layerBytes) + outputBytes + inputBytes,
      kvBytes: sum(kvBytesPerLayer),
      computeBytes: draft.estimate.computeBytes + draft.estimate.hostBytes,
      deviceBytes: draft.placement.deviceBytes,
    },
  };
}

/** Where all that one engine loads would lie. */
function placementOfAll(
  { model, draft }: EngineFiles,
  options: SizedOptions,
  room: Room,
): Placement {
  const own = placementOf(estimateMemory(model, options), options, room);
  if (!draft) return own;
  const { placement } = draftOf(draft, options, room);
  return {
    mainBytes: own.mainBytes + placement.mainBytes,
    privateBytes: own.privateBytes + placement.privateBytes,
    deviceBytes: own.deviceBytes + placement.deviceBytes,
  };
}

/** A draft model goes to the devices whole, or not at all. */
function draftOf(
  parts: readonly GgufFacts[],
  { cpuExpertLayers: _, ...options }: SizedOptions,
  room: Room,
): { readonly estimate: Estimate; readonly placement: Placement } {
  const estimate = estimateDraft(parts, options);
  const gpuLayers = options.gpuLayers === 0 ? 0 : -1;
  return { estimate, placement: placementOf(estimate, { ...options, gpuLayers }, room) };
}

/** Everything the devices have; null where that cannot be said. */
function deviceRoomOf({ devices, isUnified }: Room): number | null {
  const found = devicesOf(devices ?? []);
  // An integrated one takes from main memory what its driver pleases.
  if (isUnified || found.length === 0 || found.some(({ type }) => type !== 'gpu')) return null;
  return found.every(({ totalBytes }) => totalBytes > 0)
    ? sum(found.map(({ totalBytes }) => totalBytes))
    : null;
}

/** Devices that layers can be put on. */
const devicesOf = (devices: readonly Device[]): readonly Device[] =>
  devices.filter(({ type }) => type !== 'cpu' && type !== 'accel');

/** Where an estimate's parts would lie: the last layers on devices, as many as are asked for. */
export function placementOf(estimate: Estimate, options: EngineOptions, room: Room): Placement {
  const layers = estimate.layerBytes.length;
  const onDevice = deviceLayers(options, room, layers);
  const first = layers + 1 - onDevice;
  const cpuExperts = options.cpuExpertLayers ?? 0;
  let deviceBytes = 0;
  const main = { weights: 0, float: 0, kept: 0 };
  for (let index = 0; index < layers; index++) {
    const [weights = 0, experts = 0, float = 0, kept = 0] = [
      estimate.layerBytes[index],
      estimate.expertBytes[index],
      estimate.floatBytes[index],
      estimate.kvBytesPerLayer[index],
    ];
    if (index < first) {
      // Older builds place the output last: then this layer goes to the device in its place.
      if (onDevice > 0 && index === first - 1) continue;
      main.weights += weights;
      main.float += float;
      main.kept += kept;
      continue;
    }
    const stays = index < cpuExperts ? experts : 0;
    main.weights += stays;
    deviceBytes += weights - stays + kept;
  }
  if (onDevice > 0) deviceBytes += estimate.outputBytes + estimate.outputCopyBytes;
  else main.weights += estimate.outputBytes;
  return summary(estimate, options, room, main, deviceBytes);
}

function summary(
  estimate: Estimate,
  options: EngineOptions,
  room: Room,
  main: { readonly weights: number; readonly float: number; readonly kept: number },
  deviceBytes: number,
): Placement {
  const weights = main.weights + estimate.inputBytes;
  const isMapped = options.mmap && room.isFileInMemory;
  const own = estimate.hostBytes + estimate.touchedBytes + main.kept;
  const left =
    options.gpuLayers === 'auto' ? Math.max(0, deviceBytes - (deviceRoomOf(room) ?? Infinity)) : 0;
  // Blocks of quantised weights may be stored anew for the processor; plain floats are mapped.
  const copied = options.mmap ? Math.max(0, main.weights - main.float) : weights;
  return {
    mainBytes: own + (isMapped ? 0 : weights) + left,
    privateBytes: estimate.hostBytes + estimate.computeBytes + main.kept + copied,
    deviceBytes,
  };
}

/** How many of the layers, the output counted as one, go to devices. */
function deviceLayers({ gpuLayers }: EngineOptions, room: Room, layers: number): number {
  const hasDevices = room.devices === null || devicesOf(room.devices).length > 0;
  if (gpuLayers === 0 || !hasDevices || room.isUnified) return 0;
  if (gpuLayers === 'auto' || gpuLayers < 0) return layers + 1;
  return Math.min(gpuLayers, layers + 1);
}
