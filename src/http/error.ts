/**
 * From a HoshikageError to what a client sees: OpenAI's error object, status and headers. Runs in the
 * server; pure. It must never show a cause: that is for the log.
 */
import {
  describe,
  type ErrorCode,
  type ErrorDetails,
  HoshikageError,
  toHoshikageError,
  words,
} from '../errors.js';

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
    /** Only with memory_short. */
    readonly needed_bytes?: number;
    readonly free_bytes?: number;
    /** Only with model_held. */
    readonly crashes?: number;
  };
}

/** What a code means, Japanese, then English, on one line. */
export function bilingual({ code, details }: Pick<HoshikageError, 'code' | 'details'>): string {
  return `${words(code, 'ja', details)} / ${words(code, 'en', details)}`;
}

/** Details that a program may want to calculate with. */
const FIGURES = ['n_prompt_tokens', 'n_ctx', 'needed_bytes', 'free_bytes', 'crashes'] as const;

/** The body of an error answer, or of an error event in a stream. */
export function errorBody(error: HoshikageError): ErrorBody {
  const { code, details } = error;
  return {
    error: {
      message: bilingual(error),
      type: isClientsPath(error) ? 'invalid_request_error' : describe(code).type,
      param: paramOf(error),
      code,
      ...figuresOf(details),
    },
  };
}

/** Codes of those who know nothing of requests, but can only mean the model that was asked for. */
const WRONG_MODEL: readonly ErrorCode[] = ['model_not_generative', 'model_not_embedding'];

function paramOf({ code, details: { param } }: HoshikageError): string | null {
  if (typeof param === 'string') return param;
  return WRONG_MODEL.includes(code) ? 'model' : null;
}

function figuresOf(details: ErrorDetails): Partial<Record<(typeof FIGURES)[number], number>> {
  const known = FIGURES.map((name) => [name, details[name]] as const);
  return Object.fromEntries(known.filter(([, value]) => typeof value === 'number'));
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

/**
 * What was thrown, as a client is told. What a request works with is closed under it only where the
 * server ends, and that is what its client can do something with.
 */
export function told(thrown: unknown): HoshikageError {
  const error = toHoshikageError(thrown);
  return error.code === 'closed'
    ? new HoshikageError('shutting_down', {}, { cause: error })
    : error;
}

/** What was thrown while a request was served; after its client has gone it can only be `cancelled`. */
export function failureOf(thrown: unknown, signal: AbortSignal): HoshikageError {
  if (!signal.aborted) return told(thrown);
  if (thrown instanceof HoshikageError) return told(thrown);
  return new HoshikageError('cancelled', {}, { cause: thrown });
}
