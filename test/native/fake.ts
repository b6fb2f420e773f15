/**
 * Builds the fake libllama (fake-llama.cc) and stand-ins for other versions, and steers them.
 * One process opens one library for ever, so a test file that loads one shares it between its tests;
 * what needs another library runs in a child process (stories.mjs).
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { inProject } from '../../scripts/root.js';
import type { AbiLayout, AbiTable } from '../../src/engine/addon.js';

const fakeSource = inProject('test/native/fake-llama.cc');

/** What is known of libllama's layouts and symbols. */
export const abi = JSON.parse(readFileSync(inProject('native/abi/llama.json'), 'utf8')) as AbiTable; // our own data file; the addon checks it field by field

/** The build number that the fake stands for: v0.5.0, newer than every row of the table. */
export const newestBuild = 11_000;

function findCompiler(): string | null {
  if (process.platform === 'win32') return null;
  for (const name of [process.env.CXX, 'g++', 'clang++', 'c++']) {
    if (name && spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0) return name;
  }
  return null;
}

/** The C++ compiler of these tests; null where there is none. */
export const compiler = findCompiler();

/** Why these tests can't run here, or false: the value of node:test's `skip`. */
export const skipReason: string | false = compiler
  ? false
  : 'no C++ compiler (g++ or clang++) to build the fake libllama with';

/** Where what was made of `parts` is kept. */
export function cacheFolder(parts: readonly string[]): string {
  const digest = createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 24);
  return join(tmpdir(), `hoshikage-fake-${userInfo().uid}`, digest);
}

