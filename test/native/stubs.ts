/**
 * Stub libraries for layouts, known and mutated: generated, compiled many to a shared object, and
 * identified by native/src/llama/abi.cc in one process (identify-stubs.cc). For tests only.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { inProject } from '../../scripts/root.js';
import type { AbiLayout } from '../../src/engine/addon.js';
import { abi, batchSource, cacheFolder, compiler, exportedNames, HEAD } from './fake.js';

/** A field without its place: name, bytes, default. */
export type Field = readonly [name: string, size: number, value: number];

/** A library to be. What is absent it shares with the others: structs and names of one build. */
export interface Stub {
  readonly id: string;
  readonly model?: readonly Field[];
  readonly context?: readonly Field[];
  /** Whose names it exports. */
  readonly build?: number;
}

/** What was said of a stub. */
export type StubVerdict =
  | {
      /** `minimal`: unknown, and driven by its oldest fields. */
      readonly state: 'accepted' | 'minimal';
      readonly model: string;
      readonly context: string;
      readonly bracket: readonly [number, number];
      /** Where main_gpu may have moved without a trace, it is not written. */
      readonly paddingWritten: boolean;
    }
  | { readonly state: 'refused'; readonly reason: string };

/** The fields of a layout; `pick` chooses among a field's historical defaults. */
export function fieldsOf(layout: AbiLayout, pick: 'first' | 'last' = 'first'): Field[] {
  return layout.fields.map(([name, , size, values]) => [
    name,
    size,
    (pick === 'first' ? values[0] : values.at(-1)) ?? 0,
  ]);
}

/** Where a C compiler puts the fields, by name. */
export function placed(fields: readonly Field[]): Map<string, { offset: number; size: number }> {
  const places = new Map<string, { offset: number; size: number }>();
  let end = 0;
  for (const [name, size] of fields) {
    const offset = Math.ceil(end / size) * size;
    places.set(name, { offset, size });
    end = offset + size;
  }
  return places;
}

const CTYPES: Readonly<Record<number, string>> = { 1: 'bool', 4: 'uint32_t', 8: 'uint64_t' };

/** One struct and its default function, written as upstream writes it: one initialiser list. */
function structSource(prefix: string, kind: string, fields: readonly Field[]): string {
  const name = `${prefix}llama_${kind}_params`;
  const declared = fields.map(([field, size]) => `${CTYPES[size]} ${field};`).join(' ');
  const values = fields.map(([, size, value]) => (size === 1 ? `${value !== 0}` : `${value}u`));
  return `struct ${name} { ${declared} };
EXPORT ${name} ${prefix}llama_${kind}_default_params() { ${name} p = {${values.join(', ')}}; return p; }`;
}

/** Names that only have to be there, as labels; the samplers' may be called, so they are functions. */
function namesSource(prefix: string, names: readonly string[]): string {
  const underscore = process.platform === 'darwin' ? '_' : '';
  const called = names.filter((name) => name.startsWith('llama_sampler_'));
  const labels = names
    .filter((name) => !name.startsWith('llama_sampler_'))
    .map((name) => `${underscore}${prefix}${name}`)
    .map((label) => `".globl ${label}\\n${label}:\\n"`);
  const functions = called.map((name) => `EXPORT void* ${prefix}${name}() { return nullptr; }`);
  return [`asm(".data\\n"`, ...labels, `".quad 0\\n.text\\n");`, ...functions].join('\n');
}

const MADE = ['llama_model_default_params', 'llama_context_default_params'];

function namesOf(build: number): string[] {
  const always = abi.alwaysThere.filter((name) => !/^llama_batch_(init|free)$/.test(name));
  return [...always, ...exportedNames(build)].filter((name) => !MADE.includes(name));
}

/** Compiles where the cache has it not, without blocking. Returns the file. */
async function compile(source: string, flags: readonly string[], name: string): Promise<string> {
  if (!compiler) throw new Error('no C++ compiler');
  const folder = cacheFolder([compiler, name, ...flags, source]);
  const file = join(folder, name);
  if (existsSync(file)) return file;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const work = mkdtempSync(join(folder, 'work-'));
  try {
    const out = join(work, name);
    await writeFile(join(work, 'source.cc'), source);
    await execute(compiler, [join(work, 'source.cc'), '-o', out, ...flags]);
    renameSync(out, file);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return file;
}

function execute(command: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: 120_000, maxBuffer: 64 << 20 };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error) reject(new Error(`${basename(command)}: ${stderr || error.message}`));
      else resolve(stdout);
    });
    child.stdin?.end(input);
  });
}

