/**
 * The shape of one row of the error catalogue, and the two kinds most rows are of. Data only.
 */

/** What one code means at every edge: HTTP status, OpenAI `type`, CLI exit code, words, remedy. */
export interface CatalogueEntry {
  readonly status: number;
  readonly type:
    | 'invalid_request_error'
    | 'authentication_error'
    | 'permission_error'
    | 'server_error';
  readonly exit: 1 | 2;
  readonly ja: string;
  readonly en: string;
  /** Seconds for `Retry-After`, where trying again may help. */
  readonly retryAfterS?: number;
}

/** The request is at fault. */
export const bad = { status: 400, type: 'invalid_request_error', exit: 2 } as const;
/** Nothing can be done at the moment. */
export const down = { status: 503, type: 'server_error', exit: 1 } as const;
