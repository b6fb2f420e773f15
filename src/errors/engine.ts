/**
 * Rows of the error catalogue: the queue, the engine, and what happens inside. Data only.
 */
import { type CatalogueEntry, down } from './entry.js';

export const ENGINE_ERRORS = {
  queue_full: {
    ...down,
    retryAfterS: 5,
    ja: '待ち行列がいっぱいです({limit} 件)。少し待ってからやり直してください',
    en: 'The queue is full (limit: {limit}); try again shortly',
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
  engine_crashed: {
    ...down,
    retryAfterS: 2,
    ja: '推論エンジンが落ちました。次のリクエストで新しいエンジンが立ち上がります',
    en: 'The engine process died; the next request starts a new one',
  },
  engine_hung: {
    ...down,
    retryAfterS: 2,
    ja: '推論エンジンが {seconds} 秒のあいだ何も進まなかったので、止めました(ENGINE_HANG_TIMEOUT)。次のリクエストで新しいエンジンが立ち上がります',
    en: 'The engine made no progress for {seconds} s and was ended (ENGINE_HANG_TIMEOUT); the next request starts a new one',
  },
  engine_out_of_memory: {
    ...down,
    ja: 'メモリが足りず、推論エンジンが続けられませんでした。N_CTX か N_SLOTS を減らすか、小さいモデルを使ってください',
    en: 'The engine ran out of memory; lower N_CTX or N_SLOTS, or use a smaller model',
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
} as const satisfies Record<string, CatalogueEntry>;
