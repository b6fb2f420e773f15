/**
 * The error catalogue: one code from C++ to the wire, put into words once, Japanese and English.
 * Any thread, any process. It must never import another room, and a message must never carry a
 * prompt's text or an internal cause (those go to `cause` and so to the log).
 */

import { COMMAND_ERRORS } from './errors/command.js';
import { ENGINE_ERRORS } from './errors/engine.js';
import type { CatalogueEntry } from './errors/entry.js';
import { LIBRARY_ERRORS } from './errors/library.js';
import { MODEL_ERRORS } from './errors/model.js';
import { PULL_ERRORS } from './errors/pull.js';
import { REQUEST_ERRORS } from './errors/request.js';
import { SERVER_ERRORS } from './errors/server.js';

/** `{name}` in a text is replaced by `details.name`. docs/ERRORS.md lists every code; a test compares. */
export const CATALOGUE = {
  ...REQUEST_ERRORS,
  ...MODEL_ERRORS,
  ...ENGINE_ERRORS,
  ...LIBRARY_ERRORS,
  ...PULL_ERRORS,
  ...SERVER_ERRORS,
  ...COMMAND_ERRORS,
} as const satisfies Record<string, CatalogueEntry>;

/** Every code that can reach a user; the same string in C++, IPC, HTTP, CLI and log. */
export type ErrorCode = keyof typeof CATALOGUE;

/** Values for the `{name}` places of a text; `param` also becomes OpenAI's `param`. */
export type ErrorDetails = Readonly<Record<string, string | number>>;

/** True for a string that is one of our codes (errors from C++ and IPC arrive as strings). */
export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(CATALOGUE, code);
}

/** The catalogue row of a code, with its optional fields typed. */
export function describe(code: ErrorCode): CatalogueEntry {
  return CATALOGUE[code];
}

/** The one error class that crosses a room. `message` is the English text; the edges choose words. */
export class HoshikageError extends Error {
  override readonly name = 'HoshikageError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, details: ErrorDetails = {}, options: { cause?: unknown } = {}) {
    super(words(code, 'en', details), options);
    this.code = code;
    this.details = details;
  }
}

/**
 * One language's text of a code with its details filled in, on one line. A detail `{name}` that reads
 * differently in a language is taken from `{name}_ja` or `{name}_en` where that is given.
 */
export function words(code: ErrorCode, language: 'ja' | 'en', details: ErrorDetails = {}): string {
  const text: string = CATALOGUE[code][language];
  return text
    .replace(/\{(\w+)\}/g, (_, name: string) =>
      String(details[`${name}_${language}`] ?? details[name] ?? '?'),
    )
    .replace(/\s*[\r\n]+\s*/g, ' ');
}

/** Any thrown value as a HoshikageError: known codes pass, all else is `fallback` with its cause kept. */
export function toHoshikageError(
  thrown: unknown,
  fallback: ErrorCode = 'internal_error',
  details: ErrorDetails = {},
): HoshikageError {
  if (thrown instanceof HoshikageError) return thrown;
  if (thrown instanceof Error && 'code' in thrown && isErrorCode(thrown.code)) {
    return new HoshikageError(
      thrown.code,
      { reason: thrown.message, ...details },
      { cause: thrown },
    );
  }
  return new HoshikageError(fallback, details, { cause: thrown });
}
