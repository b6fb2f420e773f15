/**
 * Rows of the error catalogue: models that are downloaded, as the command line meets them. Data only.
 */
import { type CatalogueEntry, down } from './entry.js';

export const PULL_ERRORS = {
  pull_not_found: {
    ...down,
    ja: '見つかりません: {what}({where}){hint}',
    en: 'Not found: {what} ({where}){hint}',
  },
  pull_refused: {
    ...down,
    ja: '{url} に断られました(HTTP {http})。{advice}',
    en: '{url} refused (HTTP {http}); {advice}',
  },
  pull_unreachable: {
    ...down,
    ja: '{url} から取り寄せられません({reason}){kept}',
    en: 'Cannot download from {url} ({reason}){kept}',
  },
  pull_unsafe: {
    ...down,
    ja: '{url} には従いません: {reason}',
    en: '{url} is not followed: {reason}',
  },
  pull_invalid: {
    ...down,
    ja: '{file} は受け取れません: {reason}',
    en: '{file} cannot be accepted: {reason}',
  },
  pull_busy: {
    ...down,
    ja: '別の pull が {path} を取り寄せています。終わるのを待って、もう一度実行してください',
    en: 'Another pull is downloading {path}; wait for it, then run this again',
  },
  pull_exists: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{path} には別のファイル(同じかどうか分からないものも)があります。置き換えるなら --force を、残すなら --dir で別の場所を(要るなら --alias で別の名前も)指定してください',
    en: 'There is another file at {path}, or one that cannot be told to be the same; --force replaces it, --dir names another place (and --alias another name)',
  },
  pull_not_fitting: {
    ...down,
    ja: '{model}({size})はこのマシンのメモリに収まりません。小さい形を選ぶか、それでも取り寄せるなら --yes を付けてください',
    en: '{model} ({size}) does not fit the memory of this machine; choose a smaller form, or add --yes to download it all the same',
  },
  pull_unwritable: {
    status: 500,
    type: 'server_error',
    exit: 1,
    ja: '{path} に書き込めません({reason})',
    en: 'Cannot write to {path} ({reason})',
  },
} as const satisfies Record<string, CatalogueEntry>;
