/**
 * Reads what a GGUF file says about itself: its header, never its weights. Main thread of any
 * process, file access through libuv. Every count, length and offset is checked against the file's
 * size before it is believed; nothing is allocated in proportion to a number that was not checked,
 * and nothing but a regular file is ever opened.
 */
import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { HoshikageError } from '../errors.js';
import { MERGES_KEY, type Metadata, readMetadata, TEMPLATE_KEY } from './gguf-metadata.js';
import { HeaderReader } from './gguf-reader.js';
import { printable, Unsound } from './gguf-reasons.js';
import { checkMetadata } from './gguf-rules.js';
import { type FileWeights, fileWeights, type MemoryKeys, memoryKeys } from './gguf-shape.js';
import { checkExtents, readTensors, type Tensor } from './gguf-tensors.js';
import { type SpecialToken, TOKEN_ROLES } from './gguf-tokens.js';
import { FILE_TYPE_NAMES, TENSOR_TYPES } from './gguf-types.js';

/** What the header of one GGUF file says. `null`: the file does not say. */
export interface GgufFacts {
  /** Size of this file alone; a split model has more, see `splitParts`. */
  readonly sizeBytes: number;
  readonly version: number;
  /** Empty for a later part of a split model, which says nothing but which part it is. */
  readonly architecture: string;
  readonly name: string | null;
  /** Tokens the model was trained for. */
  readonly contextLength: number | null;
  readonly embeddingLength: number | null;
  readonly layers: number | null;
  /** `Q4_K_M`, `F16` ...: general.file_type, else the type that holds most of the weights. */
  readonly quantisation: string | null;
  /** Elements of this file's tensors. */
  readonly elements: number;
  /** Elements of all tensors; null for one part of a split model. */
  readonly parameters: number | null;
  /** Jinja source; null where there is none or it is longer than 256 KiB. */
  readonly chatTemplate: string | null;
  readonly tensorCount: number;
  /** The kinds of tensors, those that hold most bytes first. */
  readonly tensorTypes: readonly TensorKind[];
  readonly tokenizerModel: string | null;
  readonly tokenizerPre: string | null;
  readonly vocabularySize: number | null;
  /** Rows of the token embedding table; null where it is not in this file. */
  readonly embeddingRows: number | null;
  readonly merges: number | null;
  readonly bosToken: number | null;
  readonly eosToken: number | null;
  /** All tokens that the header gives a part to play. */
  readonly specialTokens: readonly SpecialToken[];
  /** `index` counts from 0. `tensors`: of all parts together, where the file says so. */
  readonly split: SplitFacts | null;
  /** How the model pools its tokens to one vector: llama_pooling_type, 0 = not at all. */
  readonly poolingType: number | null;
  /** Where this file's weights belong. */
  readonly weights: FileWeights;
  /** What its layers remember is made of. */
  readonly memory: MemoryKeys;
}

/** Which part of a split model a file is. */
export interface SplitFacts {
  readonly index: number;
  readonly count: number;
  readonly tensors: number | null;
}

/** The tensors of one type. */
export interface TensorKind {
  /** ggml's number. */
  readonly type: number;
  /** Null: a type this build does not know, whose sizes were not checked. */
  readonly name: string | null;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
}

/** What a file is known by: equal exactly while nobody has changed it. Plain data. */
export interface FileState {
  readonly path: string;
  readonly dev: string;
  readonly ino: string;
  readonly size: string;
  readonly mtimeNs: string;
  /** Tells what mtime does not: a change with the old time put back. */
  readonly ctimeNs: string;
}

/** A file whose header is sound, as it was when that was read. */
export interface SoundFile {
  readonly facts: GgufFacts;
  readonly state: FileState;
}

const MAX_KEYS = 65_536;
const MAX_TENSORS = 262_144;
const DEFAULT_ALIGNMENT = 32;
const EMBEDDING_TABLE = 'token_embd.weight';

/**
 * Reads the header of the GGUF file at `path` (versions 2 and 3, little endian).
 * Codes: model_file_missing, model_file_unreadable, model_file_invalid.
 */
