import type { NextFunction, Request, Response } from 'express';
import type { Log } from '../../telemetry/log.ts';
import { isDatabaseAway } from '../../database/pool.ts';

/** Everything the API refuses with; closed, so that a new one does not compile until it has a status. */
export type ErrorCode =
  | 'invalid_request'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'other_parameters'
  | 'payload_too_large'
  | 'unsupported_media_type'
  | 'refused'
  | 'decision_refused'
  | 'rate_limited'
  | 'unavailable'
  | 'internal_error';

/** The status and title of each code; the OpenAPI document reads them too. */
export const HTTP = {
  invalid_request: { status: 400, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'The request is not authenticated' },
  forbidden: { status: 403, title: 'The key may not do this' },
  not_found: { status: 404, title: 'There is no such thing' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  other_parameters: { status: 409, title: 'The order number stands with other parameters' },
  payload_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body must be plain JSON' },
  decision_refused: { status: 409, title: 'The step was not taken' },
  refused: { status: 422, title: 'The order was not placed' },
  rate_limited: { status: 429, title: 'Too many requests' },
  unavailable: { status: 503, title: 'Try again in a moment' },
  internal_error: { status: 500, title: 'A defect of ours' },
} as const satisfies Record<ErrorCode, { status: number; title: string }>;

/** One field that does not fit: a dotted path, and what is allowed there. Never the value. */
export interface FieldFault {
  readonly field: string;
  readonly message: string;
}

interface RefusalOptions {
  readonly faults?: readonly FieldFault[];
  readonly shownCode?: string;
  /** Whole seconds after which trying again may help. */
  readonly retryAfterSeconds?: number;
}

/** An expected refusal. `detail` is for people, `code` for programs; `shownCode` replaces it where the contract says so. */
export class ApiError extends Error {
  readonly code: ErrorCode;
  readonly faults: readonly FieldFault[];
  readonly shownCode: string;
  readonly retryAfterSeconds: number | undefined;
  constructor(code: ErrorCode, detail: string, options: RefusalOptions = {}) {
    super(detail);
    this.code = code;
    this.faults = options.faults ?? [];
    this.shownCode = options.shownCode ?? code;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

const RETRY_AFTER_SECONDS = 2;

/**
 * The last handler of both listeners: RFC 9457, no stack, no value of the request. `toStrangers`: a refusal ends the
 * connection, an answer that says to come again does not.
 */
export const answerErrors =
  (log: Log, { toStrangers = false } = {}) =>
  (error: unknown, _request: Request, response: Response, next: NextFunction): void => {
    if (response.headersSent) return next(error);
    const refusal = toApiError(error);
    const { status, title } = HTTP[refusal.code];
    if (refusal.code === 'internal_error') log.error({ error: describe(error) }, 'request failed');
    if (refusal.retryAfterSeconds !== undefined) response.set('retry-after', String(refusal.retryAfterSeconds));
    if (refusal.code === 'unavailable') {
      response.set('retry-after', String(refusal.retryAfterSeconds ?? RETRY_AFTER_SECONDS));
      log.warn({ error: describe(error) }, 'request answered 503');
    }
    // Node takes one new connection in each round of its loop: whoever is refused waits for one like everybody else.
    if (toStrangers && status < 500) response.set('connection', 'close');
    if (refusal.code === 'unauthorized') response.set('www-authenticate', 'Bearer');
    response.status(status).type('application/problem+json');
    response.send(
      JSON.stringify({
        type: 'about:blank',
        title,
        status,
        code: refusal.shownCode,
        detail: refusal.message,
        ...(refusal.faults.length === 0 ? {} : { errors: refusal.faults }),
      }),
    );
  };

function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  // What Express and its body reader throw.
  const { type, status } = error as { type?: unknown; status?: unknown };
  if (type === 'entity.too.large') return new ApiError('payload_too_large', 'at most 16 kB');
  if (type === 'encoding.unsupported') return new ApiError('unsupported_media_type', 'send the body without encoding');
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new ApiError('invalid_request', 'the request could not be read');
  }
  if (isDatabaseAway(error))
    return new ApiError('unavailable', 'nothing was accepted; the same request may be repeated');
  return new ApiError('internal_error', 'the request failed; it was logged');
}

/** Name, code and place of a defect; messages of the database may hold values, so they are left out. */
function describe(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error };
  const { code } = error as { code?: unknown };
  const fromDatabase = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code);
  return {
    name: error.name,
    code,
    ...(fromDatabase ? {} : { message: error.message }),
    stack: error.stack?.split('\n').slice(1, 6),
  };
}
