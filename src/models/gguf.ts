/**
 * Reads what a GGUF file says about itself: its header, never its weights. Main thread of any
 * process, file access through libuv. Every count, length and offset is checked against the file's
 * size before it is believed; nothing is allocated in proportion to a number that was not checked,
 * and no read waits on anything but a regular file.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HoshikageError } from '../errors.js';
import { HeaderReader, Unsound, VALUE_ARRAY, VALUE_STRING } from './gguf-reader.js';
import {
  type FileWeights,
  fileWeights,
  isMemoryKey,
  type MemoryKeys,
  MOST_PER_LAYER,
  memoryKeys,
} from './gguf-shape.js';
import { FILE_TYPE_NAMES, TENSOR_TYPES } from './gguf-types.js';

/** What the header of one GGUF file says. `null`: the file does not say. */
export interface GgufFacts {
  /** Size of this file alone; a split model has more, see `splitParts`. */
  readonly sizeBytes: number;
  readonly version: number;
  readonly architecture: string;
  readonly name: string | null;
  /** Tokens the model was trained for. */
  readonly contextLength: number | null;
  readonly embeddingLength: number | null;
  readonly layers: number | null;
  /** `Q4_K_M`, `F16` ...: general.file_type, else the type that holds most of the weights. */
  readonly quantisation: string | null;
  /** Elements of all tensors; null for one part of a split model. */
  readonly parameters: number | null;
  /** Jinja source; null where there is none or it is longer than 256 KiB. */
  readonly chatTemplate: string | null;
  readonly tensorCount: number;
  readonly tokenizerModel: string | null;
  readonly vocabularySize: number | null;
  readonly bosToken: number | null;
  readonly eosToken: number | null;
  /** `index` counts from 0. */
  readonly split: { readonly index: number; readonly count: number } | null;
  /** How the model pools its tokens to one vector: llama_pooling_type, 0 = not at all. */
  readonly poolingType: number | null;
  /** Where this file's weights belong. */
  readonly weights: FileWeights;
  /** What its layers remember is made of. */
  readonly memory: MemoryKeys;
}

const MAX_TEMPLATE_BYTES = 256 * 1024;
const MAX_TEXT_BYTES = 4096;
const MAX_KEYS = 65_536;
const MAX_KEY_BYTES = 4096;
const MAX_TENSORS = 262_144;
const MAX_TENSOR_NAME_BYTES = 255;
const DEFAULT_ALIGNMENT = 32;

const INTEGER_KEYS =
  /^(general\.(file_type|alignment)|split\.(no|count)|tokenizer\.ggml\.(bos|eos)_token_id|.+\.(context_length|embedding_length|block_count|pooling_type))$/;
const TEXT_KEYS: ReadonlySet<string> = new Set([
  'general.architecture',
  'general.name',
  'tokenizer.ggml.model',
]);
const TEMPLATE_KEY = 'tokenizer.chat_template';
const VOCABULARY_KEY = 'tokenizer.ggml.tokens';

/**
 * Reads the header of the GGUF file at `path` (versions 2 and 3, little endian).
 * Codes: model_file_missing, model_file_invalid.
 */
export async function readGguf(path: string): Promise<GgufFacts> {
  let handle: FileHandle | undefined;
  try {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stat = await handle.stat();
    if (!stat.isFile()) throw new Unsound('not a regular file');
    return await readHeader(new HeaderReader(handle, stat.size), stat.size);
  } catch (cause) {
    throw refusal(path, cause);
  } finally {
    await handle?.close();
  }
}

/**
 * The files of a split model, the given first part included; just `path` where it is not split.
 * Code: model_file_invalid where `path` is not the first part or not named like one.
 */
export function splitParts(path: string, facts: GgufFacts): readonly string[] {
  const count = facts.split?.count ?? 1;
  if (count === 1) return [path];
  const match = /^(.*)-(\d{5})-of-(\d{5})(\.gguf)$/is.exec(basename(path));
  if (!match || Number(match[3]) !== count) {
    throw refusal(path, new Unsound(`a model of ${count} parts needs the name *-00001-of-N.gguf`));
  }
  if (Number(match[2]) !== 1 || facts.split?.index !== 0) {
    throw refusal(path, new Unsound(`part of a split model; name the first part, *-00001-of-*`));
  }
  return Array.from({ length: count }, (_, index) =>
    join(
      dirname(path),
      `${match[1]}-${String(index + 1).padStart(5, '0')}-of-${match[3]}${match[4]}`,
    ),
  );
}

