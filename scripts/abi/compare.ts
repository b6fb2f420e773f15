/**
 * A header against the table: what differs at a build, and the table with that build in it. Pure.
 * It only goes forward: a row that was measured is never rewritten by an older header.
 */
import type { AbiLayout, AbiTable } from '../../src/engine/addon.js';
import type { Header, HeaderField, HeaderStruct } from './header.js';
import {
  type AbiField,
  layoutAt,
  namesAt,
  newestBuild,
  OPEN_LAYOUT,
  OPEN_SYMBOL,
} from './table.js';

/** The two structs that are in the table, by their key in it. */
export const STRUCTS = [
  { key: 'modelParams', name: 'llama_model_params', letter: 'M' },
  { key: 'contextParams', name: 'llama_context_params', letter: 'C' },
] as const;
export type Struct = (typeof STRUCTS)[number];

/** Something the header and the table cannot be made to agree on; its message says what to do. */
export class TableError extends Error {}

/** Numbers that native/src writes or compares, under upstream's names. */
const RELIED_ON: Readonly<Record<string, number>> = {
  LLAMA_FLASH_ATTN_TYPE_AUTO: -1,
  LLAMA_FLASH_ATTN_TYPE_DISABLED: 0,
  LLAMA_FLASH_ATTN_TYPE_ENABLED: 1,
  LLAMA_ROPE_SCALING_TYPE_NONE: 0,
  LLAMA_ROPE_SCALING_TYPE_LINEAR: 1,
  LLAMA_ROPE_SCALING_TYPE_YARN: 2,
  LLAMA_TOKEN_ATTR_CONTROL: 8,
};

/** Differences of one struct, field by field; empty where every field has its place and size. */
export function differences(layout: AbiLayout, struct: HeaderStruct): string[] {
  const found: string[] = [];
  const declared = new Map(struct.fields.map((field) => [field.name, field]));
  for (const [name, offset, size] of layout.fields) {
    const field = declared.get(name);
    declared.delete(name);
    if (!field) found.push(`${name} is gone`);
    else if (field.size !== size) found.push(`${name} has ${field.size} bytes, not ${size}`);
    else if (field.offset !== offset) found.push(`${name} is at ${field.offset}, not ${offset}`);
  }
  for (const { name, offset, type } of declared.values()) {
    found.push(`${name} (${type}) at ${offset} is new`);
  }
  if (struct.size !== layout.size) found.push(`${struct.size} bytes, not ${layout.size}`);
  return found;
}

/** Enumerators whose number is another than the one the addon's code was written for. */
function movedNumbers(header: Header): string[] {
  return Object.entries(RELIED_ON).flatMap(([name, expected]) => {
    const value = header.enumerators.get(name);
    return value === undefined || value === expected
      ? []
      : [`${name} is ${value}; native/src was written for ${expected}`];
  });
}

/** How many arguments native/src passes to each function that it calls: the text of symbols.inc. */
export function readCalls(symbols: string): Map<string, number> {
  const rows = symbols.matchAll(/^(?:REQUIRED|OPTIONAL)\(.*?,\s*(\w+),\s*\((.*)\)\)$/gm);
  return new Map(
    [...rows].map(([, name = '', list = '']) => [name, list.trim() ? list.split(',').length : 0]),
  );
}

/** What the code of native/src relies on and the header has otherwise; no table could mend it. */
export function codeProblems(header: Header, calls: ReadonlyMap<string, number>): string[] {
  const arities = [...calls].flatMap(([name, passed]) => {
    const taken = header.functions.get(name);
    return taken === undefined || taken === passed
      ? []
      : [`${name} takes ${taken} arguments; native/src passes ${passed}`];
  });
  return [...movedNumbers(header), ...arities];
}

/** Everything in which a header disagrees with the table at a build. */
export function check(table: AbiTable, header: Header, build: number): string[] {
  const found: string[] = [];
  for (const { key, name } of STRUCTS) {
    const layout = layoutAt(table[key], build);
    if (!layout) found.push(`${name}: the table has no layout for b${build}`);
    else found.push(...differences(layout, header[key]).map((text) => `${layout.id}: ${text}`));
  }
  const known = namesAt(table, build);
  for (const name of header.functions.keys()) {
    if (!known.delete(name)) found.push(`${name} is not in the table at b${build}`);
  }
  for (const name of known) found.push(`${name} is not in the header`);
  return found;
}

/** A value list for fields that no row has had yet; undefined where nothing is known. */
export type Defaults = (struct: Struct, field: HeaderField) => readonly number[] | undefined;

