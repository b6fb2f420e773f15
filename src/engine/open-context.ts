/**
 * The context of a loaded model, with as many slots as are asked for, or as are best where that is
 * left open. Engine process, JavaScript thread. It must never give up a model for slots beyond one
 * that nobody asked for.
 */
import { toHoshikageError } from '../errors.js';
import type { NativeContext, NativeContextOptions, NativeLibrary, NativeModel } from './addon.js';
import { ofDrafter } from './drafter.js';
import type { EngineOptions } from './engine.js';
import { nativeContextOptions } from './native.js';
import type { LogLine } from './protocol.js';
import { chooseSlots, type SlotChoice, slotConditions } from './slot-count.js';

/** What opening takes. */
export interface OpenContextInput {
  readonly model: NativeModel;
  /** What guesses for it; null = none. */
  readonly drafter: NativeModel | null;
  readonly library: NativeLibrary;
  readonly options: EngineOptions;
  /** Tokens one request may use. */
  readonly tokens: number;
  readonly gpuLayers: number;
  /** The doorbell. */
  readonly onWake: () => void;
  /** Gets what ends the measuring while that runs. */
  readonly onStart: (cancel: () => void) => void;
  /** Nothing is to be tried any more. */
  readonly isOver: () => boolean;
  readonly log: (...line: LogLine) => void;
}

/** A context and how it came about. */
export interface OpenedContext {
  readonly context: NativeContext;
  readonly native: NativeContextOptions;
  /** Null where the options name the number of slots. */
  readonly choice: SlotChoice | null;
}

/** Codes: model_load_failed, draft_model_unusable, model_not_generative, library_incompatible, engine_out_of_memory, cancelled. */
export async function openContext(input: OpenContextInput): Promise<OpenedContext> {
  const { options, tokens, library, gpuLayers } = input;
  if (options.slots !== 'auto') return make(input, options.slots, null);
  const context = nativeContextOptions({ ...options, slots: 1 }, tokens);
  const conditions = slotConditions(library, gpuLayers, context);
  const { slots, choice } = await chooseSlots({ ...input, context, conditions });
  return make(input, slots, choice);
}

/** With fewer slots where their number is ours to choose and so many do not fit. */
async function make(
  input: OpenContextInput,
  slots: number,
  choice: SlotChoice | null,
): Promise<OpenedContext> {
  const { model, drafter, options, tokens, onWake, isOver, log } = input;
  const native = nativeContextOptions({ ...options, slots }, tokens);
  try {
    const drafting = drafter ? { ...native, draftModel: drafter } : native;
    return { context: await model.createContext(drafting, onWake), native, choice };
  } catch (error) {
    const fewer = slots >> 1;
    const unusable = toHoshikageError(error, 'internal_error').code === 'draft_model_unusable';
    if (unusable) throw ofDrafter(error, options.speculation?.draftModelPath);
    if (!choice || fewer === 0 || isOver()) throw error;
    log('warn', `no context with ${slots} slots can be made; trying ${fewer}`);
    return make(input, fewer, choice);
  }
}