function refusal(path: string, cause: unknown): HoshikageError {
  if (cause instanceof Unsound) {
    return new HoshikageError('model_file_invalid', { path, reason: cause.message });
  }
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new HoshikageError('model_file_missing', { path }, { cause });
  }
  return new HoshikageError('model_file_invalid', { path, reason: code }, { cause });
}

/** What was kept of the key/value section. */
interface Metadata {
  readonly integers: Map<string, number>;
  readonly arrays: Map<string, readonly number[]>;
  readonly texts: Map<string, string>;
  vocabularySize: number | null;
}

async function readHeader(reader: HeaderReader, sizeBytes: number): Promise<GgufFacts> {
  const version = await readPreamble(reader);
  const tensorCount = await reader.count();
  const keyCount = await reader.count();
  // The smallest tensor row is 24 bytes, the smallest key 14: checked before any loop.
  if (tensorCount > MAX_TENSORS || tensorCount * 24 > reader.remaining) {
    throw new Unsound(`${tensorCount} tensors do not fit`);
  }
  if (keyCount > MAX_KEYS || keyCount * 13 > reader.remaining) {
    throw new Unsound(`${keyCount} keys do not fit`);
  }
  const metadata = await readMetadata(reader, keyCount);
  const alignment = metadata.integers.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  if (alignment < 1 || alignment > 2 ** 30 || !Number.isInteger(Math.log2(alignment))) {
    throw new Unsound(`alignment ${alignment} is not a power of two`);
  }
  const tensors = await readTensors(reader, tensorCount);
  checkExtents(tensors, Math.ceil(reader.position / alignment) * alignment, alignment, sizeBytes);
  return toFacts({ sizeBytes, version, tensorCount }, metadata, tensors);
}

async function readPreamble(reader: HeaderReader): Promise<number> {
  if (reader.remaining < 24) throw new Unsound('too short for a GGUF header');
  const magic = await reader.u32();
  const version = await reader.u32();
  const problem = preambleProblem(magic, version);
  if (problem !== null) throw new Unsound(problem);
  return version;
}

/** Why a file that begins with these two numbers is none that we read; null where it may be one. */
export function preambleProblem(magic: number, version: number): string | null {
  if (magic !== 0x46554747) return 'does not begin with GGUF';
  if (version !== 0 && (version & 0xffff) === 0) return 'big-endian';
  return version === 2 || version === 3 ? null : `version ${version} is not supported`;
}

async function readMetadata(reader: HeaderReader, keyCount: number): Promise<Metadata> {
  const metadata: Metadata = {
    integers: new Map(),
    arrays: new Map(),
    texts: new Map(),
    vocabularySize: null,
  };
  const seen = new Set<string>();
  for (let index = 0; index < keyCount; index++) {
    const key = await reader.text(MAX_KEY_BYTES, 'key');
    if (seen.has(key)) throw new Unsound(`the key ${printable(key, 80)} is there twice`);
    seen.add(key);
    await readValue(reader, key, metadata);
  }
  return metadata;
}

async function readValue(reader: HeaderReader, key: string, metadata: Metadata): Promise<void> {
  const type = await reader.u32();
  if (type === VALUE_ARRAY && isMemoryKey(key)) {
    const values = await reader.integersUpTo(MOST_PER_LAYER);
    if (values !== null) metadata.arrays.set(key, values);
    return;
  }
  if (type === VALUE_ARRAY) {
    const count = await reader.skipArray();
    if (key === VOCABULARY_KEY) metadata.vocabularySize = count;
    return;
  }
  if (type === VALUE_STRING) {
    const limit = key === TEMPLATE_KEY ? MAX_TEMPLATE_BYTES : MAX_TEXT_BYTES;
    if (key !== TEMPLATE_KEY && !TEXT_KEYS.has(key)) return reader.skipText();
    const value = await reader.textUpTo(limit);
    if (value !== null) metadata.texts.set(key, value);
    return;
  }
  const value = await reader.scalar(type);
  if (value !== null && (INTEGER_KEYS.test(key) || isMemoryKey(key)))
    metadata.integers.set(key, value);
}

/** One row of the tensor section. `bytes`: null for a type this build does not know. */
interface Tensor {
  readonly name: string;
  readonly type: number;
  readonly elements: number;
  readonly bytes: number | null;
  readonly offset: number;
}

