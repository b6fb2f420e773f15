/**
 * `npm run abi -- --header LLAMA_H --build N [options]`: brings native/abi/llama.json up to date with
 * a new llama.cpp, or says where the two disagree. Needs no compiler; `--library` uses the addon.
 * It must never write a table that it could not read the header for completely.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { AbiLayout, AbiTable } from '../src/engine/addon.js';
import {
  check,
  codeProblems,
  type Defaults,
  differences,
  extend,
  lastOf,
  nextLayout,
  readCalls,
  STRUCTS,
} from './abi/compare.js';
import { type Header, type HeaderField, parseHeader } from './abi/header.js';
import { askLibrary } from './abi/library.js';
import { parseTable, printTable } from './abi/table.js';
import { inProject } from './root.js';

const USAGE = `usage: npm run abi -- --header LLAMA_H --build N [options]

  --header FILE          llama.h of that build
  --build N              its build number: git rev-list --count, the N of its tag bN
  --check                only say where table and header disagree; exit code 1 if they do
  --library FILE         libllama of that build: new fields take its own defaults
  --default FIELD=VALUE  the default of a new field; may be repeated (a number, true, false, NULL)
  --table FILE           another table than native/abi/llama.json
`;

const OPTIONS = {
  header: { type: 'string' },
  build: { type: 'string' },
  check: { type: 'boolean' },
  library: { type: 'string' },
  default: { type: 'string', multiple: true },
  table: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** What native/src calls, and with how many arguments. */
const SYMBOLS = inProject('native/src/llama/symbols.inc');

class UsageError extends Error {}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** A default as the unsigned bit pattern that stands in the table. */
function bitsOf(text: string, { name, kind, size }: HeaderField): number {
  const words: Readonly<Record<string, number>> = { true: 1, false: 0, NULL: 0, nullptr: 0 };
  const value = words[text] ?? (text.trim() === '' ? Number.NaN : Number(text));
  if (Number.isNaN(value)) throw new UsageError(`--default ${name}=${text}: not a value`);
  if (kind === 'float') {
    const view = new DataView(new ArrayBuffer(8));
    if (size === 4) view.setFloat32(0, value, true);
    else view.setFloat64(0, value, true);
    return size === 4 ? view.getUint32(0, true) : Number(view.getBigUint64(0, true));
  }
  if (!Number.isSafeInteger(value) || Math.abs(value) >= 2 ** (8 * size)) {
    throw new UsageError(`--default ${name}=${text}: does not fit ${size} bytes`);
  }
  return value < 0 ? Number(BigInt.asUintN(8 * size, BigInt(value))) : value;
}

/** What --default says, by field. */
function givenDefaults(texts: readonly string[], header: Header): Defaults {
  const given = new Map<string, number[]>();
  const fields = STRUCTS.flatMap(({ key }) => header[key].fields);
  for (const text of texts) {
    const [, name, value] = /^(\w+)=(.*)$/s.exec(text) ?? [];
    const field = fields.find((one) => one.name === name);
    if (!name || value === undefined || !field) {
      throw new UsageError(`--default ${text}: not a field of the header and its value`);
    }
    given.set(name, [bitsOf(value, field)]);
  }
  return (_, { name }) => given.get(name);
}

/** The newest rows, or the next ones where the header has another layout; `defaults` may be short. */
function candidates(table: AbiTable, header: Header, build: number, defaults: Defaults) {
  const of = (struct: (typeof STRUCTS)[number]): AbiLayout => {
    const rows = table[struct.key];
    const last = lastOf(rows);
    if (differences(last, header[struct.key]).length === 0) return last;
    const known: Defaults = (one, field) => defaults(one, field) ?? [];
    return nextLayout(struct, rows, header[struct.key], build, known);
  };
  return { modelParams: of(STRUCTS[0]), contextParams: of(STRUCTS[1]) };
}

/** The rows of `table` with the values that the library was found to have. */
function withValues(rows: readonly AbiLayout[], seen: AbiLayout): readonly AbiLayout[] {
  return rows.map((row) => (row.id === seen.id ? { ...row, fields: seen.fields } : row));
}

interface Job {
  readonly table: AbiTable;
  readonly header: Header;
  readonly build: number;
  readonly library: string | undefined;
  readonly defaults: Defaults;
}

async function extended({ table, header, build, library, defaults }: Job) {
  if (library === undefined) return extend(table, header, build, defaults);
  const answer = await askLibrary(library, candidates(table, header, build, defaults));
  const seen: Defaults = (struct, { name }) =>
    answer[struct.key].fields.find(([field]) => field === name)?.[3];
  const made = extend(table, header, build, seen);
  const modelParams = withValues(made.table.modelParams, answer.modelParams);
  const contextParams = withValues(made.table.contextParams, answer.contextParams);
  return { table: { ...made.table, modelParams, contextParams }, notes: made.notes };
}

function report(before: AbiTable, after: AbiTable): string[] {
  const lines: string[] = [];
  for (const { key, name } of STRUCTS) {
    const row = lastOf(after[key]);
    const old = before[key].find(({ id }) => id === row.id);
    if (!old) lines.push(`${name}: new layout ${row.id}, ${row.size} bytes, from b${row.from}`);
    for (const [field, , , values] of old ? row.fields : []) {
      const known = old?.fields.find((one) => one[0] === field)?.[3] ?? [];
      const more = values.filter((value) => !known.includes(value));
      if (more.length > 0) lines.push(`${row.id}.${field}: new default ${more.join(', ')}`);
    }
  }
  const rows = new Map(before.symbols.map(([symbol, , gone]) => [symbol, gone]));
  for (const [symbol, from, gone] of after.symbols) {
    const was = rows.get(symbol);
    if (was === undefined) lines.push(from === 0 ? `${symbol}: gone` : `${symbol}: new`);
    else if (was !== gone) lines.push(`${symbol}: gone`);
  }
  return lines;
}

async function main(args: string[]): Promise<number> {
  const values = parse(args);
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const build = Number(values.build);
  if (values.header === undefined || !/^\d+$/.test(values.build ?? '') || build < 1) {
    throw new UsageError('a header and its build number, please');
  }
  const path = values.table ?? inProject('native/abi/llama.json');
  const text = await readFile(path, 'utf8');
  const table = parseTable(text);
  const header = parseHeader(await readFile(values.header, 'utf8'));
  const problems = codeProblems(header, readCalls(await readFile(SYMBOLS, 'utf8')));
  if (values.check) {
    const found = [...check(table, header, build), ...problems];
    for (const line of found) process.stdout.write(`${line}\n`);
    if (found.length === 0) process.stdout.write(`b${build}: header and table agree\n`);
    return found.length === 0 ? 0 : 1;
  }
  const defaults = givenDefaults(values.default ?? [], header);
  const made = await extended({ table, header, build, library: values.library, defaults });
  for (const line of report(table, made.table)) process.stdout.write(`${line}\n`);
  for (const note of [...problems, ...made.notes]) process.stdout.write(`note: ${note}\n`);
  const printed = printTable(made.table);
  if (printed === text) process.stdout.write(`b${build}: nothing new\n`);
  else await writeFile(path, printed);
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const usage = error instanceof UsageError;
    process.stderr.write(
      `${error instanceof Error ? error.message : error}\n${usage ? `\n${USAGE}` : ''}`,
    );
    process.exitCode = usage ? 2 : 1;
  },
);
