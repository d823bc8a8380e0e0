import type { ErrorRequestHandler } from 'express';
import type { Logger } from 'pino';
import { z } from 'zod';
import { ControlError } from './control/control-error.ts';
import { envelope, ENVELOPE_HTTP_STATUS, SYSTEM_ERROR_MESSAGE } from './wire/envelope.ts';
import { MAX_BODY_BYTES } from './placement/placement.ts';
import { problemsOf } from './control/problems.ts';

const UNREADABLE: Readonly<Record<string, string>> = {
  'entity.too.large': `the body must have at most ${MAX_BODY_BYTES} bytes`,
  'encoding.unsupported': 'the body must not be compressed',
  'request.aborted': 'the body is not complete',
  'request.size.invalid': 'the body is not as long as Content-Length says',
};

/** Returns errors around a placement in an envelope too; our own failures as SYSTEM_ERROR. */
export function placementErrors(logger: Logger): ErrorRequestHandler {
  return (error: Error & { type?: string }, _request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const problem = UNREADABLE[error.type ?? ''];
    if (problem === undefined) logger.error({ reason: error.message }, 'placement failed');
    const answer =
      problem === undefined ? envelope('SYSTEM_ERROR', SYSTEM_ERROR_MESSAGE) : envelope('PARAMETER_ERROR', problem);
    response.status(ENVELOPE_HTTP_STATUS).json(answer);
  };
}

/** Handles errors of all other paths: an error of the caller as 4xx with a sentence, any other as 500 without one. */
export function otherErrors(logger: Logger): ErrorRequestHandler {
  return (error: Error & { status?: number }, _request, response, _next) => {
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (error instanceof ControlError) {
      response.status(error.httpStatus).json({ error: error.message });
    } else if (error instanceof z.ZodError) {
      response.status(400).json({ error: problemsOf(error).join('; ') });
    } else if (error.status !== undefined && error.status >= 400 && error.status < 500) {
      response.status(error.status).json({ error: error.message });
    } else {
      logger.error({ reason: error.message, stack: error.stack }, 'request failed');
      response.status(500).json({ error: 'the sandbox failed; its log says why' });
    }
  };
}
