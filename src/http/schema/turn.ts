/**
 * How a request wants its model, apart from what it asks of it: `keep_alive` in the body and the
 * header `x-hoshikage-priority`. Runs in the server; pure.
 */
import { z } from 'zod';
import {
  KEEP_ALIVE_REASON,
  KEEP_ALIVE_TEXT,
  keepAliveMs,
  MAX_KEEP_ALIVE_MS,
} from '../../models/keep-alive.js';
import type { Priority } from '../../resources/lease.js';
import { because, invalidValue } from './issue.js';
import { shownAs } from './notes.js';

/** The header that says who goes first. */
export const PRIORITY_HEADER = 'x-hoshikage-priority';
/** What it may say; the first one where it is absent. */
export const PRIORITIES: readonly Priority[] = ['interactive', 'batch'];

/** `keep_alive` as a body may have it; the value is in ms. */
export const keepAlive = shownAs(
  z.union([z.number().max(MAX_KEEP_ALIVE_MS / 1000), z.string().regex(KEEP_ALIVE_TEXT)]),
  z.custom<unknown>(
    (value) => keepAliveMs(value) !== null,
    because(KEEP_ALIVE_REASON.ja, KEEP_ALIVE_REASON.en),
  ),
)
  .transform((value) => keepAliveMs(value) ?? 0)
  .nullish();

/** What a request says of its turn. */
export interface Turn {
  readonly priority?: Priority;
  /** 0 = the model goes at once, Infinity = it stays. */
  readonly keepAliveMs?: number;
}

/** A request's turn, of its headers and of its parsed `keep_alive`. Code: invalid_value. */
export function turnOf(headers: Headers, keepAliveMs: number | null | undefined): Turn {
  const priority = priorityOf(headers);
  return {
    ...(priority !== undefined && { priority }),
    ...(typeof keepAliveMs === 'number' && { keepAliveMs }),
  };
}

function priorityOf(headers: Headers): Priority | undefined {
  const sent = headers.get(PRIORITY_HEADER);
  if (sent === null) return undefined;
  const asked = sent.trim().toLowerCase();
  const found = PRIORITIES.find((priority) => priority === asked);
  if (found) return found;
  throw invalidValue(PRIORITY_HEADER, {
    ja: `${PRIORITIES.join('、')} のどちらかにしてください`,
    en: `must be one of ${PRIORITIES.join(', ')}`,
  });
}
