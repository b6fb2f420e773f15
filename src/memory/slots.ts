/**
 * For how many slots there is room where their number is left open. Pure functions. It must never cost
 * a model its place: beside one slot, all others share half of what is free then.
 */
import type { EngineOptions } from '../engine/engine.js';
import type { SlotNeed } from '../engine/memory-need.js';
import { SLOT_COUNTS } from '../engine/slot-count.js';
import { type EngineFiles, mainBytesOf, needOf, type Room, shortageOf } from './room.js';

/** How much of what one slot leaves free others may take: more is for what comes next. */
const SHARE = 1 / 2;

/** Numbers above 1 that fit, ascending, and what they take. */
export function moreSlots(
  files: EngineFiles,
  options: EngineOptions,
  room: Room,
): readonly SlotNeed[] {
  const one = mainBytesOf(files, { ...options, slots: 1 }, room);
  const mainBytes = one + Math.max(0, room.mainBytes - one) * SHARE;
  return SLOT_COUNTS.filter((slots) => slots > 1)
    .map((slots) => ({ ...options, slots }))
    .filter((sized) => shortageOf(files, sized, { ...room, mainBytes }) === null)
    .map((sized) => ({ slots: sized.slots, memory: needOf(files, sized, room) }));
}
