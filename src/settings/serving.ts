/**
 * Rows of the table of settings: how the server is reached and what it logs. Data only, in the order of
 * `.env.example`.
 */
import {
  bearerToken,
  boolean,
  choice,
  host,
  hostNames,
  integer,
  optional,
  path,
  webOrigins,
} from '../setting-kinds.js';
import type { Setting } from './row.js';

export const SERVING = [
  {
    key: 'PORT',
    property: 'port',
    kind: integer(0, 65_535),
    default: '3030',
    ja: '待ち受けるポート(0 = 空いているもの)',
    en: 'Port to listen on (0 = any free one)',
  },
  {
    key: 'HOST',
    property: 'host',
    kind: host(),
    default: '127.0.0.1',
    ja: '待ち受けるアドレス。外部に公開するなら API_KEY も設定する',
    en: 'Address to listen on; set API_KEY too when others can reach it',
  },
  {
    key: 'API_KEY',
    property: 'apiKey',
    kind: optional(bearerToken()),
    default: '',
    secret: true,
    ja: 'クライアントに求める鍵(Authorization: Bearer …)。空 = 鍵なし',
    en: 'Key that clients must send (Authorization: Bearer …); empty = none',
  },
  {
    key: 'ALLOW_INSECURE_BIND',
    property: 'allowInsecureBind',
    kind: boolean(),
    default: '0',
    ja: '1 = 鍵なしで外部に公開してもよい',
    en: '1 = allow a public address without a key',
  },
  {
    key: 'ALLOWED_HOSTS',
    property: 'allowedHosts',
    kind: hostNames(),
    default: '',
    ja: 'ループバックのほかに許す Host ヘッダー(コンマ区切り)',
    en: 'Host headers to accept besides loopback names, separated by commas',
  },
  {
    key: 'CORS_ORIGINS',
    property: 'corsOrigins',
    kind: webOrigins(),
    default: '',
    ja: 'ブラウザから使ってよいオリジン(コンマ区切り、* = すべて)',
    en: 'Origins whose pages may use the API, separated by commas (* = any)',
  },
  {
    key: 'STRICT_FIELDS',
    property: 'strictFields',
    kind: boolean(),
    default: '0',
    ja: '1 = 意味を持たないリクエスト項目を、無視して知らせる代わりに拒否する',
    en: '1 = refuse request fields without effect instead of naming them in a header',
  },
  {
    key: 'MAX_BODY_BYTES',
    property: 'maxBodyBytes',
    kind: integer(1024, 2 ** 31 - 1),
    default: '20971520',
    ja: 'リクエスト本文の上限(バイト)',
    en: 'Largest request body, in bytes',
  },
  {
    key: 'LOG_FILE_PATH',
    property: 'logFilePath',
    kind: optional(path()),
    default: '',
    ja: 'ログファイル(日付 .YYYY-MM-DD が付く)。空 = 標準出力',
    en: 'Log file (.YYYY-MM-DD is appended); empty = standard output',
  },
  {
    key: 'LOG_LEVEL',
    property: 'logLevel',
    kind: choice('error', 'warn', 'info', 'debug'),
    default: 'info',
    ja: 'ログの詳しさ: error, warn, info, debug',
    en: 'How much to log: error, warn, info, debug',
  },
  {
    key: 'LOG_KEEP_DAYS',
    property: 'logKeepDays',
    kind: integer(0, 3650),
    default: '14',
    ja: 'ログファイルを残す日数(0 = 消さない)',
    en: 'Days to keep log files (0 = for ever)',
  },
] as const satisfies readonly Setting[];
