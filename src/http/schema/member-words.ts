/**
 * Words for fields whose meaning belongs to one kind of object: members of a message, a tool, a format, and
 * the bodies of /admin. Data only; words.ts looks them up.
 */
import { SAMPLER_NAMES } from '../../generate/sampling.js';
import type { Words } from './words.js';

/** By table and field. */
export const MEMBER_WORDS: Readonly<Record<string, Words>> = {
  'chat.grammar': [
    '答えが従う文法(GBNF、開始記号は root)。response_format とは一緒に使えない',
    'A grammar that the answer obeys (GBNF, start symbol root); not with response_format',
  ],

  'completion.prompt': [
    '続きを書く文章、トークン番号の配列、またはどちらかの配列。テンプレートは通らない',
    'What to continue: a text, an array of token ids, or an array of either; no template is applied',
  ],
  'completion.max_tokens': [
    '出力トークン数の上限(0 は echo のときだけ。計算するのは、logprobs と一緒のプロンプトだけ)',
    'Output tokens at most; 0 is only for echo, and computes nothing but a prompt with logprobs',
    { from: 'MAX_TOKENS' },
  ],
  'completion.n': [
    'プロンプト 1 つあたりの答えの数。プロンプトの計算は 1 度だけ',
    'How many answers to each prompt; a prompt is computed once',
    { value: 1 },
  ],
  'completion.logprobs': [
    '選んだトークンと、この数の有力なトークンの対数確率を付ける。echo と一緒なら、プロンプトにも',
    'Tell the log-probability of each token and of this many of the likeliest; with echo, of the prompt too',
  ],
  'completion.response_format': [
    '答えの形。文章だけ。ほかの形はチャットか grammar で',
    'The form of the answer: text alone; chat and grammar have others',
  ],
  'infill.model': [
    'モデルの名前。省くと、載っているもの、なければただ 1 つ登録されたもの',
    'The name of a model; else the one in memory, else the only one there is',
  ],
  'infill.prompt': ['input_prefix のすぐ後ろに足す', 'Put right behind input_prefix'],
  'infill.samplers': [
    '選び方の段とその順番。書かない段は使わない。infill は無視して知らせる',
    'The steps of choosing, in their order; those left out are off; infill is ignored and named',
    { value: SAMPLER_NAMES },
  ],
  'extra.filename': ['ファイルの名前', 'The name of the file'],
  'extra.text': ['ファイルの中身', 'What the file holds'],
  'rerank.model': ['再順位付け用のモデルの名前', 'The name of a model that was made to rerank'],
  'document.text': ['文書の文章', 'The text of the document'],

  'stream_options.include_usage': [
    '最後に使用量を受け取る',
    'Send the usage at the end',
    { value: false },
  ],
  'stream_options.include_obfuscation': [
    'OpenAI のサービスのためのもの',
    'For the service that OpenAI runs',
  ],

  'message.role': ['だれの言葉か', 'Who speaks'],
  'message.content': [
    '言葉。文章の部品の配列なら、改行でつなぐ',
    'What is said; an array of text parts is joined by line breaks',
  ],
  'message.name': ['話し手の名前', 'The name of who speaks'],
  'message.tool_calls': ['assistant がした呼び出し', 'Calls that the assistant made'],
  'message.tool_call_id': ['tool の答えが、どの呼び出しのものか', 'Which call a tool answers'],
  'message.reasoning_content': ['assistant の考えた過程', 'What the assistant thought'],
  'message.audio': ['音声の答え', 'A spoken answer'],
  'message.function_call': ['tool_calls の前の形', 'What came before tool_calls'],
  'message.refusal': ['OpenAI が断った言葉', 'Words by which OpenAI refused'],
  'message.annotations': ['OpenAI の注釈', 'Annotations of OpenAI'],
  'part.type': ['部品の種類', 'The kind of part'],
  'part.text': ['文章', 'The text'],
  'tool_call.id': ['呼び出しの番号', 'The id of the call'],
  'tool_call.type': ['種類', 'The kind'],
  'tool_call.function': ['呼び出した関数', 'The function that was called'],
  'tool_call.index': ['ストリームの中での順番', 'The place in a stream'],
  'called_function.name': ['関数の名前', 'The name of the function'],
  'called_function.arguments': ['引数の JSON', 'The arguments as JSON text', { value: '{}' }],

  'tool.type': ['種類', 'The kind'],
  'tool.function': ['呼び出せる関数', 'The function that is offered'],
  'tool_function.name': ['関数の名前。同じ名前は 1 度だけ', 'The name of the function; each once'],
  'tool_function.description': ['何をする関数か', 'What the function does'],
  'tool_function.parameters': ['引数の JSON Schema', 'A JSON Schema of the arguments'],
  'tool_function.strict': [
    '引数をスキーマどおりにする',
    'Hold the arguments to the schema',
    { value: false },
  ],

  'response_format.type': ['形の種類', 'The kind of form'],
  'response_format.json_schema': [
    '従うスキーマ。type が json_schema のときは必要',
    'The schema to obey; required where type is json_schema',
  ],
  'response_format.schema': [
    'json_object のときに従うスキーマ',
    'A schema to obey with json_object',
  ],
  'json_schema.name': ['スキーマの名前', 'The name of the schema'],
  'json_schema.description': ['スキーマの説明', 'What the schema is for'],
  'json_schema.schema': ['JSON Schema', 'The JSON Schema'],
  'json_schema.strict': [
    'どちらでも、いつもスキーマどおりにする',
    'Changes nothing: a schema is always obeyed',
  ],

  'tokenize.model': [
    'モデルの名前。省くと、載っているもの、なければただ 1 つ登録されたもの',
    'The name of a model; else the one in memory, else the only one there is',
  ],
  'detokenize.model': [
    'モデルの名前。省くと、載っているもの、なければただ 1 つ登録されたもの',
    'The name of a model; else the one in memory, else the only one there is',
  ],

  'add.name': ['付ける名前', 'The name it gets'],
  'add.path': ['GGUF ファイル。絶対パスか ~/…', 'The GGUF file: an absolute path or ~/…'],
  'add.stop': ['このモデルの停止文字列', 'Texts that end an answer of this model'],
  'add.force': [
    '同じ名前の登録を置き換える',
    'Replace an entry of the same name',
    { value: false },
  ],
  'add.n_ctx': ['コンテキストのトークン数', 'Tokens of the context', { setting: 'N_CTX' }],
  'add.n_gpu_layers': [
    'GPU に載せる層の数(-1 = すべて、auto = 入るだけ)',
    'Layers on the GPU (-1 = all, auto = what fits)',
    { setting: 'N_GPU_LAYERS' },
  ],
  'add.n_slots': [
    '同時に生成するリクエストの数(auto = 一番速い数を測って決める)',
    'Requests that generate at the same time (auto = measured: what is fastest)',
    { setting: 'N_SLOTS' },
  ],
  'add.speculation': ['続きの先読み', 'Guessing tokens ahead', { setting: 'SPECULATION' }],
  'add.draft_model': [
    '続きを先読みするモデルの名前か絶対パス。空なら使わない',
    'The model that guesses tokens ahead: its name or an absolute path; none where empty',
    { from: 'DRAFT_MODEL' },
  ],
  'add.n_draft': [
    '一度に先読みするトークン数の上限',
    'Tokens guessed ahead at once, at most',
    { setting: 'N_DRAFT' },
  ],
  'add.chat_template': [
    'ファイルのものに代わるテンプレート(Jinja)',
    'A template in the place of the file’s own (Jinja)',
  ],
  'add.max_tokens': [
    '出力トークン数の上限(0 = 限りなし)',
    'Output tokens at most (0 = no limit)',
    { from: 'MAX_TOKENS' },
  ],
  'add.keep_alive': [
    '使われなくなってから置いておく時間',
    'How long it stays when it is not used',
    { from: 'IDLE_TIMEOUT' },
  ],
  'use.id': [
    '入っている libllama の名前。null は探す順番どおり',
    'An installed libllama; null is what the search order finds',
  ],
  'load.keep_alive': [
    '使われなくなってから置いておく時間',
    'How long it stays when it is not used',
    { from: 'IDLE_TIMEOUT' },
  ],
  'unload.model': ['降ろすモデル。省くとすべて', 'The model that goes; all of them where absent'],
};
