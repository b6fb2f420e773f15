/**
 * Rows of the table of settings: where models are downloaded from. Data only, in the order of
 * `.env.example`.
 */
import { bearerToken, optional, webAddress } from '../setting-kinds.js';
import type { Setting } from './row.js';

export const DOWNLOADS = [
  {
    key: 'HF_ENDPOINT',
    property: 'hubEndpoint',
    kind: webAddress(),
    default: 'https://huggingface.co',
    ja: 'pull がモデルを探すハブ(ミラーのアドレスも可)',
    en: 'The hub that pull looks for models on; a mirror of it will do',
  },
  {
    key: 'HF_TOKEN',
    property: 'hubToken',
    kind: optional(bearerToken()),
    default: '',
    secret: true,
    ja: 'ハブのトークン。同意や許可が要るモデルに使う。HF_ENDPOINT のほかには送らない',
    en: 'Token of the hub, for models that want consent or permission; sent to HF_ENDPOINT alone',
  },
] as const satisfies readonly Setting[];
