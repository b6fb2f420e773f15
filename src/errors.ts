/**
 * The error catalogue: one code from C++ to the wire, put into words once, Japanese and English.
 * Any thread, any process. It must never import another room, and a message must never carry a
 * prompt's text or an internal cause (those go to `cause` and so to the log).
 */

/** What one code means at every edge: HTTP status, OpenAI `type`, CLI exit code, words, remedy. */
interface CatalogueEntry {
  readonly status: number;
  readonly type:
    | 'invalid_request_error'
    | 'authentication_error'
    | 'permission_error'
    | 'server_error';
  readonly exit: 1 | 2;
  readonly ja: string;
  readonly en: string;
  /** Seconds for `Retry-After`, where trying again may help. */
  readonly retryAfterS?: number;
}

const bad = { status: 400, type: 'invalid_request_error', exit: 2 } as const;
const down = { status: 503, type: 'server_error', exit: 1 } as const;

/** `{name}` in a text is replaced by `details.name`. docs/ERRORS.md lists every code; a test compares. */
export const CATALOGUE = {
  invalid_json: {
    ...bad,
    ja: 'JSON として読めません: {reason}',
    en: 'The body is not valid JSON: {reason}',
  },
  invalid_value: {
    ...bad,
    ja: '{param} の値が正しくありません: {reason}',
    en: 'Invalid value for {param}: {reason}',
  },
  missing_required_parameter: { ...bad, ja: '{param} は必須です', en: '{param} is required' },
  unsupported_parameter: {
    ...bad,
    ja: '{param} にはまだ対応していません。この項目を外してください',
    en: '{param} is not supported yet; leave it out',
  },
  unknown_parameter: {
    ...bad,
    ja: '知らない項目です: {param}(STRICT_FIELDS=1 のため拒否しました)',
    en: 'Unknown parameter: {param} (refused because STRICT_FIELDS=1)',
  },
  context_length_exceeded: {
    ...bad,
    ja: 'プロンプトが長すぎます({n_prompt_tokens} トークン、上限 {n_ctx})。短くするか N_CTX を増やしてください',
    en: 'The prompt is too long ({n_prompt_tokens} tokens, limit {n_ctx}); shorten it or raise N_CTX',
  },
  template_failed: {
    ...bad,
    ja: 'チャットテンプレートがこの会話を受け付けません: {reason}',
    en: 'The chat template refused this conversation: {reason}',
  },
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
  grammar_invalid: {
    ...bad,
    ja: '文法を読めません: {reason}',
    en: 'The grammar was refused: {reason}',
  },
  invalid_api_key: {
    status: 401,
    type: 'authentication_error',
    exit: 1,
    ja: 'API キーがないか、違っています。Authorization: Bearer <API_KEY> を付けてください',
    en: 'The API key is missing or wrong: send Authorization: Bearer <API_KEY>',
  },
  host_not_allowed: {
    status: 403,
    type: 'permission_error',
    exit: 1,
    ja: 'この Host は許可されていません: {host}(ALLOWED_HOSTS で許可できます)',
    en: 'This Host is not allowed: {host} (ALLOWED_HOSTS may allow it)',
  },
  origin_not_allowed: {
    status: 403,
    type: 'permission_error',
    exit: 1,
    ja: 'この Origin は許可されていません: {origin}(CORS_ORIGINS で許可できます)',
    en: 'This Origin is not allowed: {origin} (CORS_ORIGINS may allow it)',
  },
  admin_not_allowed: {
    status: 403,
    type: 'permission_error',
    exit: 1,
    ja: '管理 API には run.json のトークンか API キーが必要です',
    en: 'The admin API needs the token in run.json or the API key',
  },
  model_not_found: {
    status: 404,
    type: 'invalid_request_error',
    exit: 1,
    ja: 'モデルが見つかりません: {model}。登録済みの名前は npx hoshikage list で分かります',
    en: 'Model not found: {model}; npx hoshikage list shows the registered names',
  },
  route_not_found: {
    status: 404,
    type: 'invalid_request_error',
    exit: 1,
    ja: 'そのような API はありません: {path}',
    en: 'No such route: {path}',
  },
  method_not_allowed: {
    status: 405,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{path} に {method} は使えません',
    en: '{method} is not allowed on {path}',
  },
  model_exists: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: 'その名前は登録済みです: {model}。置き換えるには --force(API では force: true)を付けてください',
    en: 'The name is taken: {model}; pass --force (force: true in the API) to replace it',
  },
  body_too_large: {
    status: 413,
    type: 'invalid_request_error',
    exit: 1,
    ja: 'リクエストが大きすぎます(上限 {limit} バイト、MAX_BODY_BYTES)',
    en: 'The body is too large (limit {limit} bytes, MAX_BODY_BYTES)',
  },
  unsupported_media_type: {
    status: 415,
    type: 'invalid_request_error',
    exit: 1,
    ja: 'Content-Type は application/json にしてください',
    en: 'Content-Type must be application/json',
  },
  queue_full: {
    ...down,
    retryAfterS: 5,
    ja: '待ち行列がいっぱいです({limit} 件)。少し待ってからやり直してください',
    en: 'The queue is full ({limit} requests); try again shortly',
  },
  queue_timeout: {
    ...down,
    retryAfterS: 10,
    ja: '順番が来る前に {seconds} 秒が過ぎました(QUEUE_TIMEOUT)。少し待ってからやり直してください',
    en: 'Waited {seconds} s without getting a turn (QUEUE_TIMEOUT); try again shortly',
  },
  shutting_down: {
    ...down,
    retryAfterS: 5,
    ja: 'サーバーは終了するところです',
    en: 'The server is shutting down',
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
  library_not_found: {
    ...down,
    ja: 'libllama が見つかりません: {reason}',
    en: 'No libllama was found: {reason}',
  },
  library_incompatible: {
    ...down,
    ja: 'この libllama は使えません: {reason}。docs/LIBRARY_GUIDE.md を見てください',
    en: 'This libllama cannot be used: {reason}; see docs/LIBRARY_GUIDE.md',
  },
  library_unknown: {
    status: 404,
    type: 'invalid_request_error',
    exit: 1,
    ja: 'その libllama は入っていません: {id}。npx hoshikage lib list で分かります',
    en: 'No such libllama is installed: {id}; npx hoshikage lib list shows them',
  },
  library_pinned: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: 'HOSHIKAGE_LIB_PATH={path} が決めているので切り替えられません。この設定を消してから試してください',
    en: 'HOSHIKAGE_LIB_PATH={path} decides, so nothing can be switched; remove that setting first',
  },
  library_unproved: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{id} はまだ試験に通っていません。npx hoshikage lib use {id} で試験してから切り替わります',
    en: '{id} has not passed the canary yet; npx hoshikage lib use {id} runs it and then switches',
  },
  library_changed: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '試験のあいだに {id} のファイルが変わったので、何も切り替えていません。もう一度やり直してください',
    en: 'The files of {id} changed while they were being proved, so nothing was switched; try again',
  },
  library_canary_failed: {
    ...down,
    ja: '{id} は試験に通らなかったので、切り替えていません({check}: {reason})',
    en: '{id} failed the canary, so nothing was switched ({check}: {reason})',
  },
  library_exists: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{path} がもうあるので、入れませんでした(何も上書きしません)',
    en: '{path} is there already, so nothing was installed (nothing is ever overwritten)',
  },
  library_damaged: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{path} のファイルが、入れたときのものと違います(欠けているか、途中で切れています)。npx hoshikage lib rm {id} で消してから、入れ直してください',
    en: 'The files in {path} are not those that were installed (one is missing or cut off); remove them with npx hoshikage lib rm {id} and install again',
  },
  library_in_use: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{id} は使用中なので消せません。先に npx hoshikage lib use default か、lib use <別の名前> で切り替えてください(HOSHIKAGE_LIB_PATH が指しているなら、その設定を消してください)',
    en: '{id} is in use and cannot be removed; switch first with npx hoshikage lib use default, or lib use <another> (where HOSHIKAGE_LIB_PATH names it, remove that setting)',
  },
  server_silent: {
    status: 503,
    type: 'server_error',
    exit: 1,
    ja: 'サーバー(pid {pid})が応答しないので、どの libllama を使っているか分かりません。サーバーを止めてから、やり直してください({path})',
    en: 'The server (pid {pid}) does not answer, so nobody knows which libllama it uses; stop it and try again ({path})',
  },
  library_not_ours: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{id} は手で置かれたものなので消しません。要らなければ {path} を自分で消してください',
    en: '{id} was put there by hand and is not removed; delete {path} yourself if you no longer need it',
  },
  library_no_previous: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '戻る先がありません({reason})。npx hoshikage lib list で名前を選び、lib use で切り替えられます',
    en: 'There is nothing to go back to ({reason}); choose one of npx hoshikage lib list and switch with lib use',
  },
  library_locked: {
    ...down,
    retryAfterS: 1,
    ja: 'libllama の設定を別のプロセスが使用中です: {path}',
    en: 'Another process holds the choice of libllama: {path}',
  },
  library_unwritable: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: '{path} に書き込めません({reason})',
    en: 'Cannot write to {path} ({reason})',
  },
  registry_unreachable: {
    ...down,
    ja: 'npm のレジストリーにつながりません: {url}({reason})。ネットワークと npm のプロキシ設定を確かめてください',
    en: 'The npm registry cannot be reached: {url} ({reason}); check the network and the proxy settings of npm',
  },
  registry_refused: {
    ...down,
    ja: 'npm のレジストリーが断りました: {url}(HTTP {http})。.npmrc の鍵を確かめてください',
    en: 'The npm registry refused: {url} (HTTP {http}); check the token in your .npmrc',
  },
  package_not_found: {
    ...down,
    ja: 'レジストリーにありません: {package}({registry}){hint}',
    en: 'The registry does not have it: {package} ({registry}){hint}',
  },
  package_invalid: {
    ...down,
    ja: '{package} は受け取れません: {reason}。何も入れていません',
    en: '{package} cannot be accepted: {reason}; nothing was installed',
  },
  disk_full: {
    ...down,
    ja: '{path} の空きが足りません({needed} 要りますが、{free} しかありません)',
    en: 'Not enough space at {path} ({needed} needed, {free} free)',
  },
  addon_missing: {
    ...down,
    ja: 'ネイティブアドオンがありません。C++ コンパイラを入れて npm run build:native を実行してください',
    en: 'The native addon is missing; install a C++ compiler and run npm run build:native',
  },
  engine_crashed: {
    ...down,
    retryAfterS: 2,
    ja: '推論エンジンが落ちました。次のリクエストで新しいエンジンが立ち上がります',
    en: 'The engine process died; the next request starts a new one',
  },
  decode_failed: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: '推論に失敗しました。ログを確かめてください',
    en: 'Decoding failed; see the log',
  },
  cancelled: {
    status: 499,
    type: 'server_error',
    exit: 1,
    ja: 'リクエストは取り消されました',
    en: 'The request was cancelled',
  },
  closed: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: 'すでに閉じられています: {what}',
    en: 'Already closed: {what}',
  },
  invalid_argument: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: '内部の引数が正しくありません: {reason}',
    en: 'Invalid internal argument: {reason}',
  },
  internal_error: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: '内部エラーが起きました。ログを確かめてください',
    en: 'An internal error occurred; see the log',
  },
  state_unwritable: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: 'キャッシュの状態を保存できません: {path}({reason})',
    en: 'The cached state cannot be saved: {path} ({reason})',
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
  model_not_in_map: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{model} は台帳のモデルではないので外せません。MODEL_DIR のファイル {path} を移してください',
    en: '{model} is not in the map, so it cannot be removed; move the file {path} out of MODEL_DIR',
  },
  setting_invalid: {
    ...down,
    exit: 2,
    ja: '設定 {key} の値「{value}」が正しくありません({origin}): {reason}',
    en: 'Invalid value "{value}" for the setting {key} (from {origin}): {reason}',
  },
  port_in_use: {
    ...down,
    ja: 'ポートが使用中です: {host}:{port}。--port で別のポートを指定してください',
    en: 'Address already in use: {host}:{port}; choose another with --port',
  },
  insecure_bind: {
    ...down,
    exit: 2,
    ja: '{host} は外部に公開されます。API_KEY を設定してください(承知の上なら ALLOW_INSECURE_BIND=1)',
    en: '{host} is reachable from outside; set API_KEY (or ALLOW_INSECURE_BIND=1 if you mean it)',
  },
  usage: { ...bad, ja: '使い方が正しくありません: {reason}', en: 'Usage error: {reason}' },
} as const satisfies Record<string, CatalogueEntry>;

