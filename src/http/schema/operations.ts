/**
 * A row for every route, for the document of the API: what it is for, what it takes, what it answers.
 * Data only; a test holds the rows against the routes themselves, both ways.
 */
import type { z } from 'zod';
import {
  ADD_FIELDS,
  addBody,
  LOAD_FIELDS,
  loadBody,
  UNLOAD_FIELDS,
  USE_FIELDS,
  unloadBody,
  useBody,
} from './admin.js';
import type { AnswerName } from './answers.js';
import { chatBody } from './chat.js';
import { COMPLETION_FIELDS, completionForm } from './completions.js';
import { CHAT_FIELDS } from './fields.js';
import { INFILL_FIELDS, infillForm } from './infill.js';
import type { FieldTable } from './notes.js';
import { RERANK_FIELDS, rerankBody } from './rerank.js';
import {
  DETOKENIZE_FIELDS,
  detokenizeBody,
  EMBEDDING_FIELDS,
  embeddingForm,
  TOKENIZE_FIELDS,
  tokenizeBody,
} from './tokens.js';

/** A request's body. `table.name` is where its fields' words stand. */
export interface OperationBody {
  /** The name of its schema in the document. */
  readonly title: string;
  readonly schema: z.ZodType;
  readonly table: FieldTable;
  /** It may be left out. */
  readonly optional?: true;
  readonly example: object;
}

/** A header that says what was changed in a request. */
export type NoteHeader = 'x-hoshikage-altered' | 'x-hoshikage-truncated';

/** One route. */
export interface Operation {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  /** Unique; generated clients name their functions by it. */
  readonly id: string;
  readonly ja: string;
  readonly en: string;
  readonly body?: OperationBody;
  readonly answer?: AnswerName;
  /** What each event of a stream holds. */
  readonly events?: AnswerName;
  /** What else it answers with: the media type. */
  readonly text?: 'text/plain' | 'text/html';
  /** Headers of its answer beside those that every answer may have. */
  readonly headers?: readonly NoteHeader[];
  /** It waits for its turn: takes `x-hoshikage-priority`. */
  readonly waits?: true;
}

const body = (
  title: string,
  schema: z.ZodType,
  [name, fields]: readonly [string, FieldTable['fields']],
  example: object,
): OperationBody => ({ title, schema, table: { name, fields }, example });

const GUIDE = 'hoshikage-guide';

const CHAT_BODY = body('ChatCompletionRequest', chatBody, ['chat', CHAT_FIELDS], {
  model: GUIDE,
  messages: [{ role: 'user', content: 'こんにちは' }],
  max_tokens: 64,
});

