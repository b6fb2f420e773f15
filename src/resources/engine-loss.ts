/**
 * Which errors mean that a request lost its engine through no fault of its own, so that the same
 * request may do well on the next one. Pure; any thread.
 */
import { type ErrorCode, HoshikageError } from '../errors.js';

const LOSSES: ReadonlySet<ErrorCode> = new Set([
  'engine_crashed',
  'engine_hung',
  'engine_out_of_memory',
]);

/** True where the engine went away under the request. */
export function isEngineLoss(thrown: unknown): boolean {
  return thrown instanceof HoshikageError && LOSSES.has(thrown.code);
}
