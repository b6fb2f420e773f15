/**
 * Builds small GGUF files byte by byte for tests of readers, sound ones and broken ones. Test code
 * only; it checks nothing, so that a test can ask for nonsense.
 */

/** One value of the key/value section. */
export type GgufValue =
  | { readonly type: 'u8' | 'u16' | 'i32' | 'u32' | 'u64' | 'f32' | 'bool'; readonly value: number }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  | { readonly type: 'u32s'; readonly value: readonly number[] }
  | { readonly type: 'raw'; readonly value: Buffer };

/** A tensor; `offset` and `bytes` default to what fits an F32 file. */
export interface GgufTensor {
  readonly name: string;
  readonly dimensions: readonly (number | bigint)[];
  readonly type?: number;
  readonly offset?: number | bigint;
  readonly bytes?: number;
}

/** What the file says; numbers of keys and tensors may lie. */
export interface GgufFile {
  readonly version?: number;
  readonly alignment?: number;
  readonly values: readonly (readonly [string, GgufValue])[];
  readonly tensors?: readonly GgufTensor[];
  readonly keyCount?: number | bigint;
  readonly tensorCount?: number | bigint;
}

const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value >>> 0);
  return buffer;
};

export const u64 = (value: number | bigint): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
};

export const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
};

/** The type number and the bytes of a value. */
function encode(entry: GgufValue): Buffer {
  switch (entry.type) {
    case 'u8':
      return Buffer.concat([u32(0), Buffer.from([entry.value])]);
    case 'u16': {
      const bytes = Buffer.alloc(2);
      bytes.writeUInt16LE(entry.value);
      return Buffer.concat([u32(2), bytes]);
    }
    case 'bool':
      return Buffer.concat([u32(7), Buffer.from([entry.value])]);
    case 'i32': {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(entry.value);
      return Buffer.concat([u32(5), bytes]);
    }
    case 'u32':
      return Buffer.concat([u32(4), u32(entry.value)]);
    case 'u64':
      return Buffer.concat([u32(10), u64(entry.value)]);
    case 'f32': {
      const bytes = Buffer.alloc(4);
      bytes.writeFloatLE(entry.value);
      return Buffer.concat([u32(6), bytes]);
    }
    case 'string':
      return Buffer.concat([u32(8), text(entry.value)]);
    case 'strings':
      return Buffer.concat([u32(9), u32(8), u64(entry.value.length), ...entry.value.map(text)]);
    case 'u32s':
      return Buffer.concat([u32(9), u32(4), u64(entry.value.length), ...entry.value.map(u32)]);
    case 'raw':
      return entry.value;
  }
}

/** The header alone, and the whole file with zeroes for weights. */
export function ggufBytes(file: GgufFile): { readonly header: Buffer; readonly file: Buffer } {
  const alignment = file.alignment ?? 32;
  const pad = (length: number): number => Math.ceil(length / alignment) * alignment;
  const tensors = file.tensors ?? [];
  const rows: Buffer[] = [];
  let offset = 0;
  for (const { name, dimensions, type = 0, offset: own, bytes } of tensors) {
    rows.push(text(name), u32(dimensions.length), ...dimensions.map(u64), u32(type));
    rows.push(u64(own ?? offset));
    const elements = dimensions.reduce<number>((product, length) => product * Number(length), 1);
    const size = bytes ?? elements * 4;
    if (own === undefined) offset = pad(offset + (size < 2 ** 24 ? size : 0));
  }
  const header = Buffer.concat([
    Buffer.from('GGUF'),
    u32(file.version ?? 3),
    u64(file.tensorCount ?? tensors.length),
    u64(file.keyCount ?? file.values.length),
    ...file.values.flatMap(([key, value]) => [text(key), encode(value)]),
    ...rows,
  ]);
  const padding = Buffer.alloc(pad(header.length) - header.length + offset);
  return { header, file: Buffer.concat([header, padding]) };
}

/** The same file with other values under some keys; `null` leaves one out. */
export function withValues(
  file: GgufFile,
  changes: Readonly<Record<string, GgufValue | null>>,
): GgufFile {
  const kept = file.values.filter(([key]) => !(key in changes));
  const added = Object.entries(changes).flatMap(([key, value]) =>
    value === null ? [] : [[key, value] as const],
  );
  return { ...file, values: [...kept, ...added] };
}

/** What makes a file part `index` (from 0) of `count`. */
export const splitValues = (index: number, count: number, tensors?: number) => ({
  'split.no': { type: 'u16', value: index } as const,
  'split.count': { type: 'u16', value: count } as const,
  ...(tensors !== undefined && {
    'split.tensors.count': { type: 'i32', value: tensors } as const,
  }),
});

/** A small sound llama model's header, for tests that only need "a GGUF file". */
export function smallGguf(overrides: Partial<GgufFile> = {}): GgufFile {
  return {
    values: [
      ['general.architecture', { type: 'string', value: 'llama' }],
      ['general.name', { type: 'string', value: '小さな星' }],
      ['general.file_type', { type: 'u32', value: 1 }],
      ['llama.context_length', { type: 'u32', value: 2048 }],
      ['llama.embedding_length', { type: 'u32', value: 64 }],
      ['llama.block_count', { type: 'u32', value: 2 }],
      ['llama.rope.freq_base', { type: 'f32', value: 10_000 }],
      ['tokenizer.ggml.model', { type: 'string', value: 'gpt2' }],
      ['tokenizer.ggml.tokens', { type: 'strings', value: ['a', 'い', '', '<eos>'] }],
      ['tokenizer.ggml.token_type', { type: 'u32s', value: [1, 1, 1, 3] }],
      ['tokenizer.ggml.bos_token_id', { type: 'u32', value: 0 }],
      ['tokenizer.ggml.eos_token_id', { type: 'i32', value: 3 }],
      ['tokenizer.ggml.add_bos_token', { type: 'bool', value: 1 }],
      ['tokenizer.chat_template', { type: 'string', value: '{{ messages[0].content }}' }],
    ],
    tensors: [
      { name: 'token_embd.weight', dimensions: [64, 4] },
      { name: 'blk.0.attn_q.weight', dimensions: [64, 64] },
      { name: 'output_norm.weight', dimensions: [64] },
    ],
    ...overrides,
  };
}
