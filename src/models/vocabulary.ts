/**
 * A byte-level BPE vocabulary of our own: every byte, kana, common kanji, some words, control tokens.
 * Pure, any thread. It must never know how a model uses its tokens, nor tokenise: the library does.
 */
import { HoshikageError } from '../errors.js';
import type { GgufValue } from './gguf-write.js';

/** GGUF token types: ordinary text, control tokens, text that is always one token. */
export type TokenType = 'normal' | 'control' | 'user';
const TYPE_NUMBERS = { normal: 1, control: 3, user: 4 } as const;

/** Control tokens every made model has, in this order after the bytes. */
export const CONTROL = {
  bos: '<|bos|>',
  eos: '<|endoftext|>',
  start: '<|im_start|>',
  end: '<|im_end|>',
} as const;

/** A ChatML template that says its own BOS, as many real ones do. */
export const CHAT_TEMPLATE = [
  '{{ bos_token }}',
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}",
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
].join('');

/** Grade 1 and 2 school kanji and some that software text is full of. */
const KANJI =
  '一右雨円王音下火花貝学気九休玉金空月犬見五口校左三山子四糸字耳七車手十出女小上森人水正生青夕石赤千川先早草足村大男竹中虫町天田土二日入年白八百文木本名目立力林六' +
  '引羽雲園遠何科夏家歌画回会海絵外角楽活間丸岩顔汽記帰弓牛魚京強教近兄形計元言原戸古午後語工公広交光考行高黄合谷国黒今才細作算止市矢姉思紙寺自時室社弱首秋週春書少場色食心新親図数西声星晴切雪船線前組走多太体台地池知茶昼長鳥朝直通弟店点電刀冬当東答頭同道読内南肉馬売買麦半番父風分聞米歩母方北毎妹万明鳴毛門夜野友用曜来里理話' +
  '影設定登録追加変更説明使実際準備例組込簡単起動推論製品初期値環境数確認対応返事質問意味必要';

const WORDS =
  'です ます した して から まで こと もの ない する いる ある こんにちは ありがとう ください モデル ライブラリ ファイル トークン ' +
  'テスト 設定 日本 日本語 世界 今日 明日 星影 user assistant system name text the and is of to in you are for hello world model token test';

const BYTE_TEXT = byteTexts();

/** GPT-2's printable stand-in for each byte. */
function byteTexts(): readonly string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
    return String.fromCharCode(plain ? byte : next++);
  });
}

/** How ordinary tokens spell bytes in the vocabulary: one printable character per byte. */
export function byteText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += BYTE_TEXT[byte] ?? '';
  return text;
}

/** byteText of a text's UTF-8 bytes. */
export function spell(text: string): string {
  return byteText(Buffer.from(text, 'utf8'));
}

/** Tokens under construction; ids are given in order of arrival. */
export class Vocabulary {
  readonly #texts: string[] = [];
  readonly #types: number[] = [];
  readonly #merges = new Map<string, null>();
  readonly #ids = new Map<string, number>();

  constructor() {
    for (const text of BYTE_TEXT) this.add(text, 'normal');
    for (const text of Object.values(CONTROL)) this.add(text, 'control');
  }

  get size(): number {
    return this.#texts.length;
  }

  /** The id of a token by its vocabulary text. */
  id(text: string): number | undefined {
    return this.#ids.get(text);
  }

  /** Id of the token with this vocabulary text, made if it is new. Code: invalid_argument (other type). */
  add(text: string, type: TokenType): number {
    const known = this.#ids.get(text);
    if (known !== undefined) {
      if (this.#types[known] === TYPE_NUMBERS[type]) return known;
      throw new HoshikageError('invalid_argument', { reason: `token "${text}" has another type` });
    }
    this.#texts.push(text);
    this.#types.push(TYPE_NUMBERS[type]);
    this.#ids.set(text, this.#texts.length - 1);
    return this.#texts.length - 1;
  }

  /** Makes two tokens, by their vocabulary texts, one by a merge; gives its text. */
  join(left: string, right: string): string {
    if (left === '') return right;
    this.#merges.set(`${left} ${right}`, null);
    this.add(left + right, 'normal');
    return left + right;
  }

  /** Makes a text one token by merges, character by character, with all that lies between. */
  addWord(text: string): void {
    let whole = '';
    for (const character of text) {
      let part = '';
      for (const byte of Buffer.from(character, 'utf8'))
        part = this.join(part, byteText(Uint8Array.of(byte)));
      whole = this.join(whole, part);
    }
  }

  /** Kana, kanji and words. A text in `except` is left out, because it will have another type. */
  addCommon(except: ReadonlySet<string> = new Set()): void {
    const range = (first: string, last: string): string[] => {
      const [from = 0, to = 0] = [first.codePointAt(0), last.codePointAt(0)];
      return Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i));
    };
    const characters = [...range('、', '〟'), ...range('ぁ', 'ゖ'), ...range('ァ', 'ー'), ...KANJI];
    for (const character of characters) this.addWord(character);
    for (const word of WORDS.split(' ')) {
      if (except.has(word)) continue;
      this.addWord(word);
      if (/^[a-z]+$/.test(word)) this.addWord(` ${word}`);
    }
  }

  /** The `tokenizer.*` metadata. */
  metadata(template: string, addBos: boolean): Record<string, GgufValue> {
    const control = (text: string): GgufValue => ['u32', this.#ids.get(text) ?? 0];
    return {
      'tokenizer.ggml.model': ['string', 'gpt2'],
      'tokenizer.ggml.pre': ['string', 'llama-bpe'],
      'tokenizer.ggml.tokens': ['strings', this.#texts],
      'tokenizer.ggml.token_type': ['i32s', this.#types],
      'tokenizer.ggml.merges': ['strings', [...this.#merges.keys()]],
      'tokenizer.ggml.bos_token_id': control(CONTROL.bos),
      'tokenizer.ggml.eos_token_id': control(CONTROL.eos),
      'tokenizer.ggml.eot_token_id': control(CONTROL.end),
      'tokenizer.ggml.add_bos_token': ['bool', addBos],
      'tokenizer.chat_template': ['string', template],
    };
  }
}
