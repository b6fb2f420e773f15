/**
 * What the addon and the loader say against a library, in Japanese: they speak English only.
 * Any process; pure. A text that is not known stays as it is, which is better than none.
 */
import type { WireError } from '../engine/protocol.js';

/** Patterns of English reasons with their Japanese; `$1` and so on are taken over. */
const REASONS: readonly (readonly [english: RegExp, japanese: string])[] = [
  [
    /^(llama_\w+) has an unknown layout (.*); it is newer than the table.*$/s,
    '$1 の形が分かりません $2。この版の星影より新しい libllama です。星影を新しくするか、少し前の llama.cpp を使ってください(最小限の機能でよければ ALLOW_UNKNOWN_LIBLLAMA=1 か hoshikage lib use)',
  ],
  [
    /^(llama_\w+) has an unknown layout (.*)$/s,
    '$1 の形が、知っているどの版とも合いません $2。llama.cpp 本家のビルドを使ってください',
  ],
  [/^missing symbols: (.*)$/s, '要る関数がありません: $1'],
  [
    /^llama_batch has (\d+) bytes.*$/s,
    'llama_batch の形が違います($1 バイト)。llama.cpp 本家の新しいビルドを使ってください',
  ],
  [
    /^its (?:samplers|symbols) .*contradict.*?(\(.*)$/s,
    '派生版のようです $1。llama.cpp 本家のビルドを使ってください',
  ],
  [
    /^its libggml comes from elsewhere: (.*) instead of (.*)$/s,
    'libggml が $2 ではなく $1 のものです。libllama と同じ場所に、同じビルドの libggml 一式を置いてください',
  ],
  [
    /^the process that opened it did not answer in time(.*)$/s,
    '開いてみたプロセスが時間内に答えませんでした$1',
  ],
  [/^the process that opened it (.*)$/s, '開いてみたプロセスが落ちました($1)'],
  [/^cannot open (\S+): (.*)$/s, '$1 を開けません: $2'],
  [/^(.*?): cannot open shared object file.*$/s, '$1 が見つかりません'],
];

/** The error with its reason in Japanese too, where that is known. */
export function withJapanese(error: WireError): WireError {
  const { reason, reason_ja } = error.details;
  if (reason_ja !== undefined || typeof reason !== 'string') return error;
  const known = REASONS.find(([english]) => english.test(reason));
  if (!known) return error;
  return { ...error, details: { ...error.details, reason_ja: reason.replace(...known) } };
}