/** Compiles C++ to a shared library in a folder of its own, once per content. Returns its path. */
function compile(source: string, flags: readonly string[], fileName: string): string {
  if (!compiler) throw new Error('no C++ compiler');
  const sanitize = process.env.HOSHIKAGE_SANITIZE ?? '';
  const all = [
    ...['-std=c++17', '-O1', '-g', '-fPIC', '-shared', '-pthread'],
    ...(sanitize ? [`-fsanitize=${sanitize}`] : []),
    ...flags,
  ];
  const folder = cacheFolder([compiler, fileName, ...all, source]);
  const file = join(folder, fileName);
  if (existsSync(file)) return file;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const work = mkdtempSync(join(folder, 'work-'));
  try {
    writeFileSync(join(work, 'source.cc'), source);
    const out = join(work, fileName);
    // Libraries among the flags must come after what needs them.
    execFileSync(compiler, [join(work, 'source.cc'), '-o', out, ...all], { stdio: 'pipe' });
    renameSync(out, file);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return file;
}

/** Names that a libllama of this build exports and others do not, as far as the table knows them. */
export function exportedNames(build: number): string[] {
  return abi.symbols
    .filter(([, from, gone]) => from <= build && build < gone)
    .map(([name]) => name);
}

const TEXTS = new Set(['llama_version', 'ggml_version', 'ggml_commit']);

/** Functions that only exist by name; they return null, or an empty text. */
function stubs(names: Iterable<string>): string {
  return [...names]
    .map((name) => `EXPORT const void* ${name}() { return ${TEXTS.has(name) ? '""' : 'nullptr'}; }`)
    .join('\n');
}

/** The full fake, as v0.5.0, or with an edit of its source. */
export function buildFake(edit: (source: string) => string = (source) => source): string {
  const source = edit(readFileSync(fakeSource, 'utf8'));
  const names = exportedNames(newestBuild).filter((name) => !source.includes(` ${name}(`));
  return compile(`${source}\n${stubs(names)}\n`, ['-fvisibility=hidden'], 'libllama.so');
}

/** How a stand-in differs from the library it stands for. */
export interface LookalikeOptions {
  readonly build: number;
  readonly modelParams: AbiLayout;
  readonly contextParams: AbiLayout;
  /** Names it does not export. */
  readonly without?: readonly string[];
  /** Names it exports besides. */
  readonly extra?: readonly string[];
  /** 56, or 72 as before b3943. */
  readonly batchBytes?: 56 | 72;
  /** Numbers of arguments of its samplers; absent: what the build has. `none`: they make nothing. */
  readonly samplers?: { readonly penalties: 4 | 5; readonly dry: 7 | 8 } | 'none';
  /** Leaves ggml to a library of its own at this path. */
  readonly ggml?: string;
  /** Text that makes the file another one. */
  readonly salt?: string;
}

const CTYPES: Readonly<Record<number, string>> = { 1: 'bool', 4: 'uint32_t', 8: 'void*' };

/** A layout as a C struct with its default function; the compiler confirms offsets and size. */
function structSource(name: string, layout: AbiLayout): string {
  const lines = [`struct ${name} {`];
  for (const [field, , size] of layout.fields) lines.push(`  ${CTYPES[size]} ${field};`);
  lines.push('};', `static_assert(sizeof(${name}) == ${layout.size}, "size");`);
  for (const [field, offset] of layout.fields) {
    lines.push(`static_assert(offsetof(${name}, ${field}) == ${offset}, "${field}");`);
  }
  const fn = name.replace('_params', '_default_params');
  lines.push(`EXPORT ${name} ${fn}() {`, `  ${name} p;`);
  for (const [field, , size, defaults] of layout.fields) {
    lines.push(`  p.${field} = (${CTYPES[size]})${defaults.at(-1) ?? 0}u;`);
  }
  lines.push('  return p;', '}');
  return lines.join('\n');
}

/** llama_batch with its two functions, of this size. */
export function batchSource(bytes: 56 | 72): string {
  const extra = bytes === 72 ? '  int32_t all_pos_0, all_pos_1, all_seq_id;\n' : '';
  return `struct llama_batch {
  int32_t n_tokens;
  void *token, *embd, *pos, *n_seq_id, *seq_id, *logits;
${extra}};
static_assert(sizeof(llama_batch) == ${bytes}, "batch");
EXPORT llama_batch llama_batch_init(int32_t, int32_t, int32_t) {
  llama_batch b = {};
  b.token = malloc(16), b.pos = malloc(16), b.n_seq_id = malloc(16);
  b.seq_id = malloc(16), b.logits = malloc(16);
  return b;
}
EXPORT void llama_batch_free(llama_batch b) {
  free(b.token), free(b.pos), free(b.n_seq_id), free(b.seq_id), free(b.logits);
}`;
}

/**
 * Samplers that say by their names what they made of their arguments. Before the names told anything,
 * nobody has a reason to call them: then they end the process.
 */
function samplersSource(options: LookalikeOptions): string {
  const { namesTell, penalties5, dry7 } = abi.samplers;
  if (options.samplers === 'none') return '';
  const penalties = options.samplers?.penalties ?? (options.build < penalties5 ? 4 : 5);
  const dry = options.samplers?.dry ?? (options.build < dry7 ? 8 : 7);
  const silent = options.build < namesTell ? 'abort();' : '';
  return `EXPORT const char* llama_sampler_name(const void* s) { return static_cast<const char*>(s); }
EXPORT void llama_sampler_free(void*) {}
EXPORT const void* llama_sampler_init_penalties(${penalties === 5 ? 'int32_t n_vocab, ' : ''}int32_t last_n,
    float repeat, float frequency, float presence) {
  ${silent}${penalties === 5 ? 'if (n_vocab <= 0) abort();' : ''}
  const bool on = last_n != 0 && (repeat != 1 || frequency != 0 || presence != 0);
  return on ? "penalties" : "?penalties";
}
EXPORT const void* llama_sampler_init_dry(const void*, ${dry === 8 ? 'int32_t, ' : ''}float multiplier,
    float base, int32_t, int32_t last_n, const char** breakers, size_t count) {
  ${silent}
  if (multiplier == 0 || base < 1 || last_n ${dry === 8 ? '==' : '<='} 0) return "?dry";
  if (count > 0 && !breakers[0]) abort();
  return "dry";
}`;
}

/** Names in native/src/llama/symbols.inc; `kind` is REQUIRED or OPTIONAL. */
export function symbolNames(kind: 'REQUIRED' | 'OPTIONAL'): string[] {
  const text = readFileSync(inProject('native/src/llama/symbols.inc'), 'utf8');
  return [...text.matchAll(new RegExp(`^${kind}\\(.*?,\\s*(\\w+),\\s*\\(`, 'gm'))].map(
    (match) => match[1] ?? '',
  );
}

const SAMPLER_NAMES = [
  'llama_sampler_name',
  'llama_sampler_free',
  'llama_sampler_init_penalties',
  'llama_sampler_init_dry',
];

/** The beginning of every generated source. */
export const HEAD = `#include <cstddef>
#include <cstdint>
#include <cstdlib>
#define EXPORT extern "C" __attribute__((visibility("default")))
`;

/** A libggml of its own, by name only. */
export function buildGgml(salt = ''): string {
  const names = symbolNames('OPTIONAL').filter((name) => name.startsWith('ggml_'));
  // Without a name of its own a library that is already open would not be recognised.
  const naming = process.platform === 'darwin' ? '-install_name' : '-soname';
  // Once loaded it stays, as the real one does.
  const staying = process.platform === 'darwin' ? [] : ['-Wl,-z,nodelete'];
  const flags = [`-Wl,${naming},libggml.so`, ...staying];
  return compile(`${HEAD}// ${salt}\n${stubs(names)}\n`, flags, 'libggml.so');
}

/** A library that can only be identified: right structs and names for a build, no function works. */
export function buildLookalike(options: LookalikeOptions): string {
  const defined = [
    'llama_model_default_params',
    'llama_context_default_params',
    'llama_batch_init',
    'llama_batch_free',
    ...(options.samplers === 'none' ? [] : SAMPLER_NAMES),
  ];
  const names = new Set([
    ...symbolNames('REQUIRED'),
    ...(options.ggml ? [] : symbolNames('OPTIONAL').filter((name) => name.startsWith('ggml_'))),
    ...exportedNames(options.build),
    ...SAMPLER_NAMES,
    ...(options.extra ?? []),
  ]);
  for (const [name, from] of abi.symbols) if (from > options.build) names.delete(name);
  for (const name of [...defined, ...(options.without ?? [])]) names.delete(name);
  if (options.ggml) for (const name of names) if (name.startsWith('ggml_')) names.delete(name);
  const source = [
    `${HEAD}// ${options.salt ?? ''}`,
    structSource('llama_model_params', options.modelParams),
    structSource('llama_context_params', options.contextParams),
    batchSource(options.batchBytes ?? 56),
    samplersSource(options),
    stubs(names),
  ].join('\n');
  const keep = process.platform === 'linux' ? ['-Wl,--no-as-needed'] : [];
  const link = options.ggml ? [...keep, `-L${dirname(options.ggml)}`, '-lggml'] : [];
  return compile(source, link, 'libllama.so');
}

/** The known layout with this id. */
export function layoutOf(id: string): AbiLayout {
  const found = [...abi.modelParams, ...abi.contextParams].find((layout) => layout.id === id);
  if (!found) throw new Error(`no layout ${id}`);
  return found;
}

/** The cells that the fake and a test share; the order is that of `enum Cell` in fake-llama.cc. */
export const CELLS = [
  'decodeCalls',
  'failAt',
  'failCount',
  'failCode',
  'holdDecode',
  'inDecode',
  'tokenSleepUs',
  'liveModels',
  'liveContexts',
  'liveSamplers',
  'loadFail',
  'holdLoad',
  'inLoad',
  'contextFail',
  'trimFail',
  'noLogits',
  'largestBatch',
  'mostSequences',
  'violations',
  'lyingContext',
  'noProgress',
  'abortPolls',
  'tokenizeThrow',
  'tokensDecoded',
  'backendsLoaded',
  'gpuLayers',
  'deafDecode',
  'stateFail',
  'inState',
  'pooling',
  'encoder',
  'embedCalls',
  'notFinite',
  'holdEmbed',
  'inEmbed',
  'tokenizeDeep',
  'mostLogits',
  'contextPooling',
  'recurrent',
  'copies',
  'shareFail',
  'largestState',
  'callSleepUs',
  'rowSleepUs',
  'draftCalls',
  'draftFail',
  'stateBytes',
] as const;
export type Cell = (typeof CELLS)[number];

/** For `failCode`: throw a std::exception, or an int. */
export const THROW = 100;
export const THROW_INT = 101;
/** For `failCode`, `loadFail` and `contextFail`: throw std::bad_alloc. */
export const BAD_ALLOC = 104;
/** For `failCode`, `loadFail`, `contextFail` and `trimFail`: give up as GGML_ASSERT does, here or in another thread. */
export const ASSERT = 102;
export const ASSERT_ELSEWHERE = 103;

/** A file of 64-bit cells, mapped by the fake in this process or a child. */
export class FakeControl {
  readonly path: string;
  readonly #folder: string;
  readonly #file: number;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'hoshikage-control-'));
    this.path = join(this.#folder, 'cells');
    writeFileSync(this.path, Buffer.alloc(4096));
    this.#file = openSync(this.path, 'r+');
  }

  get(cell: Cell): number {
    const bytes = Buffer.alloc(8);
    readSync(this.#file, bytes, 0, 8, CELLS.indexOf(cell) * 8);
    return Number(bytes.readBigInt64LE());
  }

  set(cell: Cell, value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    writeSync(this.#file, bytes, 0, 8, CELLS.indexOf(cell) * 8);
  }

  /** Steering back to normal, counters to 0; what is alive stays counted. */
  reset(): void {
    for (const cell of CELLS) {
      if (!cell.startsWith('live') && cell !== 'violations') this.set(cell, 0);
    }
  }

  /** Waits until a cell has at least this value; fails after `deadlineMs` with the cell's name. */
  async until(cell: Cell, value: number, deadlineMs = 20_000): Promise<void> {
    const end = Date.now() + deadlineMs;
    while (this.get(cell) < value) {
      if (Date.now() > end) throw new Error(`${cell} is ${this.get(cell)}, not yet ${value}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  close(): void {
    closeSync(this.#file);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Settles like `promise`, or rejects with the label after the deadline. */
export async function within<T>(
  promise: Promise<T>,
  label: string,
  deadlineMs = 20_000,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`too long: ${label}`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
