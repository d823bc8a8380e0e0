import type { NextFunction, Request, Response } from 'express';
import type { Log } from '../../telemetry/log.ts';
import { HTTP, RETRY_AFTER_SECONDS } from '../../contract/errors.ts';
import { typeOf } from '../../contract/problems.ts';
import { isDatabaseAway } from '../../database/pool.ts';
import { RequestRefused } from '../../intake/refusal.ts';

/**
 * The last handler of every listener: RFC 9457, no stack, no value of the request. `toStrangers`: a refusal closes the
 * connection; a response that asks for a retry does not. `isExplained`: the listener serves the page that `type` links
 * to.
 */
export const answerErrors =
  (log: Log, { toStrangers = false, isExplained = false } = {}) =>
  (error: unknown, _request: Request, response: Response, next: NextFunction): void => {
    if (response.headersSent) return next(error);
    const refusal = toRefused(error);
    const { status, title } = HTTP[refusal.code];
    if (refusal.code === 'internal_error') log.error({ error: describe(error) }, 'request failed');
    if (refusal.retryAfterSeconds !== undefined) response.set('retry-after', String(refusal.retryAfterSeconds));
    if (refusal.code === 'unavailable') {
      response.set('retry-after', String(refusal.retryAfterSeconds ?? RETRY_AFTER_SECONDS));
      log.warn({ error: describe(error) }, 'request answered 503');
    }
    // Node accepts one new connection in each turn of its event loop. So a refused client queues for one like all
    // others.
    if (toStrangers && status < 500) response.set('connection', 'close');
    if (refusal.code === 'unauthorized') response.set('www-authenticate', 'Bearer');
    response.status(status).type('application/problem+json');
    response.send(
      JSON.stringify({
        type: isExplained ? typeOf(refusal.shownCode) : 'about:blank',
        title,
        status,
        code: refusal.shownCode,
        detail: refusal.message,
        requestId: response.locals['requestId'],
        ...(refusal.faults.length === 0 ? {} : { errors: refusal.faults }),
      }),
    );
  };

function toRefused(error: unknown): RequestRefused {
  if (error instanceof RequestRefused) return error;
  // Errors of Express and its body reader.
  const { type, status } = error as { type?: unknown; status?: unknown };
  if (type === 'entity.too.large') return new RequestRefused('payload_too_large', 'at most 16 kB');
  if (type === 'encoding.unsupported')
    return new RequestRefused('unsupported_media_type', 'send the body without encoding');
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new RequestRefused('invalid_request', 'the request could not be read');
  }
  if (isDatabaseAway(error))
    return new RequestRefused('unavailable', 'the database did not finish it; the same request may be repeated', {
      cause: error,
    });
  return new RequestRefused('internal_error', 'the request failed; it was logged');
}

/** Name, code and place of a defect. Messages of the database are left out, because they may hold values. */
function describe(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error };
  const { code } = error as { code?: unknown };
  const fromDatabase = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code);
  return {
    name: error.name,
    code,
    ...(fromDatabase ? {} : { message: error.message }),
    stack: error.stack?.split('\n').slice(1, 6),
    because: causesOf(error),
  };
}

/** Names and codes of the causes, the nearest first: their messages are other programs'. */
const causesOf = ({ cause }: Error): string[] =>
  cause instanceof Error
    ? [`${cause.name} ${(cause as { code?: string | number }).code ?? ''}`.trim(), ...causesOf(cause)]
    : [];