/** One shared object with these stubs, and what they share under names without a prefix. */
async function buildGroup(
  stubs: readonly Stub[],
  { flags, shared }: IdentifyOptions,
): Promise<string> {
  const parts = stubs.map(({ id, model, context, build }) =>
    [
      model ? structSource(`${id}_`, 'model', model) : '',
      context ? structSource(`${id}_`, 'context', context) : '',
      build === undefined ? '' : namesSource(`${id}_`, namesOf(build)),
    ].join('\n'),
  );
  const common = shared
    ? [
        structSource('', 'model', shared.model),
        structSource('', 'context', shared.context),
        namesSource('', namesOf(shared.build)),
      ]
    : [];
  const source = [HEAD, batchSource(56), ...parts, ...common].join('\n');
  return compile(source, ['-std=c++17', '-w', '-fPIC', '-shared', ...flags], 'libstubs.so');
}

/** A source of native/src/llama with everything that it includes, and what implements that. */
function sourcesOf(name: string, found = new Map<string, string>()): Map<string, string> {
  const path = inProject(`native/src/llama/${name}`);
  // The driver brings its own FindSymbol.
  if (found.has(name) || name === 'shared-object.cc' || !existsSync(path)) return found;
  const text = readFileSync(path, 'utf8');
  found.set(name, text);
  for (const [, header = ''] of text.matchAll(/^#include "(.+)"/gm)) {
    sourcesOf(header, found);
    sourcesOf(header.replace(/\.h$/, '.cc'), found);
  }
  return found;
}

/** The program of identify-stubs.cc with the addon's own abi.cc. */
function buildDriver(): Promise<string> {
  const sources = sourcesOf('abi.cc');
  const folder = inProject('native/src/llama');
  const units = [...sources.keys()].filter((name) => name.endsWith('.cc'));
  const driver = readFileSync(inProject('test/native/identify-stubs.cc'), 'utf8');
  // The compiler reads them where they are; for the cache their contents count.
  const contents = `// ${cacheFolder([...sources.values()])}`;
  const flags = ['-std=c++17', '-O1', '-g', `-I${folder}`];
  const files = units.map((name) => join(folder, name));
  return compile(`${contents}\n${driver}`, [...flags, ...files, '-ldl'], 'identify-stubs');
}

function tableText(): string {
  const lines = [`floor ${abi.floor}`];
  for (const [word, layouts] of [
    ['model', abi.modelParams],
    ['context', abi.contextParams],
  ] as const) {
    for (const { id, size, from, to, fields } of layouts) {
      lines.push(`${word} ${id} ${size} ${from} ${to}`);
      for (const [name, offset, bytes, values] of fields) {
        lines.push(`field ${name} ${offset} ${bytes} ${values.join(' ')}`);
      }
    }
  }
  for (const row of abi.symbols) lines.push(`symbol ${row.join(' ')}`);
  return lines.join('\n');
}

function parseVerdict(line: string): readonly [string, StubVerdict] {
  const [id = '', state, ...rest] = line.split('\t');
  if (state === 'refused') return [id, { state, reason: rest.join('\t') }];
  const [model = '', context = '', from, to, padding] = rest;
  const bracket = [Number(from), Number(to)] as const;
  const paddingWritten = padding === '1';
  return [
    id,
    { state: state === 'minimal' ? state : 'accepted', model, context, bracket, paddingWritten },
  ];
}

/** How a set of stubs is compiled and asked about. */
export interface IdentifyOptions {
  readonly flags: readonly string[];
  /** Drive an unknown layout in the minimal mode instead of refusing it. */
  readonly allowUnknown?: boolean;
  /** What a stub has that does not say: the structs and names of a build. */
  readonly shared?: {
    readonly model: readonly Field[];
    readonly context: readonly Field[];
    readonly build: number;
  };
}

/** Compiles the stubs, several to a shared object, and identifies each. */
export async function identifyStubs(
  stubs: readonly Stub[],
  options: IdentifyOptions,
): Promise<Map<string, StubVerdict>> {
  const driver = buildDriver();
  const lines: string[] = [];
  const groups: Stub[][] = [];
  for (const [index, stub] of stubs.entries()) {
    const at = Math.floor(index / 80);
    groups[at] = [...(groups[at] ?? []), stub];
  }
  const work = groups.values();
  const next = async (): Promise<void> => {
    for (const group of work) {
      const file = await buildGroup(group, options);
      for (const { id } of group)
        lines.push(`stub ${id} ${file} ${id}_ ${options.allowUnknown ? 1 : 0}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, next));
  const out = await execute(await driver, [], `${tableText()}\n${lines.join('\n')}\n`);
  return new Map(out.trim().split('\n').map(parseVerdict));
}
