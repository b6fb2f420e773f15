/**
 * Rows of the error catalogue: libllama, the addon, and what is downloaded. Data only.
 */
import { type CatalogueEntry, down } from './entry.js';

export const LIBRARY_ERRORS = {
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
} as const satisfies Record<string, CatalogueEntry>;
