/**
 * Which errors mean that a request lost its engine through no fault of its own, so that the same
 * request may do well on the next one. Pure; any thread.
 */
import type { EngineExit } from '../engine/engine.js';
import { type ErrorCode, HoshikageError } from '../errors.js';

const LOSSES: ReadonlySet<ErrorCode> = new Set([
  'engine_crashed',
  'engine_hung',
  'engine_out_of_memory',
]);

/** True where the engine went away under the request. */
export function isEngineLoss(thrown: unknown): thrown is HoshikageError {
  return thrown instanceof HoshikageError && LOSSES.has(thrown.code);
}

/** How an engine went away during a load that failed, where that is why it failed. */
export function engineLossOf(
  failure: unknown,
): { readonly code: ErrorCode; readonly detail: string } | null {
  for (let error = failure; error instanceof Error; error = error.cause) {
    if (!isEngineLoss(error)) continue;
    const { code, details } = error;
    return { code, detail: String(details.detail ?? error.message) };
  }
  return null;
}

/** The error of those whose engine ended like this. */
export function lossOfExit({ cause }: Pick<EngineExit, 'cause'>): ErrorCode {
  if (cause === 'hang') return 'engine_hung';
  return cause === 'memory' ? 'engine_out_of_memory' : 'engine_crashed';
}
