/**
 * Simulated futures of a layout: one field added, removed or swapped with its neighbour. And what
 * would come of it if the addon took such a library for the known one. For tests only.
 */
import type { AbiLayout } from '../../src/engine/addon.js';
import { type Field, fieldsOf, placed } from './stubs.js';

/** One edit of the fields of one struct. */
export interface Mutation {
  readonly edit: 'added' | 'removed' | 'swapped';
  /** In words: what was done where. */
  readonly what: string;
  readonly fields: readonly Field[];
}

/** New fields with defaults that upstream gave new fields before. */
const ADDED: readonly (readonly [word: string, size: number, value: number])[] = [
  ...[0, 1, 4, 512, 0xffffffff].map((value) => [`u32 ${value | 0}`, 4, value] as const),
  ['pointer NULL', 8, 0],
  ['bool true', 1, 1],
  ['bool false', 1, 0],
  ['float -1', 4, 0xbf800000],
];

/** Every single edit of a layout: ADDED before each field and at the end, removals, neighbours. */
export function mutationsOf(layout: AbiLayout): Mutation[] {
  const fields = fieldsOf(layout, 'last');
  const made: Mutation[] = [];
  for (let at = 0; at <= fields.length; at++) {
    const where = fields[at]?.[0];
    for (const [word, size, value] of ADDED) {
      const field: Field = ['added', size, value];
      const what = `${word} ${where ? `before ${where}` : 'at the end'}`;
      made.push({ edit: 'added', what, fields: fields.toSpliced(at, 0, field) });
    }
  }
  for (const [at, [name]] of fields.entries()) {
    made.push({ edit: 'removed', what: name, fields: fields.toSpliced(at, 1) });
    const [first, second] = fields.slice(at, at + 2);
    if (!first || !second) continue;
    const swapped = fields.toSpliced(at, 2, second, first);
    made.push({ edit: 'swapped', what: `${first[0]} and ${second[0]}`, fields: swapped });
  }
  return made;
}

/** What the addon writes into a struct on every load; distinct values, so that a mix-up shows. */
const ALWAYS: ReadonlyMap<string, bigint> = new Map([
  ['n_ctx', 4096n],
  ['n_batch', 1024n],
  ['n_ubatch', 256n],
  ['n_seq_max', 3n],
  ['n_threads', 6n],
  ['n_threads_batch', 6n],
  ['n_gpu_layers', 77n],
  ['progress_callback', 0x1111_2222_3333n],
  ['kv_unified', 1n],
]);

/** What it writes only where a setting or embeddings ask for it. */
const ON_REQUEST = [
  'main_gpu',
  'tensor_split',
  'tensor_buft_overrides',
  'use_mmap',
  'use_mlock',
  'load_mode',
  'flash_attn_type',
  'type_k',
  'type_v',
  'rope_scaling_type',
  'rope_freq_base',
  'rope_freq_scale',
  'embeddings',
  'pooling_type',
];

/** Every field that the addon writes at all. */
export const WRITTEN: readonly string[] = [...ALWAYS.keys(), ...ON_REQUEST];

/** Read back after a load (stage 7): by getters, and by being called. */
const VERIFIED = [
  ...['n_ctx', 'n_batch', 'n_ubatch', 'n_seq_max', 'n_threads', 'n_threads_batch'],
  ...['progress_callback', 'kv_unified'],
];

/**
 * What becomes of a mutated library that was taken for a known one.
 * `untouched`: it reads what the addon meant, whatever the settings are.
 * `on request`: so it does, unless what is seldom asked for is written to the wrong place.
 * `caught`: its first load is refused, since what comes back is not what was written.
 * `harmful`: none of these.
 */
export type Outcome = 'untouched' | 'on request' | 'caught' | 'harmful';

type Places = ReadonlyMap<string, { readonly offset: number; readonly size: number }>;

/** The library's own view of a field after the addon wrote `values` where it believes them. */
function seenBy(library: Places, believed: Places, values: ReadonlyMap<string, bigint>) {
  const bytes = new DataView(new ArrayBuffer(512));
  for (const [name, value] of values) {
    const place = believed.get(name);
    if (place?.size === 8) bytes.setBigUint64(place.offset, value, true);
    if (place?.size === 4) bytes.setUint32(place.offset, Number(value), true);
    if (place?.size === 1) bytes.setUint8(place.offset, Number(value));
  }
  return (name: string): bigint | undefined => {
    const place = library.get(name);
    if (place === undefined) return undefined;
    if (place.size === 8) return bytes.getBigUint64(place.offset, true);
    return BigInt(
      place.size === 4 ? bytes.getUint32(place.offset, true) : bytes.getUint8(place.offset),
    );
  };
}

/** The only fields of a layout that the minimal mode writes; they have never moved since b5028. */
export const MINIMAL = ['n_ctx', 'n_batch', 'n_ubatch', 'n_seq_max', 'n_gpu_layers'];

/**
 * Judges a mutation that was accepted as `layout`: of what is written on every load and what a
 * setting may add, `isWritten` says what this library gets.
 */
export function outcomeOf(
  mutation: Mutation,
  layout: AbiLayout,
  isWritten: (field: string) => boolean = () => true,
): Outcome {
  const library = placed(mutation.fields);
  const believed = new Map([...placed(fieldsOf(layout))].filter(([name]) => isWritten(name)));
  const misplaced = (name: string): boolean => {
    const place = believed.get(name);
    const real = library.get(name);
    return place !== undefined && (place.offset !== real?.offset || place.size !== real.size);
  };
  const seen = seenBy(library, believed, ALWAYS);
  const wrong = [...ALWAYS].filter(([name, value]) => believed.has(name) && seen(name) !== value);
  if (wrong.some(([name]) => VERIFIED.includes(name))) return 'caught';
  if (wrong.length > 0) return 'harmful';
  return ON_REQUEST.some(misplaced) ? 'on request' : 'untouched';
}

/** The bytes of a struct's defaults, padding as zero, as far as its last set byte. */
function image(fields: readonly Field[]): string {
  const bytes = Buffer.alloc(512);
  const places = placed(fields);
  for (const [name, size, value] of fields) {
    const offset = places.get(name)?.offset ?? 0;
    if (size === 8) bytes.writeBigUInt64LE(BigInt(value), offset);
    else bytes.writeUIntLE(value, offset, size);
  }
  return bytes.toString('hex').replace(/(00)+$/, '');
}

/** Whether the defaults of a mutated layout are the very bytes of the known one's. */
export function sameBytes(mutation: Mutation, layout: AbiLayout): boolean {
  return image(mutation.fields) === image(fieldsOf(layout, 'last'));
}
