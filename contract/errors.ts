/** Every refusal of the API. The list is closed, so that a new one does not compile until it has a status. */
export type ErrorCode =
  | 'invalid_request'
  | 'unauthorized'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'other_parameters'
  | 'epoch_changed'
  | 'limit_reached'
  | 'payload_too_large'
  | 'unsupported_media_type'
  | 'refused'
  | 'decision_refused'
  | 'rate_limited'
  | 'not_configured'
  | 'unavailable'
  | 'internal_error';

/** The status and title of each code; the OpenAPI document reads them too. */
export const HTTP = {
  invalid_request: { status: 400, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'The request is not authenticated' },
  forbidden: { status: 403, title: 'The key may not do this' },
  not_found: { status: 404, title: 'There is no such thing' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  other_parameters: { status: 409, title: 'The order number exists with other parameters' },
  epoch_changed: { status: 409, title: 'The database was restored since' },
  limit_reached: { status: 409, title: 'There are as many as may be' },
  payload_too_large: { status: 413, title: 'The body is too large' },
  unsupported_media_type: { status: 415, title: 'The body must be plain JSON' },
  decision_refused: { status: 409, title: 'The step was not taken' },
  refused: { status: 422, title: 'The order was not placed' },
  rate_limited: { status: 429, title: 'Too many requests' },
  not_configured: { status: 501, title: 'This API is not set up for it' },
  unavailable: { status: 503, title: 'Try again in a moment' },
  internal_error: { status: 500, title: 'A defect of ours' },
} as const satisfies Record<ErrorCode, { status: number; title: string }>;

/** The form of a `Request-Id` that is echoed. */
export const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** `Retry-After` of a 202 and of a 503 that names no other time. */
export const RETRY_AFTER_SECONDS = 2;

/** `detail` of every 401 about a key; it does not reveal what is wrong with the key. */
export const NO_LIVING_KEY =
  'no living API key came; send Authorization: Bearer <api key> with one that is not expired or revoked';

/** One field that does not fit: a dotted path, and what is allowed there. Never the value. */
export interface FieldFault {
  readonly field: string;
  readonly message: string;
}

/** Refusals because of the signature: the step is not stored. */
export const UNSIGNED = {
  signature_required: 'every step is signed on the operator’s own device here: npm run sign',
  signature_wrong:
    'the signature is not one of this operator’s over this very step: look at the case again, and sign anew',
  signature_used: 'a step with this nonce was taken before: look at the case again, and sign anew',
} as const;
