/**
 * Rows of the error catalogue: what only the command line meets. Data only.
 */
import { bad, type CatalogueEntry, down } from './entry.js';

export const COMMAND_ERRORS = {
  server_lost: {
    ...down,
    ja: 'サーバー({address})とのやり取りが途中で切れました: {reason}',
    en: 'The connection to the server ({address}) broke: {reason}',
  },
  setting_unknown: {
    ...bad,
    ja: '{key} という設定はありません。一覧は npx hoshikage config で分かります',
    en: 'There is no setting {key}; npx hoshikage config shows them all',
  },
  setting_unwritable: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: '設定 {key} を書けません: {reason}。ファイルには触れていません',
    en: 'The setting {key} cannot be written: {reason}; the file was left untouched',
  },
  file_unwritable: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: '{path} に書けません: {reason}',
    en: 'Cannot write {path}: {reason}',
  },
  log_nowhere: {
    ...down,
    ja: 'ログのファイルがありません: {reason}',
    en: 'There is no log file: {reason}',
  },
} as const satisfies Record<string, CatalogueEntry>;
