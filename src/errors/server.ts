/**
 * Rows of the error catalogue: the running server and its service, as the command line meets them. Data
 * only.
 */
import { type CatalogueEntry, down } from './entry.js';

export const SERVER_ERRORS = {
  server_missing: {
    ...down,
    ja: 'サーバーが動いていません。{command} serve で起動できます',
    en: 'No server is running; start one with {command} serve',
  },
  server_stopping: {
    ...down,
    ja: 'サーバー(pid {pid})は終わるところなので、もう受け付けません。終わってから、起動し直してください',
    en: 'The server (pid {pid}) is stopping and takes no more requests; start it again once it has ended',
  },
  server_silent: {
    ...down,
    ja: 'サーバー(pid {pid})が応答しないので、{what}。サーバーを止めてから、やり直してください({path})',
    en: 'The server (pid {pid}) does not answer, so {what}; stop it and try again ({path})',
  },
  service_unavailable: {
    ...down,
    ja: 'ここでは systemd のサービスを扱えません: {reason}',
    en: 'The service cannot be managed here: {reason}',
  },
  service_foreign: {
    status: 409,
    type: 'invalid_request_error',
    exit: 1,
    ja: '{path} は星影が書いたものではないので、触れていません。よければ --force を付けてください',
    en: '{path} was not written by Hoshikage and was left alone; add --force if it may go',
  },
  service_failed: {
    ...down,
    ja: '{command} が失敗しました: {reason}',
    en: '{command} failed: {reason}',
  },
} as const satisfies Record<string, CatalogueEntry>;
