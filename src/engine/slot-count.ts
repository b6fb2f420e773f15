/**
 * How many slots a context gets where their number is left open: the one with which the most tokens
 * are made in total. Engine process, JavaScript thread, between the load of a model and the making of
 * its context. It must never end a load: where nothing can be measured, one slot does.
 */
import { toHoshikageError } from '../errors.js';
import type { NativeContextOptions, NativeLibrary, NativeModel } from './addon.js';
import type { EngineOptions } from './engine.js';
import { layerDevices } from './place-layers.js';
import type { LogLine } from './protocol.js';

/** The numbers that are tried. */
export const SLOT_COUNTS: readonly number[] = [1, 2, 4, 8];

/** How long all measuring may take, ms; what has not been measured by then is not chosen. */
const LIMIT_MS = 1500;
/** By how much more slots have to be faster in total than fewer: less may be noise. */
const GAIN = 1.05;

/** The number of slots that makes the most tokens in total, as it was measured. */
export interface KnownSlots {
  readonly best: number;
  /** What it depends on besides the files of model and library, and the options, as text. */
  readonly conditions: string;
}

/** How the number of slots was found where it was not given. */
export interface SlotChoice {
  /** `unmeasured`: there is room for one only, or it could not be measured. */
  readonly how: 'measured' | 'remembered' | 'unmeasured';
  /** What to remember; null where nothing was found out. */
  readonly known: KnownSlots | null;
}

/** What is chosen. */
export interface ChosenSlots {
  readonly slots: number;
  readonly choice: SlotChoice;
}

/** What choosing takes. */
export interface SlotInput {
  readonly model: NativeModel;
  readonly options: Pick<EngineOptions, 'moreSlots' | 'knownSlots'>;
  /** Of the context that is to be made; its sizes do not matter. */
  readonly context: NativeContextOptions;
  readonly conditions: string;
  /** Gets what ends the measuring while it runs. */
  readonly onStart: (cancel: () => void) => void;
  readonly log: (...line: LogLine) => void;
}

/** What a measured number depends on besides the files of model and library, and the options. */
export function slotConditions(
  library: Pick<NativeLibrary, 'devices' | 'minimal'>,
  gpuLayers: number,
  { threads }: Pick<NativeContextOptions, 'threads'>,
): string {
  const devices = gpuLayers > 0 ? layerDevices(library.devices) : [];
  const named = devices.map(({ name, description }) => [name, description]);
  return JSON.stringify({ gpuLayers, devices: named, threads, minimal: library.minimal });
}

/**
 * The largest number that is faster in total than every smaller one. Where steps of several tokens are
 * slower, generations take turns in smaller ones, so that more slots are never slower. `stepMs`: how
 * long a step of SLOT_COUNTS[i] tokens takes; null = not measured. Null where not even two numbers were.
 */
export function bestSlots(stepMs: readonly (number | null)[]): number | null {
  const rates = SLOT_COUNTS.map((count, index) => count / (stepMs[index] ?? Infinity));
  const [one = 0, two = 0] = rates;
  if (one === 0 || two === 0) return null;
  let [best, most] = [1, one];
  for (const [index, rate] of rates.entries()) {
    if (rate > most * GAIN) best = SLOT_COUNTS[index] ?? best;
    most = Math.max(most, rate);
  }
  return best;
}

/** Codes: cancelled, and those with which libllama has given up. */
export async function chooseSlots(input: SlotInput): Promise<ChosenSlots> {
  const { options, conditions, log } = input;
  const fitting = options.moreSlots?.map(({ slots }) => slots) ?? SLOT_COUNTS;
  const limit = Math.max(1, ...fitting);
  const unmeasured: ChosenSlots = { slots: 1, choice: { how: 'unmeasured', known: null } };
  if (limit === 1) {
    log('info', 'N_SLOTS=auto: 1, since there is no room for more');
    return unmeasured;
  }
  const { knownSlots } = options;
  const isKnown = knownSlots?.conditions === conditions;
  const best = isKnown ? knownSlots.best : await measure(input);
  if (best === null) return unmeasured;
  const slots = Math.max(1, ...fitting.filter((count) => count <= best));
  const how = isKnown ? 'remembered' : 'measured';
  const why = slots < best ? `; ${best} would be the fastest, but there is no room` : '';
  log('info', `N_SLOTS=auto: ${slots} (${how}${why})`);
  return { slots, choice: { how, known: knownOf(best, conditions) } };
}

const knownOf = (best: number, conditions: string): KnownSlots => ({ best, conditions });

/** Null where it cannot be said. */
async function measure({ model, context, onStart, log }: SlotInput): Promise<number | null> {
  try {
    const measuring = model.measureSteps(context, SLOT_COUNTS, LIMIT_MS);
    onStart(() => measuring.cancel());
    const stepMs = await measuring.promise;
    log('info', `tokens per second in total: ${wordsOf(stepMs)}`);
    const best = bestSlots(stepMs);
    if (best === null) log('info', 'N_SLOTS=auto: 1, since more could not be measured in time');
    return best;
  } catch (thrown) {
    const error = toHoshikageError(thrown, 'decode_failed');
    if (error.code === 'cancelled' || error.code === 'engine_crashed') throw thrown;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    log('warn', `N_SLOTS=auto: 1, since it cannot be measured: ${reason}`);
    return null;
  }
}

function wordsOf(stepMs: readonly (number | null)[]): string {
  return SLOT_COUNTS.flatMap((count, index) => {
    const ms = stepMs[index] ?? null;
    return ms === null ? [] : [`${((count * 1000) / ms).toFixed(1)} with ${count}`];
  }).join(', ');
}
