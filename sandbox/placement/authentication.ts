import { sameText, sign } from '../wire/signature.ts';

/** The three special headers as received; undefined if absent. */
export interface AuthenticationHeaders {
  readonly accessKey: string | undefined;
  readonly timestamp: string | undefined;
  readonly signature: string | undefined;
}

export type Authentication =
  | { readonly ok: true; readonly accessKey: string }
  | {
      readonly ok: false;
      readonly statusCode: 'ACCESS_KEY_ERROR' | 'TIMESTAMP_ERROR' | 'SIGNATURE_ERROR';
      readonly message: string;
    };

const refuse = (statusCode: Exclude<Authentication, { ok: true }>['statusCode'], message: string): Authentication => ({
  ok: false,
  statusCode,
  message,
});

/**
 * Checks a request in this order: access key, timestamp, signature; returns the first failure. The timestamp comes
 * before the signature, so that a merchant learns of a wrong clock even if the signature is wrong too.
 */
export async function authenticate(
  headers: AuthenticationHeaders,
  findSecret: (accessKey: string) => Promise<string | null>,
  nowMs: number,
  windowMs: number,
): Promise<Authentication> {
  const { accessKey, timestamp, signature } = headers;
  if (accessKey === undefined) return refuse('ACCESS_KEY_ERROR', 'header access_key is missing');
  const secretKey = await findSecret(accessKey);
  if (secretKey === null) return refuse('ACCESS_KEY_ERROR', 'header access_key is not a key in force');

  if (timestamp === undefined) return refuse('TIMESTAMP_ERROR', 'header timestamp is missing');
  if (!/^[1-9]\d{12}$/.test(timestamp)) {
    return refuse('TIMESTAMP_ERROR', 'header timestamp must be UTC milliseconds, 13 digits');
  }
  const aheadMs = Number(timestamp) - nowMs;
  if (Math.abs(aheadMs) > windowMs) {
    const where = aheadMs > 0 ? 'ahead of' : 'behind';
    return refuse('TIMESTAMP_ERROR', `timestamp is ${Math.abs(aheadMs)} ms ${where} ours, ${windowMs} ms are allowed`);
  }

  if (signature === undefined) return refuse('SIGNATURE_ERROR', 'header signature is missing');
  if (!sameText(signature, sign(accessKey, secretKey, timestamp))) {
    return refuse(
      'SIGNATURE_ERROR',
      'header signature must be the upper-case hex HmacSHA256 of {access_key}_{timestamp} under the secret key',
    );
  }
  return { ok: true, accessKey };
}
