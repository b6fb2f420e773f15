/**
 * Rows of the error catalogue: what a client or a user did wrong: requests, settings, the command line. Data only.
 */
import { bad, type CatalogueEntry, down } from './entry.js';

export const REQUEST_ERRORS = {
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
    ja: '知らないか、このモデルでは効き目のない項目です: {param}(STRICT_FIELDS=1 のため拒否しました)',
    en: 'Unknown parameter, or one without effect on this model: {param} (refused because STRICT_FIELDS=1)',
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
  grammar_invalid: {
    ...bad,
    ja: '文法を読めません: {reason}',
    en: 'The grammar was refused: {reason}',
  },
  schema_unsupported: {
    ...bad,
    ja: 'JSON Schema の {pointer} は文法にできません: {reason}',
    en: 'This part of the JSON Schema cannot be made a grammar: {pointer}: {reason}',
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