/** Every code that can reach a user; the same string in C++, IPC, HTTP, CLI and log. */
export type ErrorCode = keyof typeof CATALOGUE;

/** Values for the `{name}` places of a text; `param` also becomes OpenAI's `param`. */
export type ErrorDetails = Readonly<Record<string, string | number>>;

/** True for a string that is one of our codes (errors from C++ and IPC arrive as strings). */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(CATALOGUE, code);
}

/** The catalogue row of a code, with its optional fields typed. */
export function describe(code: ErrorCode): CatalogueEntry {
  return CATALOGUE[code];
}

/** The one error class that crosses a room. `message` is the English text; the edges choose words. */
export class HoshikageError extends Error {
  override readonly name = 'HoshikageError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails = {}, options: { cause?: unknown } = {}) {
    super(words(code, 'en', details), options);
    this.code = code;
    this.details = details;
  }
}

/**
 * One language's text of a code with its details filled in, on one line. A detail `{name}` that reads
 * differently in a language is taken from `{name}_ja` or `{name}_en` where that is given.
 */
export function words(code: ErrorCode, language: 'ja' | 'en', details: ErrorDetails = {}): string {
  const text: string = CATALOGUE[code][language];
  return text
    .replace(/\{(\w+)\}/g, (_, name: string) =>
      String(details[`${name}_${language}`] ?? details[name] ?? '?'),
    )
    .replace(/\s*[\r\n]+\s*/g, ' ');
}

/** Any thrown value as a HoshikageError: known codes pass, all else is `fallback` with its cause kept. */
export function toHoshikageError(
  thrown: unknown,
  fallback: ErrorCode = 'internal_error',
  details: ErrorDetails = {},
): HoshikageError {
  if (thrown instanceof HoshikageError) return thrown;
  if (thrown instanceof Error && 'code' in thrown && isErrorCode(thrown.code)) {
    return new HoshikageError(
      thrown.code,
      { reason: thrown.message, ...details },
      { cause: thrown },
    );
  }
  return new HoshikageError(fallback, details, { cause: thrown });
}
