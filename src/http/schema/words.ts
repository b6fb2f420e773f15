/**
 * What each field of a request means, Japanese and English, for the document of the API and the page that
 * shows it: the one place of these words. Data and one pure function. A field that means the same in several
 * bodies stands here once, by its bare name; one that has a meaning of its own by its table's: `message.role`.
 */
import { SAMPLER_NAMES } from '../../generate/sampling.js';
import type { SettingKey } from '../../settings.js';
import { MEMBER_WORDS } from './member-words.js';

/**
 * What holds where a field is left out: a value, a setting's value, or what a setting of another scale
 * says (`from`: its 0 may mean something that this field has no number for).
 */
type Absent =
  | { readonly value: unknown }
  | { readonly setting: SettingKey }
  | { readonly from: SettingKey };

/** One field. Neither text holds ` / `, which stands between the two. */
export type Words = readonly [ja: string, en: string, absent?: Absent];

const OFF = { value: false } as const;
const ZERO = { value: 0 } as const;
const ONE = { value: 1 } as const;
const FOR_OPENAI: Words = ['OpenAI のサービスのためのもの', 'For the service that OpenAI runs'];

const BODY_WORDS: Readonly<Record<string, Words>> = {
  model: ['モデルの名前(GET /v1/models の id)', 'The name of a model: an id of GET /v1/models'],
  messages: ['会話。古いものから順に', 'The conversation, oldest turn first'],
  stream: ['できたところから受け取る(SSE)', 'Send the answer as it is made (SSE)', OFF],
  stream_options: ['ストリームの受け取り方。stream のときだけ', 'How to stream; only with stream'],
  max_completion_tokens: [
    '出力トークン数の上限(0 の設定は、コンテキストの残りすべて)',
    'Output tokens at most; a setting of 0 is all that the context has left',
    { from: 'MAX_TOKENS' },
  ],
  max_tokens: [
    'max_completion_tokens の古い名前。両方を違う値では送れない',
    'The older name of max_completion_tokens; the two must not differ',
    { from: 'MAX_TOKENS' },
  ],
  n: [
    '答えの数。プロンプトの計算は 1 度だけ',
    'How many answers; the prompt is computed once',
    ONE,
  ],
  logprobs: ['選んだトークンの対数確率を付ける', 'Tell the log-probability of each token', OFF],
  top_logprobs: [
    '選ばれなかった有力なトークンも、この数だけ付ける。logprobs のときだけ',
    'And of this many of the likeliest beside it; only with logprobs',
    ZERO,
  ],
  response_format: ['答えの形(文章、JSON、スキーマどおりの JSON)', 'The form of the answer'],
  grammar: [
    '答えが従う文法(GBNF、開始記号は root)',
    'A grammar that the answer obeys (GBNF, start symbol root)',
  ],
  tools: ['モデルが呼び出せる関数', 'Functions that the model may call'],
  tool_choice: [
    '関数を呼び出すか: none、auto、required(必ずどれか)、または名指し',
    'Whether to call: none, auto, required (any of them) or a named one',
    { value: 'auto' },
  ],
  parallel_tool_calls: [
    '1 つの答えで複数を呼び出してよい',
    'More than one call in an answer',
    { value: true },
  ],
  reasoning_effort: [
    '考える深さ。テンプレートへ渡す。none は考えさせない',
    'How much to think, handed to the template; none is not at all',
  ],
  reasoning_budget: [
    '考えるのに使えるトークン数(-1 = 限りなし)',
    'Tokens the model may think in (-1 = no limit)',
    { value: -1 },
  ],
  chat_template_kwargs: [
    'テンプレートへ渡す変数。例 {"enable_thinking":false}',
    'Variables for the template, e.g. {"enable_thinking":false}',
  ],
  truncation: [
    '長すぎる会話: auto は古い番から外す、disabled は 400',
    'A conversation that is too long: auto leaves the oldest turns out, disabled is a 400',
    { value: 'disabled' },
  ],
  keep_alive: [
    '答えたあとモデルを置いておく時間。秒数か "5m"、"1h30m"(0 = すぐ降ろす、負 = 降ろさない)',
    'How long the model stays afterwards: seconds or "5m", "1h30m" (0 = it goes at once, negative = it stays)',
    { from: 'IDLE_TIMEOUT' },
  ],

  temperature: [
    '温度(0 = いつも最も確からしいトークン)',
    'Temperature (0 = always the likeliest token)',
    { setting: 'TEMPERATURE' },
  ],
  top_p: [
    '確率の合計がここに届くまでのトークンから選ぶ(1 = 使わない)',
    'Choose among the likeliest tokens that reach this probability together (1 = off)',
    { setting: 'TOP_P' },
  ],
  top_k: [
    '上位この数のトークンから選ぶ(0 = 使わない)',
    'Choose among this many of the likeliest tokens (0 = off)',
    { setting: 'TOP_K' },
  ],
  min_p: [
    '最も確からしいトークンの確率に対する下限(0 = 使わない)',
    'Least probability, relative to the likeliest token (0 = off)',
    { setting: 'MIN_P' },
  ],
  typical_p: [
    '驚きが平均に近いトークンから選ぶ(1 = 使わない)',
    'Choose among tokens whose surprise is near the mean (1 = off)',
    ONE,
  ],
  top_n_sigma: [
    '最高のロジットから標準偏差のこの倍まで(0 以下 = 使わない)',
    'Keep logits within this many standard deviations of the best (0 or less = off)',
    ZERO,
  ],
  xtc_probability: [
    'XTC: 有力なトークンを最後の 1 つだけ残して外す確率(0 = 使わない)',
    'XTC: how likely all but the last of the strong tokens are left out (0 = off)',
    ZERO,
  ],
  xtc_threshold: [
    'XTC: 有力とみなす確率(0.5 を超えると使わない)',
    'XTC: what counts as strong (above 0.5 = off)',
    { value: 0.1 },
  ],
  mirostat: ['2 = Mirostat 2。0 = 使わない', '2 = Mirostat 2, 0 = off', ZERO],
  mirostat_tau: [
    'Mirostat のめざす驚き(1 トークンあたりのビット)',
    'Mirostat: the surprise it aims at, bits per token',
    { value: 5 },
  ],
  mirostat_eta: ['Mirostat の近づく速さ', 'Mirostat: how fast it gets there', { value: 0.1 }],
  dynatemp_range: [
    '温度を、迷いに応じてこの幅だけ上下させる(0 = 使わない)',
    'Let the temperature vary by this much with the entropy (0 = off)',
    ZERO,
  ],
  dynatemp_exponent: ['dynatemp_range の曲がり具合', 'The curve of dynatemp_range', ONE],
  samplers: [
    '選び方の段とその順番。書かない段は使わない',
    'The steps of choosing, in their order; those left out are off',
    { value: SAMPLER_NAMES },
  ],
  seed: [
    '乱数の種。同じ種、同じリクエスト、同じライブラリなら同じ文章',
    'Seed: the same seed, request and library give the same text',
  ],
  stop: [
    'ここで止める文字列。既定のものに足す',
    'Texts that end the answer, besides the ones of the server',
  ],
  presence_penalty: ['出力に現れたトークンを抑える', 'Hold back tokens that the output has', ZERO],
  frequency_penalty: [
    '出力に現れた回数だけトークンを抑える',
    'Hold back tokens by how often the output has them',
    ZERO,
  ],
  repeat_penalty: [
    '繰り返しを抑える(1 = 使わない)',
    'Hold back repeated tokens (1 = off)',
    { setting: 'REPEAT_PENALTY' },
  ],
  repeat_last_n: [
    '繰り返しを見るトークン数(0 = 使わない、-1 = 全体)',
    'How many tokens that looks back (0 = off, -1 = the whole context)',
    { setting: 'REPEAT_LAST_N' },
  ],
  dry_multiplier: [
    'DRY: 同じ並びの繰り返しを抑える強さ(0 = 使わない)',
    'DRY: how strongly repeated sequences are held back (0 = off)',
    ZERO,
  ],
  dry_base: [
    'DRY: 並びの長さに対する増え方',
    'DRY: how fast that grows with their length',
    { value: 1.75 },
  ],
  dry_allowed_length: [
    'DRY: これより長い並びだけを抑える',
    'DRY: sequences up to this length are free',
    { value: 2 },
  ],
  dry_penalty_last_n: [
    'DRY: 調べるトークン数(0 = 使わない、-1 = 全体)',
    'DRY: how many tokens are searched (0 = off, -1 = all)',
    { value: -1 },
  ],
  dry_sequence_breakers: [
    'DRY: 並びはこの文字列をまたがない',
    'DRY: no sequence reaches across these texts',
    { value: ['\n', ':', '"', '*'] },
  ],
  logit_bias: [
    'トークン番号ごとに、選ばれやすさに足す値',
    'What is added to the logit of a token id',
  ],
  ignore_eos: ['終わりのトークンでも続ける', 'Go on after the token that ends an answer', OFF],
  cache_prompt: [
    '前の会話と同じ先頭を計算し直さない',
    'Do not compute again what a prompt has in common with the last',
    { value: true },
  ],

  functions: ['tools の前の形', 'What came before tools'],
  function_call: ['tool_choice の前の形', 'What came before tool_choice'],
  audio: ['音声の出力', 'Spoken answers'],
  modalities: ['文章以外の答え', 'Answers of another kind than text'],
  web_search_options: ['ウェブの検索', 'Search on the web'],
  verbosity: ['答えの詳しさ', 'How wordy the answer is'],
  store: FOR_OPENAI,
  metadata: FOR_OPENAI,
  user: FOR_OPENAI,
  service_tier: FOR_OPENAI,
  prompt_cache_key: FOR_OPENAI,
  prompt_cache_retention: FOR_OPENAI,
  safety_identifier: FOR_OPENAI,
  prediction: [
    '答えの見込み。速さのためだけのもの',
    'What the answer may be; a matter of speed alone',
  ],

  suffix: [
    'プロンプトとこの文章のあいだを埋める。間を埋めるトークン(FIM)のあるモデルだけ',
    'Fill the gap between the prompt and this text; only models with tokens for that (FIM)',
  ],
  best_of: [
    'この数だけ書き、最も確からしい n 個を返す。既定は n。n より大きい値は stream と使えない',
    'Write this many, answer the n likeliest; n where absent, and with stream never more',
  ],
  echo: [
    '答えの前にプロンプトを付ける。logprobs と一緒なら、その対数確率も',
    'Put the prompt before its answer; with logprobs, its log-probabilities too',
    OFF,
  ],
  json_schema: ['llama.cpp の、答えのスキーマ', 'A schema of the answer, as llama.cpp has it'],

  input_prefix: ['間の前の文章', 'The text before the gap'],
  input_suffix: ['間の後の文章', 'The text after the gap'],
  input_extra: [
    'ほかのファイル。遠いものから順に、前に置く',
    'Other files, put before the rest, the most distant one first',
  ],
  n_predict: [
    '出力トークン数の上限(0 = プロンプトを計算して残すだけ、-1 = コンテキストまで)',
    'Output tokens at most (0 = only compute and keep the prompt, -1 = up to the context)',
    { from: 'MAX_TOKENS' },
  ],
  n_probs: ['llama.cpp の、トークンの確率', 'Probabilities of tokens, as llama.cpp has them'],

  query: ['問い', 'What is asked'],
  documents: ['並べる文書', 'The documents to put in order'],
  top_n: ['よいものから、この数だけ返す。既定はすべて', 'Answer this many of the best; else all'],
  return_documents: ['文書も返す', 'Answer the documents too', OFF],

  input: [
    '文、トークン番号の配列、またはどちらかの配列',
    'A text, an array of token ids, or an array of either',
  ],
  encoding_format: [
    'ベクトルの書き方(base64 は 32 ビット浮動小数点数の並び)',
    'How vectors are written; base64 is of 32-bit floats',
    { value: 'float' },
  ],
  dimensions: [
    '先頭からこの数だけを使い、長さを 1 に戻す',
    'Keep this many of the first dimensions, at length 1',
  ],
  content: ['トークンにする文', 'The text to turn into tokens'],
  add_special: [
    '文の前後に、モデルが求めるトークンを足す',
    'Add the tokens that the model wants around a text',
    OFF,
  ],
  parse_special: [
    '<|im_end|> のような文字を制御トークンとして読む',
    'Read texts such as <|im_end|> as control tokens',
    { value: true },
  ],
  with_pieces: ['番号と文字の並びで返す', 'Answer ids with their texts', OFF],
  tokens: ['文に戻すトークン番号', 'The token ids to turn into text'],
};

/** The words of a field: its table's own, else those of its name. */
export function wordsOf(table: string, field: string): Words | undefined {
  const own = `${table}.${field}`;
  if (Object.hasOwn(MEMBER_WORDS, own)) return MEMBER_WORDS[own];
  return Object.hasOwn(BODY_WORDS, field) ? BODY_WORDS[field] : undefined;
}
