/**
 * The key/value section of a GGUF header: every value passed and bounded, those kept that somebody asks
 * for. Any process, file access through libuv. It knows which keys matter; what their values mean
 * together is for gguf-rules.ts.
 */
import {
  type ArrayHead,
  type HeaderReader,
  itemBytes,
  VALUE_ARRAY,
  VALUE_BOOL,
  VALUE_STRING,
  VALUE_U16,
  VALUE_U32,
} from './gguf-reader.js';
import { shown, Unsound } from './gguf-reasons.js';
import { isMemoryKey, MOST_PER_LAYER } from './gguf-shape.js';
import { TOKEN_ROLES, TokenList } from './gguf-tokens.js';

/** What was kept of the key/value section. */
export interface Metadata {
  readonly integers: Map<string, number>;
  readonly arrays: Map<string, readonly number[]>;
  readonly texts: Map<string, string>;
  /** How many items the lists of the tokenizer have, by key. */
  readonly lists: Map<string, number>;
  tokens: TokenList | null;
}

/** Under which key a model's template stands. */
export const TEMPLATE_KEY = 'tokenizer.chat_template';
export const TOKENS_KEY = 'tokenizer.ggml.tokens';
export const SCORES_KEY = 'tokenizer.ggml.scores';
export const TOKEN_TYPES_KEY = 'tokenizer.ggml.token_type';
export const MERGES_KEY = 'tokenizer.ggml.merges';
export const CHARSMAP_KEY = 'tokenizer.ggml.precompiled_charsmap';

const MAX_TEMPLATE_BYTES = 256 * 1024;
const MAX_TEXT_BYTES = 4096;
const MAX_KEY_BYTES = 4096;

const INTEGER_KEYS = new RegExp(
  [
    '^(general\\.(file_type|alignment)',
    'split\\.(no|count|tensors\\.count)',
    `tokenizer\\.ggml\\.(${TOKEN_ROLES.join('|')})_token_id`,
    '.+\\.(context_length|embedding_length|block_count|pooling_type|expert_count|vocab_size))$',
  ].join('|'),
);
const TEXT_KEYS: ReadonlySet<string> = new Set([
  'general.architecture',
  'general.name',
  'tokenizer.ggml.model',
  'tokenizer.ggml.pre',
]);
/** Of these libllama, or a build of it, takes the type for granted. */
const FIXED_TYPES: ReadonlyMap<string, number> = new Map([
  ['general.architecture', VALUE_STRING],
  ['general.alignment', VALUE_U32],
  ['split.no', VALUE_U16],
  ['split.count', VALUE_U16],
  ...[TOKENS_KEY, SCORES_KEY, TOKEN_TYPES_KEY, MERGES_KEY, CHARSMAP_KEY].map(
    (key) => [key, VALUE_ARRAY] as const,
  ),
]);
/** The bytes of an item of these arrays; 0 = they hold texts. */
const ITEM_BYTES: ReadonlyMap<string, number> = new Map([
  [TOKENS_KEY, 0],
  [MERGES_KEY, 0],
  [SCORES_KEY, 4],
  [TOKEN_TYPES_KEY, 4],
  [CHARSMAP_KEY, 1],
]);

/** Reads `keyCount` keys with their values. */
export async function readMetadata(reader: HeaderReader, keyCount: number): Promise<Metadata> {
  const metadata: Metadata = {
    integers: new Map(),
    arrays: new Map(),
    texts: new Map(),
    lists: new Map(),
    tokens: null,
  };
  const seen = new Set<string>();
  for (let index = 0; index < keyCount; index++) {
    const key = await reader.name(MAX_KEY_BYTES);
    if (seen.has(key)) throw new Unsound('key_twice', { key: shown(key) });
    seen.add(key);
    await readValue(reader, key, metadata);
  }
  return metadata;
}

async function readValue(reader: HeaderReader, key: string, metadata: Metadata): Promise<void> {
  const type = await reader.u32();
  if (type !== (FIXED_TYPES.get(key) ?? type)) throw new Unsound('key_type', { key });
  if (type === VALUE_ARRAY) return readArray(reader, key, metadata);
  if (type === VALUE_STRING) return readText(reader, key, metadata);
  const value = await reader.scalar(type);
  if (value !== null && (INTEGER_KEYS.test(key) || isMemoryKey(key)))
    metadata.integers.set(key, value);
}

async function readText(reader: HeaderReader, key: string, { texts }: Metadata): Promise<void> {
  if (key !== TEMPLATE_KEY && !TEXT_KEYS.has(key)) return reader.skipText();
  const value = await reader.textUpTo(key === TEMPLATE_KEY ? MAX_TEMPLATE_BYTES : MAX_TEXT_BYTES);
  // Where a zero stands, the text ends for libllama.
  if (value !== null) texts.set(key, value.split('\0', 1)[0] ?? '');
}

async function readArray(reader: HeaderReader, key: string, metadata: Metadata): Promise<void> {
  const head = await reader.array();
  const bytes = ITEM_BYTES.get(key);
  if (bytes !== undefined) {
    if (!isOf(head, bytes)) throw new Unsound('key_type', { key });
    metadata.lists.set(key, head.count);
  }
  if (key === TOKENS_KEY) {
    metadata.tokens = await TokenList.read(reader, head.count);
  } else if (isMemoryKey(key)) {
    const values = await reader.integersUpTo(head, MOST_PER_LAYER);
    if (values !== null) metadata.arrays.set(key, values);
  } else await reader.skipItems(head);
}

/** Whether the items are texts (0), or numbers of so many bytes. */
function isOf({ type }: ArrayHead, bytes: number): boolean {
  if (bytes === 0) return type === VALUE_STRING;
  return itemBytes(type) === bytes && type !== VALUE_BOOL;
}