/** The layout of a header's struct as the next row. Throws TableError naming what has no default. */
export function nextLayout(
  struct: Struct,
  rows: readonly AbiLayout[],
  { fields, size }: HeaderStruct,
  build: number,
  defaults: Defaults,
): AbiLayout {
  const last = lastOf(rows);
  const carried = new Map(last.fields.map((row) => [`${row[0]} ${row[2]}`, row[3]]));
  const missing: string[] = [];
  const made = fields.map((field): AbiField => {
    const values = carried.get(`${field.name} ${field.size}`) ?? defaults(struct, field);
    if (!values) missing.push(field.name);
    return [field.name, field.offset, field.size, values ?? []];
  });
  if (missing.length > 0) {
    throw new TableError(
      `${struct.name}: no default is known for ${missing.join(', ')}; give --library, or --default ${missing[0]}=VALUE`,
    );
  }
  const id = `${struct.letter}${Number(last.id.slice(1)) + 1}`;
  return { id, size, from: build, to: OPEN_LAYOUT, fields: made };
}

export function lastOf(rows: readonly AbiLayout[]): AbiLayout {
  const last = rows.at(-1);
  if (!last) throw new TableError('the table has no layouts');
  return last;
}

/** The same places under other names: values could never tell the two apart. */
function refuseRenamed(struct: Struct, last: AbiLayout, next: HeaderStruct): void {
  const shape = (rows: readonly (readonly [number, number])[]): string => JSON.stringify(rows);
  const before = shape(last.fields.map(([, offset, size]) => [offset, size]));
  const after = shape(next.fields.map(({ offset, size }) => [offset, size]));
  if (before !== after || last.size !== next.size) return;
  const renamed = next.fields.flatMap(({ name }, index) => {
    const old = last.fields[index]?.[0];
    return old === undefined || old === name ? [] : [`${old} -> ${name}`];
  });
  throw new TableError(
    `${struct.name}: the same places under other names (${renamed.join(', ')}); no value tells them apart. ` +
      'Where it is only a new name, change it in the last row and in native/src by hand',
  );
}

/** Notes on what a row's values cannot show. */
function notesOn(struct: Struct, last: AbiLayout, next: AbiLayout, header: HeaderStruct): string[] {
  const notes = differences(last, header).map((text) => `${next.id}: ${text}`);
  const kept = last.fields.every(([name, offset, size]) =>
    next.fields.some((row) => row[0] === name && row[1] === offset && row[2] === size),
  );
  if (kept && last.size === next.size) {
    notes.push(
      `${next.id} is ${last.id} with its padding used: both may fit one library, and the larger stands for both`,
    );
  }
  const known = new Set(last.fields.map(([name]) => name));
  for (const { name, kind, type } of header.fields) {
    if (known.has(name) || kind !== 'enum') continue;
    notes.push(
      `${struct.name}.${name}: the numbers of ${type} are not in the table and may move at unchanged size ` +
        '(as llama_load_mode did with b10145); write it only by a name that the library translates',
    );
  }
  return notes;
}

function extendSymbols(table: AbiTable, header: Header, build: number): Partial<AbiTable> {
  const declared = header.functions;
  const rows = table.symbols.map((row): AbiTable['symbols'][number] => {
    const [name, from, gone] = row;
    if (declared.has(name) && gone <= build) {
      throw new TableError(`${name} was gone since b${gone} and is back; a row has one span only`);
    }
    return declared.has(name) || gone < OPEN_SYMBOL ? row : [name, from, build];
  });
  const vanished = table.alwaysThere.filter((name) => !declared.has(name));
  const known = new Set([...table.symbols.map(([name]) => name), ...table.alwaysThere]);
  const added = [...declared.keys()].filter((name) => !known.has(name));
  const more: AbiTable['symbols'][number][] = [
    ...vanished.map((name) => [name, 0, build] as const),
    ...added.map((name) => [name, build, OPEN_SYMBOL] as const),
  ];
  if (more.length === 0) return { symbols: rows };
  const symbols = [...rows, ...more].sort(([a], [b]) => (a < b ? -1 : 1));
  return { symbols, alwaysThere: table.alwaysThere.filter((name) => declared.has(name)) };
}

/** The table with this build in it, and what a reader of the change should know. */
export function extend(
  table: AbiTable,
  header: Header,
  build: number,
  defaults: Defaults,
): { readonly table: AbiTable; readonly notes: readonly string[] } {
  const newest = newestBuild(table);
  if (build < newest) {
    throw new TableError(`the table knows b${newest}; an older header can only be checked`);
  }
  const notes: string[] = [];
  const changed: Partial<Record<Struct['key'], AbiLayout[]>> = {};
  for (const struct of STRUCTS) {
    const rows = table[struct.key];
    const last = lastOf(rows);
    if (differences(last, header[struct.key]).length === 0) continue;
    refuseRenamed(struct, last, header[struct.key]);
    if (last.from === build) throw new TableError(`${last.id} already stands for b${build}`);
    const next = nextLayout(struct, rows, header[struct.key], build, defaults);
    notes.push(...notesOn(struct, last, next, header[struct.key]));
    changed[struct.key] = [...rows.slice(0, -1), { ...last, to: build - 1 }, next];
  }
  const symbols = extendSymbols(table, header, build);
  return { table: { ...table, ...changed, ...symbols }, notes };
}
