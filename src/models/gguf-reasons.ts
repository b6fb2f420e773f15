/**
 * Why a model's file is refused before anything native reads it: one table, in both languages. Any
 * process. The texts go into `model_file_invalid` as its reason, so they are half sentences without a
 * full stop. Texts from the file itself come in here bounded and printable.
 */

/** What fills the `{name}` places of a reason. */
export type ReasonDetails = Readonly<Record<string, string | number>>;

const REASONS = {
  not_regular: { ja: '普通のファイルではありません', en: 'not a regular file' },
  impossible_path: { ja: 'ファイルの名前になりません', en: 'no file can have this name' },
  too_short: { ja: 'GGUF の見出しには短すぎます', en: 'too short for a GGUF header' },
  not_gguf: { ja: '先頭が GGUF ではありません', en: 'does not begin with GGUF' },
  big_endian: { ja: 'ビッグエンディアンのファイルです', en: 'big-endian' },
  version: { ja: '版 {version} は読めません', en: 'version {version} is not supported' },
  tensor_count: {
    ja: 'テンソル {count} 個は、このファイルに入りません',
    en: '{count} tensors do not fit',
  },
  key_count: { ja: '項目 {count} 個は、このファイルに入りません', en: '{count} keys do not fit' },
  too_large: { ja: '2^53 を超える数があります', en: 'a number beyond 2^53' },
  cut_off: {
    ja: '見出しの {bytes} バイトを読むはずのところに、{left} バイトしかありません',
    en: '{bytes} bytes announced, {left} left',
  },
  shrank: { ja: '読んでいるあいだに短くなりました', en: 'the file ended while it was read' },
  name_length: { ja: '{bytes} バイトの名前があります', en: 'a name of {bytes} bytes' },
  zero_byte: {
    ja: '名前 {text} にゼロのバイトがあります',
    en: 'the name {text} has a zero byte in it',
  },
  value_type: { ja: '知らない型 {type} の値があります', en: 'a value of the unknown type {type}' },
  nested_array: { ja: '配列の配列があります', en: 'an array of arrays' },
  array_type: {
    ja: '知らない型 {type} の配列があります',
    en: 'an array of the unknown type {type}',
  },
  array_length: {
    ja: '{count} 個の配列は、このファイルに入りません',
    en: 'an array of {count} does not fit',
  },
  key_twice: { ja: '項目 {key} が 2 つあります', en: 'the key {key} is there twice' },
  key_type: { ja: '項目 {key} の型が違います', en: 'the key {key} has another type than it must' },
  alignment: {
    ja: 'alignment {alignment} は 2 の累乗ではありません',
    en: 'alignment {alignment} is not a power of two',
  },
  no_architecture: {
    ja: 'general.architecture がありません',
    en: 'general.architecture is missing',
  },
  tensor_twice: {
    ja: 'テンソル {tensor} が 2 つあります',
    en: 'the tensor {tensor} is there twice',
  },
  dimension_count: {
    ja: 'テンソル {tensor} の次元が {count} あります',
    en: 'tensor {tensor} has {count} dimensions',
  },
  dimensions: {
    ja: 'テンソル {tensor} の大きさがありえません',
    en: 'tensor {tensor} has impossible dimensions',
  },
  removed_type: {
    ja: 'テンソル {tensor} の型 {type} は、ggml からなくなりました',
    en: 'tensor {tensor} is of the type {type}, which ggml has no more',
  },
  matrix_type: {
    ja: 'テンソル {tensor} の型 {type} では、掛け算ができません',
    en: 'tensor {tensor} is of the type {type}, with which nothing can be multiplied',
  },
  block: {
    ja: 'テンソル {tensor} の行が、型 {type} の単位で割り切れません',
    en: 'tensor {tensor} has rows that are no multiple of a block of {type}',
  },
  not_aligned: {
    ja: 'テンソル {tensor} の位置が alignment に合っていません',
    en: 'tensor {tensor} is not aligned',
  },
  beyond_end: {
    ja: 'テンソル {tensor} がファイルの外に出ます({end} バイト目まであるはずですが、ファイルは {size} バイト)',
    en: 'tensor {tensor} ends beyond the file (at {end} of {size} bytes)',
  },
  overlap: {
    ja: 'テンソル {tensor} と {other} が重なっています',
    en: 'the tensors {tensor} and {other} overlap',
  },
  no_tensors: { ja: 'テンソルがありません', en: 'it has no tensors' },
  split_numbers: {
    ja: '{count} 個のうち {index} 番目(0 から)という分割はありえません',
    en: 'part {index} of {count} cannot be',
  },
  split_name: {
    ja: '{count} 個に分かれたモデルの名前は *-00001-of-N.gguf です',
    en: 'a model of {count} parts needs the name *-00001-of-N.gguf',
  },
  split_first: {
    ja: '分割されたモデルの途中です。最初の *-00001-of-* を指してください',
    en: 'part of a split model; name the first part, *-00001-of-*',
  },
  split_other: {
    ja: '{part} は、このモデルの {index} 番目(0 から)ではありません',
    en: '{part} is not part {index} of this model',
  },
  split_tensors: {
    ja: 'テンソルは全部で {count} 個のはずですが、{found} 個しかありません',
    en: '{count} tensors are announced for all parts, and {found} are there',
  },
  layers: { ja: '層の数が {layers} です', en: '{layers} layers' },
  predicting_layers: {
    ja: '{layers} 層のうち {predicting} 層が先読み用だというのはありえません',
    en: '{predicting} of {layers} layers cannot be for predicting',
  },
  experts: {
    ja: '{experts} 個のエキスパートから {used} 個を使うことはできません',
    en: '{used} of {experts} experts cannot be used',
  },
  heads: {
    ja: 'ヘッドが {heads} 個なのに、キーのヘッドが {keys} 個あります',
    en: '{keys} heads of keys for {heads} heads',
  },
  no_tokens: { ja: '語彙が空です', en: 'the vocabulary is empty' },
  token_count: {
    ja: '語彙が {count} トークンもあります',
    en: 'a vocabulary of {count} tokens',
  },
  token_twice: {
    ja: 'トークン {token} が 2 つあります({first} 番と {second} 番)',
    en: 'the token {token} is there twice ({first} and {second})',
  },
  token_list: {
    ja: '{key} は {count} 個で、トークンの {tokens} 個に足りません',
    en: '{key} has {count} entries for {tokens} tokens',
  },
  usual_token: {
    ja: '{role} のトークンが書かれていません。ふつうの {id} 番は、{tokens} トークンの語彙にありません',
    en: 'it names no {role} token, and the usual one, {id}, is not among its {tokens}',
  },
  dummy_tokens: {
    ja: '語彙がないのに、{count} トークンあることになっています',
    en: '{count} tokens without a vocabulary',
  },
  embedding_rows: {
    ja: '{tokens} トークンの語彙に、埋め込みが {rows} 行しかありません',
    en: 'embeddings of {rows} tokens for a vocabulary of {tokens}',
  },
  charsmap: {
    ja: 'tokenizer.ggml.precompiled_charsmap が {bytes} バイトしかありません',
    en: 'tokenizer.ggml.precompiled_charsmap has only {bytes} bytes',
  },
} as const;

/** Every reason's own name, the same in all languages. */
export type ReasonCode = keyof typeof REASONS;

/** All reasons' names. */
export const REASON_CODES = Object.keys(REASONS) as readonly ReasonCode[];

/** A file that is refused; becomes `reason` of model_file_invalid. */
export class Unsound extends Error {
  readonly code: ReasonCode;
  readonly details: ReasonDetails;

  constructor(code: ReasonCode, details: ReasonDetails = {}) {
    super(fill(REASONS[code].en, details));
    this.code = code;
    this.details = details;
  }

  /** The reason in Japanese. */
  get japanese(): string {
    return fill(REASONS[this.code].ja, this.details);
  }
}

function fill(text: string, details: ReasonDetails): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(details[name] ?? '?'));
}

/** Text from a file that is going to be printed: no control characters, bounded. */
export function printable(text: string, maxLength: number): string {
  return text.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, '\ufffd').slice(0, maxLength);
}

/** A name from the file, as a reason shows it. */
export const shown = (text: string): string => printable(text, 80);
