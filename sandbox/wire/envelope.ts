/** All status codes of the API introduction. */
export const STATUS_CODES = [
  'SUCCESS',
  'TIMESTAMP_ERROR',
  'SIGNATURE_ERROR',
  'ACCESS_KEY_ERROR',
  'PARAMETER_ERROR',
  'ACCOUNT_STATUS_ERROR',
  'SYSTEM_ERROR',
  'NO_ADVERTISEMENT',
] as const;
export type StatusCode = (typeof STATUS_CODES)[number];

/**
 * The HTTP status of every response in an envelope, including refusals. The documents mention "standard HTTP response
 * codes" and show none; `statusCode` holds the business result.
 */
export const ENVELOPE_HTTP_STATUS = 200;

/** The default response structure; members in the order of the documents. */
export interface Envelope {
  readonly data: unknown;
  readonly statusCode: StatusCode;
  readonly message: string;
  readonly success: boolean;
}

/** Returns the envelope of a response; `success` follows from the code, `data` is null unless it succeeded. */
export function envelope(statusCode: StatusCode, message: string, data: unknown = null): Envelope {
  return { data, statusCode, message, success: statusCode === 'SUCCESS' };
}

/** The message of our own failure, not the merchant's. */
export const SYSTEM_ERROR_MESSAGE = 'the sandbox failed; its log says why';