export async function readGguf(path: string): Promise<GgufFacts> {
  return (await readSoundFile(path)).facts;
}

/** The same with the state of the file that was read. Codes: those of readGguf. */
export async function readSoundFile(path: string): Promise<SoundFile> {
  let handle: FileHandle | undefined;
  try {
    // Opening a device may do something, and opening a FIFO waits: neither is opened at all.
    if (!(await stat(path)).isFile()) throw new Unsound('not_regular');
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const found = await handle.stat({ bigint: true });
    if (!found.isFile()) throw new Unsound('not_regular');
    const size = Number(found.size);
    const facts = await readHeader(new HeaderReader(handle, size), size);
    return { facts, state: stateOf(path, found) };
  } catch (cause) {
    throw refusal(path, cause);
  } finally {
    await handle?.close();
  }
}

/** The state in which a file is found. */
export function stateOf(path: string, found: BigIntStats): FileState {
  const { dev, ino, size, mtimeNs, ctimeNs } = found;
  return {
    path,
    ...{ dev: String(dev), ino: String(ino), size: String(size) },
    ...{ mtimeNs: String(mtimeNs), ctimeNs: String(ctimeNs) },
  };
}

/** Whatever reading a file has thrown, as an error with a code. */
export function refusal(path: string, cause: unknown): HoshikageError {
  if (cause instanceof HoshikageError) return cause;
  if (cause instanceof Unsound) {
    const details = { path, reason: cause.message, reason_ja: cause.japanese, check: cause.code };
    return new HoshikageError('model_file_invalid', details);
  }
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
  if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG') {
    return new HoshikageError('model_file_missing', { path }, { cause });
  }
  if (code === 'ERR_INVALID_ARG_VALUE') return refusal(path, new Unsound('impossible_path'));
  return new HoshikageError('model_file_unreadable', { path, reason: code }, { cause });
}

async function readHeader(reader: HeaderReader, sizeBytes: number): Promise<GgufFacts> {
  const version = await readPreamble(reader);
  const tensorCount = await reader.count();
  const keyCount = await reader.count();
  // The smallest tensor row is 24 bytes, the smallest key 14: checked before any loop.
  if (tensorCount > MAX_TENSORS || tensorCount * 24 > reader.remaining) {
    throw new Unsound('tensor_count', { count: tensorCount });
  }
  if (keyCount > MAX_KEYS || keyCount * 13 > reader.remaining) {
    throw new Unsound('key_count', { count: keyCount });
  }
  const metadata = await readMetadata(reader, keyCount);
  const alignment = metadata.integers.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (alignment < 1 || alignment > 2 ** 30 || !Number.isInteger(Math.log2(alignment))) {
    throw new Unsound('alignment', { alignment });
  }
  const split = splitOf(metadata.integers);
  const architecture = architectureOf(metadata.texts, split);
  checkMetadata(metadata, architecture);
  const tensors = await readTensors(reader, tensorCount);
  const start = Math.ceil(reader.position / alignment) * alignment;
  checkExtents(tensors, { start, alignment, fileBytes: sizeBytes });
  const specialTokens = await specialTokensOf(reader, metadata);
  const read = { sizeBytes, version, tensorCount, architecture, split, specialTokens };
  return toFacts(read, metadata, tensors);
}

async function readPreamble(reader: HeaderReader): Promise<number> {
  if (reader.remaining < 24) throw new Unsound('too_short');
  const magic = await reader.u32();
  const version = await reader.u32();
  const problem = preambleProblem(magic, version);
  if (problem !== null) throw problem;
  return version;
}

/** Why a file that begins with these two numbers is none that we read; null where it may be one. */
export function preambleProblem(magic: number, version: number): Unsound | null {
  if (magic !== 0x46554747) return new Unsound('not_gguf');
  if (version !== 0 && (version & 0xffff) === 0) return new Unsound('big_endian');
  return version === 2 || version === 3 ? null : new Unsound('version', { version });
}