/** In the order in which they are shown. */
export const OPERATIONS: readonly Operation[] = [
  {
    method: 'POST',
    path: '/v1/chat/completions',
    id: 'createChatCompletion',
    ja: 'チャット。JSON かストリームで答える',
    en: 'Chat, answered as JSON or as a stream',
    body: CHAT_BODY,
    answer: 'ChatCompletion',
    events: 'ChatCompletionChunk',
    headers: ['x-hoshikage-altered', 'x-hoshikage-truncated'],
    waits: true,
  },
  {
    method: 'POST',
    path: '/v1/chat/completions/input_tokens',
    id: 'countChatTokens',
    ja: 'チャットのプロンプトが何トークンになるか。何も計算しない',
    en: 'How many tokens the prompt of a chat has; computes nothing',
    body: CHAT_BODY,
    answer: 'InputTokens',
    headers: ['x-hoshikage-truncated'],
    waits: true,
  },
  {
    method: 'POST',
    path: '/v1/completions',
    id: 'createCompletion',
    ja: '文章の続き。JSON かストリームで答える',
    en: 'Texts continued, answered as JSON or as a stream',
    body: body('CompletionRequest', completionForm, ['completion', COMPLETION_FIELDS], {
      model: GUIDE,
      prompt: 'こんにちは',
      max_tokens: 64,
    }),
    answer: 'TextCompletion',
    events: 'TextCompletionChunk',
    waits: true,
  },
  {
    method: 'POST',
    path: '/infill',
    id: 'infill',
    ja: '前後の文章のあいだを埋める(llama.cpp のサーバーの形)',
    en: 'Fill the gap between two texts, in the shape of the llama.cpp server',
    body: body('InfillRequest', infillForm, ['infill', INFILL_FIELDS], {
      model: 'qwen2.5-coder',
      input_prefix: 'def add(a, b):\n    return ',
      input_suffix: '\n',
      n_predict: 32,
    }),
    answer: 'Infill',
    events: 'InfillEvent',
    waits: true,
  },
  {
    method: 'POST',
    path: '/v1/embeddings',
    id: 'createEmbedding',
    ja: '文を埋め込みベクトルにする',
    en: 'Turn texts into vectors',
    body: body('EmbeddingRequest', embeddingForm, ['embedding', EMBEDDING_FIELDS], {
      model: GUIDE,
      input: ['星の影', 'stellar shadow'],
    }),
    answer: 'EmbeddingList',
    waits: true,
  },
  {
    method: 'POST',
    path: '/v1/rerank',
    id: 'rerank',
    ja: '問いに合う順に、文書を並べる',
    en: 'Put documents in the order of how well they answer',
    body: body('RerankRequest', rerankBody, ['rerank', RERANK_FIELDS], {
      model: 'bge-reranker-v2-m3',
      query: '星の名前',
      documents: ['シリウスは全天で最も明るい。', '今日は雨。'],
      top_n: 1,
    }),
    answer: 'RerankList',
    waits: true,
  },
  {
    method: 'POST',
    path: '/tokenize',
    id: 'tokenize',
    ja: '文をトークンにする',
    en: 'Turn a text into tokens',
    body: body('TokenizeRequest', tokenizeBody, ['tokenize', TOKENIZE_FIELDS], {
      model: GUIDE,
      content: 'こんにちは',
    }),
    answer: 'Tokens',
    waits: true,
  },
  {
    method: 'POST',
    path: '/detokenize',
    id: 'detokenize',
    ja: 'トークンを文に戻す',
    en: 'Turn tokens into a text',
    body: body('DetokenizeRequest', detokenizeBody, ['detokenize', DETOKENIZE_FIELDS], {
      model: GUIDE,
      tokens: [945],
    }),
    answer: 'Text',
    waits: true,
  },
  {
    method: 'GET',
    path: '/v1/models',
    id: 'listModels',
    ja: 'モデルの一覧',
    en: 'All models',
    answer: 'ModelList',
  },
  {
    method: 'GET',
    path: '/v1/models/{id}',
    id: 'retrieveModel',
    ja: 'モデル 1 つ',
    en: 'One model',
    answer: 'Model',
  },
  {
    method: 'GET',
    path: '/v1/status',
    id: 'status',
    ja: 'サーバー、ライブラリ、モデル、待ち行列の様子',
    en: 'How the server, the library, the models and the queue stand',
    answer: 'Status',
  },
  {
    method: 'GET',
    path: '/v1/api/version',
    id: 'version',
    ja: 'バージョン',
    en: 'The version',
    answer: 'Version',
  },
  {
    method: 'GET',
    path: '/',
    id: 'root',
    ja: '名前とバージョン(テキスト)',
    en: 'Name and version as text',
    text: 'text/plain',
  },
  {
    method: 'GET',
    path: '/health',
    id: 'health',
    ja: '動いているか。モデルを起こさず、何も待たない',
    en: 'Whether it runs; wakes no model and waits for nothing',
    answer: 'Health',
  },
  {
    method: 'GET',
    path: '/openapi.json',
    id: 'openApi',
    ja: 'この文書(OpenAPI 3.1)',
    en: 'This document (OpenAPI 3.1)',
    answer: 'OpenApi',
  },
  {
    method: 'GET',
    path: '/docs',
    id: 'docs',
    ja: 'この文書を読むためのページ',
    en: 'A page to read this document',
    text: 'text/html',
  },
  {
    method: 'GET',
    path: '/admin/models',
    id: 'adminListModels',
    ja: '登録の一覧',
    en: 'All entries',
    answer: 'AdminModels',
  },
  {
    method: 'POST',
    path: '/admin/models',
    id: 'adminAddModel',
    ja: 'モデルを登録する',
    en: 'Add a model',
    body: body('AddModelRequest', addBody, ['add', ADD_FIELDS], {
      name: 'my-model',
      path: '/path/to/model.gguf',
    }),
    answer: 'AdminAnswer',
  },
  {
    method: 'DELETE',
    path: '/admin/models/{id}',
    id: 'adminRemoveModel',
    ja: '登録を外す(ファイルは残る)',
    en: 'Remove an entry; its file stays',
    answer: 'AdminAnswer',
  },
  {
    method: 'POST',
    path: '/admin/models/{id}/load',
    id: 'adminLoadModel',
    ja: 'モデルを先に載せておく',
    en: 'Load a model ahead of its first request',
    body: {
      ...body('LoadModelRequest', loadBody, ['load', LOAD_FIELDS], { keep_alive: '2h' }),
      optional: true,
    },
    answer: 'AdminAnswer',
    waits: true,
  },
  {
    method: 'POST',
    path: '/admin/reload',
    id: 'adminReload',
    ja: '台帳と MODEL_DIR を読み直す',
    en: 'Read the map and MODEL_DIR again',
    answer: 'AdminAnswer',
  },
  {
    method: 'POST',
    path: '/admin/unload',
    id: 'adminUnload',
    ja: '載っているモデルを、全部または名指しで降ろす',
    en: 'Unload all models, or the one named',
    body: {
      ...body('UnloadRequest', unloadBody, ['unload', UNLOAD_FIELDS], { model: 'my-model' }),
      optional: true,
    },
    answer: 'AdminAnswer',
  },
  {
    method: 'GET',
    path: '/admin/events',
    id: 'adminEvents',
    ja: '起きたことを、起きたときに知らせる(SSE)',
    en: 'What happens, when it happens (SSE)',
    events: 'ResourceEvent',
  },
  {
    method: 'GET',
    path: '/admin/library',
    id: 'adminLibrary',
    ja: '使っている libllama とその理由、入っているものの一覧',
    en: 'The libllama in use, why, and all that are installed',
    answer: 'AdminLibrary',
  },
  {
    method: 'POST',
    path: '/admin/library',
    id: 'adminUseLibrary',
    ja: '入っている libllama に切り替える',
    en: 'Switch to an installed libllama',
    body: body('UseLibraryRequest', useBody, ['use', USE_FIELDS], { id: null }),
    answer: 'AdminLibrary',
  },
];
