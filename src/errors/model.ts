/**
 * Rows of the error catalogue: models, their files and their map. Data only.
 */
import { bad, type CatalogueEntry, down } from './entry.js';

export const MODEL_ERRORS = {
  model_not_generative: {
    ...bad,
    ja: 'このモデルは文章を生成できません(埋め込み専用です): {model}',
    en: 'This model cannot generate text (it only makes embeddings): {model}',
  },
  model_not_embedding: {
    ...bad,
    ja: 'このモデルでは埋め込みを作れません: {reason}',
    en: 'This model cannot make embeddings: {reason}',
  },
  model_not_reranking: {
    ...bad,
    ja: 'このモデルは再順位付けができません(再順位付け用のモデルを指定してください): {model}',
    en: 'This model cannot rerank: {model}; name one that was made for it',
  },
  model_not_found: {
    status: 404,
    type: 'invalid_request_error',
    exit: 1,
    ja: 'モデルが見つかりません: {model}。登録済みの名前は npx hoshikage list で分かります',
    en: 'Model not found: {model}; npx hoshikage list shows the registered names',
  },
  model_exists: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: 'その名前は登録済みです: {model}。置き換えるには --force(API では force: true)を付けてください',
    en: 'The name is taken: {model}; pass --force (force: true in the API) to replace it',
  },
  model_load_failed: {
    ...down,
    ja: 'モデルを読み込めません: {model}。npx hoshikage list とログを確かめてください',
    en: 'The model could not be loaded: {model}; see npx hoshikage list and the log',
  },
  model_file_missing: {
    ...down,
    ja: 'モデルのファイルがありません: {path}',
    en: 'The model file does not exist: {path}',
  },
  model_file_invalid: {
    ...down,
    ja: 'GGUF として読めません: {path}({reason})',
    en: 'Not a sound GGUF file: {path} ({reason})',
  },
  model_file_unreadable: {
    ...down,
    ja: 'モデルのファイルを読めません: {path}({reason})',
    en: 'The model file cannot be read: {path} ({reason})',
  },
  model_file_changed: {
    ...down,
    retryAfterS: 2,
    ja: 'モデルのファイルが、確かめてから読み込むまでのあいだに変わりました: {path}。書き込みが終わってから、もう一度試してください',
    en: 'The model file changed between its check and its load: {path}; try again once nothing writes to it',
  },
  draft_model_unusable: {
    ...down,
    ja: '先読み用のモデル {draft} を使えません(DRAFT_MODEL、または台帳の draft_model): {reason}',
    en: 'The draft model {draft} cannot be used (DRAFT_MODEL, or draft_model in the map): {reason}',
  },
  model_held: {
    ...down,
    ja: '{model} のエンジンが一度も答えを返さずに {crashes} 回落ちたので、読み込みを止めています。ログを見て原因を除き、npx hoshikage load {model} で再開してください',
    en: 'The engine of {model} crashed {crashes} times without finishing one request, so it is held back; see the log, then resume with npx hoshikage load {model}',
  },
  memory_short: {
    ...down,
    ja: '{model} にはメモリが {short} 足りません({needed} 要りますが、空きは {free} です)。{advice}',
    en: '{model} needs {short} more memory than there is ({needed} needed, {free} free). {advice}',
  },
  map_broken: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: 'モデルの台帳を読めません: {path}({reason})。ファイルには触れていません',
    en: 'The model map cannot be read: {path} ({reason}); the file was left untouched',
  },
  map_locked: {
    ...down,
    retryAfterS: 1,
    ja: 'モデルの台帳を別のプロセスが使用中です: {path}',
    en: 'Another process holds the model map: {path}',
  },
  map_unwritable: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: 'モデルの台帳に書き込めません: {path}({reason})。ファイルには触れていません',
    en: 'The model map cannot be written: {path} ({reason}); the file was left untouched',
  },
  model_built_in: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{model} は付属のモデルなので外せません。ほかのモデルを登録すると、一覧から消えます',
    en: '{model} is built in, so it cannot be removed; it leaves the list once another model is registered',
  },
  model_not_in_map: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{model} は台帳のモデルではないので外せません。MODEL_DIR のファイル {path} を移してください',
    en: '{model} is not in the map, so it cannot be removed; move the file {path} out of MODEL_DIR',
  },
} as const satisfies Record<string, CatalogueEntry>;