function splitOf(integers: ReadonlyMap<string, number>): SplitFacts | null {
  const count = integers.get('split.count') ?? 0;
  if (count < 2) return null;
  const index = integers.get('split.no') ?? 0;
  if (index >= count) throw new Unsound('split_numbers', { index, count });
  return { index, count, tensors: integers.get('split.tensors.count') ?? null };
}

/** Only the first file of a split model says more of itself than which part it is. */
function architectureOf(texts: Metadata['texts'], split: SplitFacts | null): string {
  const architecture = printable(texts.get('general.architecture') ?? '', 128);
  if (architecture === '' && (split?.index ?? 0) === 0) throw new Unsound('no_architecture');
  return architecture;
}

async function specialTokensOf(
  reader: HeaderReader,
  { integers, tokens }: Metadata,
): Promise<readonly SpecialToken[]> {
  const special: SpecialToken[] = [];
  for (const role of TOKEN_ROLES) {
    const id = integers.get(`tokenizer.ggml.${role}_token_id`);
    if (id === undefined) continue;
    const text = (await tokens?.text(reader, id)) ?? null;
    special.push({ role, id, text: text === null ? null : printable(text, 256) });
  }
  return special;
}

type ReadFacts = Pick<
  GgufFacts,
  'sizeBytes' | 'version' | 'tensorCount' | 'architecture' | 'split' | 'specialTokens'
>;

function toFacts(
  read: ReadFacts,
  { integers, arrays, texts, lists, tokens }: Metadata,
  tensors: readonly Tensor[],
): GgufFacts {
  const { architecture, split } = read;
  const integer = (key: string): number | null => integers.get(key) ?? null;
  const text = (key: string, most: number): string | null => {
    const value = texts.get(key);
    return value === undefined ? null : printable(value, most);
  };
  const tensorTypes = kindsOf(tensors);
  const elements = tensors.reduce((sum, one) => sum + one.elements, 0);
  return {
    ...read,
    name: text('general.name', 256),
    contextLength: integer(`${architecture}.context_length`),
    embeddingLength: integer(`${architecture}.embedding_length`),
    layers: integer(`${architecture}.block_count`),
    quantisation: quantisation(integer('general.file_type'), tensorTypes),
    elements,
    parameters: split ? null : elements,
    chatTemplate: texts.get(TEMPLATE_KEY) ?? null,
    tensorTypes,
    tokenizerModel: text('tokenizer.ggml.model', 64),
    tokenizerPre: text('tokenizer.ggml.pre', 64),
    vocabularySize: tokens?.count ?? null,
    embeddingRows: rowsOf(tensors.find(({ name }) => name === EMBEDDING_TABLE)),
    merges: lists.get(MERGES_KEY) ?? null,
    bosToken: integer('tokenizer.ggml.bos_token_id'),
    eosToken: integer('tokenizer.ggml.eos_token_id'),
    poolingType: integer(`${architecture}.pooling_type`),
    weights: fileWeights(tensors),
    memory: memoryKeys(architecture, integers, arrays),
  };
}

const rowsOf = (table: Tensor | undefined): number | null =>
  table ? table.elements / (table.dimensions[0] ?? 1) : null;

function kindsOf(tensors: readonly Tensor[]): readonly TensorKind[] {
  const kinds = new Map<number, TensorKind>();
  for (const { type, elements, bytes } of tensors) {
    const sum = kinds.get(type) ?? { tensors: 0, elements: 0, bytes: 0 };
    kinds.set(type, {
      type,
      name: TENSOR_TYPES.get(type)?.name ?? null,
      tensors: sum.tensors + 1,
      elements: sum.elements + elements,
      bytes: sum.bytes + (bytes ?? 0),
    });
  }
  return [...kinds.values()].sort((a, b) => b.bytes - a.bytes);
}

function quantisation(fileType: number | null, kinds: readonly TensorKind[]): string | null {
  // 1024 marks a type that the writer only guessed.
  const named = fileType === null ? undefined : FILE_TYPE_NAMES.get(fileType & ~1024);
  if (named !== undefined) return named;
  const [most] = [...kinds].sort((a, b) => b.elements - a.elements);
  return most?.name ?? null;
}
