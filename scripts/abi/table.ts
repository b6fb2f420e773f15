/**
 * native/abi/llama.json as text and back, in its own shape: a layout or symbol a line, fields below.
 * Pure. It must never reorder or reword what it was not asked to change.
 */
import type { AbiLayout, AbiTable } from '../../src/engine/addon.js';

/** The end of what has no end yet: of a layout's builds, and of a symbol's. */
export const OPEN_LAYOUT = 999_999;
export const OPEN_SYMBOL = 9_999_999;

/** A row of a layout: name, offset, size, default values as unsigned bit patterns. */
export type AbiField = AbiLayout['fields'][number];

const WIDTH = 99;

function layoutText({ id, size, from, to, fields }: AbiLayout): string {
  const rows = fields.map(
    ([name, offset, bytes, defaults]) =>
      `        [${JSON.stringify(name)}, ${offset}, ${bytes}, [${defaults.join(', ')}]]`,
  );
  const head = `    { "id": ${JSON.stringify(id)}, "size": ${size}, "from": ${from}, "to": ${to},`;
  return `${head}\n      "fields": [\n${rows.join(',\n')} ] }`;
}

/** Names in lines of at most WIDTH columns. */
function namesText(names: readonly string[]): string {
  const lines: string[] = [];
  let line = '   ';
  for (const [index, name] of names.entries()) {
    const word = ` ${JSON.stringify(name)}${index + 1 < names.length ? ',' : ''}`;
    if (line.length + word.length > WIDTH && line.trim()) {
      lines.push(line);
      line = '   ';
    }
    line += word;
  }
  return [...lines, line].join('\n');
}

/** A number, or an object of numbers, with a blank after every mark. */
function lineOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value).map(([key, one]) => `"${key}": ${lineOf(one)}`);
  return `{ ${pairs.join(', ')} }`;
}

/** The file's text; printing what was read gives the same bytes. */
export function printTable(table: AbiTable): string {
  const symbols = table.symbols.map(
    ([name, from, gone]) => `    [${JSON.stringify(name)}, ${from}, ${gone}]`,
  );
  // What stands in one line each: the floor, and what may join it.
  const { modelParams, contextParams, symbols: _, alwaysThere, ...single } = table;
  const lines = Object.entries(single).map(([key, value]) => `  "${key}": ${lineOf(value)},`);
  return `{
${lines.join('\n')}
  "modelParams": [
${modelParams.map(layoutText).join(',\n')}
  ],
  "contextParams": [
${contextParams.map(layoutText).join(',\n')}
  ],
  "symbols": [
${symbols.join(',\n')}
  ],
  "alwaysThere": [
${namesText(alwaysThere)}
  ]
}
`;
}

/** Reads the file's text. Written by us; only what a slip of the pen could break is looked at. */
export function parseTable(text: string): AbiTable {
  const table = JSON.parse(text) as AbiTable; // our own data file; the addon checks every row again
  for (const rows of [table.modelParams, table.contextParams]) {
    if (rows.length === 0) throw new Error('the table has no layouts');
  }
  return table;
}

/** The layout of a build; undefined where the table begins later. */
export function layoutAt(rows: readonly AbiLayout[], build: number): AbiLayout | undefined {
  return rows.find(({ from, to }) => from <= build && build <= to);
}

/** Names that a build exports as the table has it. */
export function namesAt(table: AbiTable, build: number): Set<string> {
  const symbols = table.symbols.filter(([, from, gone]) => from <= build && build < gone);
  return new Set([...table.alwaysThere, ...symbols.map(([name]) => name)]);
}

/** The newest build that the table says anything of. */
export function newestBuild(table: AbiTable): number {
  const layouts = [...table.modelParams, ...table.contextParams].map(({ from }) => from);
  const symbols = table.symbols.flatMap(([, from, gone]) => [from, gone]);
  return Math.max(...layouts, ...symbols.filter((build) => build < OPEN_LAYOUT));
}
