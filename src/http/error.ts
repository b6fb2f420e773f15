/**
 * From a HoshikageError to what a client sees: OpenAI's error object, status and headers. Runs in the
 * server; pure. It must never show a cause: that is for the log.
 */
import { describe, HoshikageError, toHoshikageError, words } from '../errors.js';

/** OpenAI's error object; `message` is Japanese, then English, on one line. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
    /** Only with context_length_exceeded. */
    readonly n_prompt_tokens?: number;
    readonly n_ctx?: number;
  };
}

/** What a code means, Japanese, then English, on one line. */
export function bilingual({ code, details }: Pick<HoshikageError, 'code' | 'details'>): string {
  return `${words(code, 'ja', details)} / ${words(code, 'en', details)}`;
}

/** The body of an error answer, or of an error event in a stream. */
export function errorBody(error: HoshikageError): ErrorBody {
  const { code, details } = error;
  const { param, n_prompt_tokens: promptTokens, n_ctx: contextTokens } = details;
  return {
    error: {
      message: bilingual(error),
      type: isClientsPath(error) ? 'invalid_request_error' : describe(code).type,
      param: typeof param === 'string' ? param : null,
      code,
      ...(typeof promptTokens === 'number' && { n_prompt_tokens: promptTokens }),
      ...(typeof contextTokens === 'number' && { n_ctx: contextTokens }),
    },
  };
}

/** An error answer with its own status and, where trying again may help, `Retry-After`. */
export function errorResponse(
  error: HoshikageError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const { status, retryAfterS } = describe(error.code);
  return new Response(JSON.stringify(errorBody(error)), {
    status: isClientsPath(error) ? 400 : status,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      ...(retryAfterS !== undefined && { 'retry-after': String(retryAfterS) }),
      ...headers,
    },
  });
}

/** A file named in the request is the client's mistake; one that the registry names is our trouble. */
function isClientsPath({ code, details }: HoshikageError): boolean {
  return code.startsWith('model_file_') && details.param === 'path';
}

/** What was thrown while a request was served; after its client has gone it can only be `cancelled`. */
export function failureOf(thrown: unknown, signal: AbortSignal): HoshikageError {
  if (!signal.aborted) return toHoshikageError(thrown);
  if (thrown instanceof HoshikageError) return thrown;
  return new HoshikageError('cancelled', {}, { cause: thrown });
}