async function readTensors(reader: HeaderReader, count: number): Promise<readonly Tensor[]> {
  const tensors: Tensor[] = [];
  const seen = new Set<string>();
  for (let index = 0; index < count; index++) {
    const name = await reader.text(MAX_TENSOR_NAME_BYTES, 'tensor name');
    if (seen.has(name)) throw new Unsound(`the tensor ${printable(name, 80)} is there twice`);
    seen.add(name);
    tensors.push(await readTensor(reader, name));
  }
  return tensors;
}

async function readTensor(reader: HeaderReader, name: string): Promise<Tensor> {
  const label = `tensor ${printable(name, 80)}`;
  const dimensions = await reader.u32();
  if (dimensions > 4) throw new Unsound(`${label} has ${dimensions} dimensions`);
  let elements = 1;
  let row = 1;
  for (let index = 0; index < dimensions; index++) {
    const length = await reader.count();
    if (index === 0) row = length;
    elements *= length;
    if (length < 1 || elements > Number.MAX_SAFE_INTEGER) {
      throw new Unsound(`${label} has impossible dimensions`);
    }
  }
  const type = await reader.u32();
  const known = TENSOR_TYPES.get(type);
  if (known && row % known.blockElements !== 0) {
    throw new Unsound(`${label} has rows that are no multiple of a block`);
  }
  const bytes = known ? (elements / known.blockElements) * known.blockBytes : null;
  return { name, type, elements, bytes, offset: await reader.count() };
}

function checkExtents(
  tensors: readonly Tensor[],
  dataStart: number,
  alignment: number,
  sizeBytes: number,
): void {
  for (const { name, bytes, offset } of tensors) {
    const label = `tensor ${printable(name, 80)}`;
    if (offset % alignment !== 0) throw new Unsound(`${label} is not aligned`);
    const end = dataStart + offset + (bytes ?? 1);
    if (end > sizeBytes) {
      throw new Unsound(`${label} ends beyond the file (at ${end} of ${sizeBytes} bytes)`);
    }
  }
}

function toFacts(
  base: Pick<GgufFacts, 'sizeBytes' | 'version' | 'tensorCount'>,
  { integers, arrays, texts, vocabularySize }: Metadata,
  tensors: readonly Tensor[],
): GgufFacts {
  const architecture = printable(texts.get('general.architecture') ?? '', 128);
  if (architecture === '') throw new Unsound('general.architecture is missing');
  const name = texts.get('general.name');
  const tokenizerModel = texts.get('tokenizer.ggml.model');
  const integer = (key: string): number | null => integers.get(key) ?? null;
  const count = integers.get('split.count') ?? 0;
  const split = count > 1 ? { index: integers.get('split.no') ?? 0, count } : null;
  if (split && (split.count > 65_535 || split.index < 0 || split.index >= split.count)) {
    throw new Unsound(`part ${split.index} of ${split.count} cannot be`);
  }
  return {
    ...base,
    architecture,
    name: name === undefined ? null : printable(name, 256),
    contextLength: integer(`${architecture}.context_length`),
    embeddingLength: integer(`${architecture}.embedding_length`),
    layers: integer(`${architecture}.block_count`),
    quantisation: quantisation(integer('general.file_type'), tensors),
    parameters: split ? null : tensors.reduce((sum, { elements }) => sum + elements, 0),
    chatTemplate: texts.get(TEMPLATE_KEY) ?? null,
    tokenizerModel: tokenizerModel === undefined ? null : printable(tokenizerModel, 64),
    vocabularySize,
    bosToken: integer('tokenizer.ggml.bos_token_id'),
    eosToken: integer('tokenizer.ggml.eos_token_id'),
    split,
    poolingType: integer(`${architecture}.pooling_type`),
    weights: fileWeights(tensors),
    memory: memoryKeys(architecture, integers, arrays),
  };
}

function quantisation(fileType: number | null, tensors: readonly Tensor[]): string | null {
  // 1024 marks a type that the writer only guessed.
  const named = fileType === null ? undefined : FILE_TYPE_NAMES.get(fileType & ~1024);
  if (named !== undefined) return named;
  const elementsByType = new Map<number, number>();
  for (const { type, elements } of tensors) {
    elementsByType.set(type, (elementsByType.get(type) ?? 0) + elements);
  }
  const [most] = [...elementsByType].sort((a, b) => b[1] - a[1]);
  return most === undefined ? null : (TENSOR_TYPES.get(most[0])?.name ?? null);
}

/** Text from a file that is going to be printed: no control characters, bounded. */
function printable(text: string, maxLength: number): string {
  return text.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, '\ufffd').slice(0, maxLength);
}
