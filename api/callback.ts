import type { Express } from 'express';
import type { Log } from '../config/log.ts';
import { CALLBACK_PATH } from '../mtpay/capability.ts';
import { answerErrors, ApiError } from './errors.ts';
import { bytesOf, createApp, onlyMethods, readBytes, requireJson } from './http.ts';
import type { ReceiveCallback } from './receive-callback.ts';

export interface CallbackDependencies {
  readonly receive: ReceiveCallback;
  /** The exact body and type that stop the provider's retries. */
  readonly ack: { readonly contentType: string; readonly body: string };
  readonly log: Log;
}

/**
 * The public listener: the provider's callbacks and nothing else. The order of checks is that of threats.md, section 3;
 * everything wrong with token, key, signature or time gets one and the same answer.
 */
export function createCallbackApp(deps: CallbackDependencies): Express {
  const app = createApp();
  const body = Buffer.from(deps.ack.body, 'utf8');
  app
    .route(CALLBACK_PATH)
    .post(requireJson, readBytes, async (request, response) => {
      const { kid, token } = request.params;
      const answer = await deps.receive({ kid, token, raw: bytesOf(request) });
      switch (answer) {
        case 'ack':
          // Byte-exact: no charset is added, nothing is compressed or rewritten.
          response.writeHead(200, { 'content-type': deps.ack.contentType, 'content-length': body.length });
          response.end(body);
          return;
        case 'unauthorized':
          throw new ApiError('unauthorized', 'the callback was not accepted');
        case 'unavailable':
          throw new ApiError('unavailable', 'the callback was not stored; send it again');
      }
    })
    .all(onlyMethods('POST'));
  app.use(() => {
    throw new ApiError('not_found', 'no such path');
  });
  app.use(answerErrors(deps.log));
  return app;
}
