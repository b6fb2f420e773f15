/**
 * Rows of the table of settings: how tokens are chosen where a request does not say. Data only, in the order of
 * `.env.example`.
 */
import { integer, number } from '../setting-kinds.js';
import type { Setting } from './row.js';

export const SAMPLING = [
  {
    key: 'TEMPERATURE',
    property: 'temperature',
    kind: number(0, 2),
    default: '0.2',
    ja: '温度(0 = いつも最も確からしいトークン)',
    en: 'Temperature (0 = always the likeliest token)',
  },
  {
    key: 'TOP_P',
    property: 'topP',
    kind: number(0, 1),
    default: '0.8',
    ja: 'top-p(1 = 使わない)',
    en: 'Top-p (1 = off)',
  },
  {
    key: 'TOP_K',
    property: 'topK',
    kind: integer(0, 2 ** 31 - 1),
    default: '40',
    ja: 'top-k(0 = 使わない)',
    en: 'Top-k (0 = off)',
  },
  {
    key: 'MIN_P',
    property: 'minP',
    kind: number(0, 1),
    default: '0',
    ja: 'min-p(0 = 使わない)',
    en: 'Min-p (0 = off)',
  },
  {
    key: 'REPEAT_PENALTY',
    property: 'repeatPenalty',
    kind: number(0.01, 10),
    default: '1.1',
    ja: '繰り返しのペナルティ(1 = 使わない)',
    en: 'Repeat penalty (1 = off)',
  },
  {
    key: 'REPEAT_LAST_N',
    property: 'repeatLastN',
    kind: integer(-1, 2 ** 24),
    default: '64',
    ja: '繰り返しを見るトークン数(0 = 使わない、-1 = 全体)',
    en: 'Tokens the repeat penalty looks back (0 = off, -1 = the whole context)',
  },
  {
    key: 'MAX_TOKENS',
    property: 'maxTokens',
    kind: integer(0, 2 ** 24),
    default: '0',
    ja: '出力トークン数の既定の上限(0 = コンテキストの残りすべて)',
    en: 'Default limit of output tokens (0 = none but the context)',
  },
] as const satisfies readonly Setting[];
