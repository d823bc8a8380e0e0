import type { ErrorRequestHandler, Express, Request, RequestHandler } from 'express';
import type { Log } from '../telemetry/log.ts';
import { CALLBACK_PATH } from '../providers/callback-address.ts';
import { answerErrors } from './http/errors.ts';
import { RequestRefused } from '../intake/refusal.ts';
import { createApp, MAX_BODY_BYTES, noSuchPath, onlyMethods, requireType } from './http/http.ts';
import type { CallbackReceiver } from '../intake/receive-callback.ts';

export interface CallbackDependencies {
  readonly receiver: CallbackReceiver;
  /** The exact body and type that stop the provider's retries. */
  readonly ack: { readonly contentType: string; readonly body: string };
  readonly log: Log;
}

/**
 * The public listener, for the provider's callbacks and nothing else. The checks are in the order of
 * docs/reference/callbacks.md#checks-in-order. A wrong token, key, signature or time always gets the same response.
 */
export function createCallbackApp(deps: CallbackDependencies): Express {
  const app = createApp({ showsRequestId: false });
  const body = Buffer.from(deps.ack.body, 'utf8');
  app
    .route(CALLBACK_PATH)
    .post(requireProviderJson, async (request, response) => {
      const { kid, token } = request.params;
      const { bytes, end } = await bodyOf(request);
      if (end === 'beyond') throw new RequestRefused('payload_too_large', 'at most 16 kB');
      if (end === 'cut') throw new RequestRefused('invalid_request', 'the request was cut');
      const answer = await deps.receiver.receive({ kid, token, raw: bytes });
      switch (answer) {
        case 'ack':
          // Byte-exact: no charset is added, nothing is compressed or rewritten.
          response.writeHead(200, { 'content-type': deps.ack.contentType, 'content-length': body.length });
          response.end(body);
          return;
        case 'unauthorized':
          throw new RequestRefused('unauthorized', 'the callback was not accepted');
        case 'unavailable':
          throw new RequestRefused('unavailable', 'the callback was not stored; send it again');
      }
    })
    .all(onlyMethods('POST'));
  app.use(noSuchPath);
  app.use(witness(deps.receiver));
  app.use(answerErrors(deps.log, { toStrangers: true }));
  return app;
}

const CHARSETS = ['utf-8', 'utf8', 'us-ascii'];

/** Accepts JSON in UTF-8 only. Parameters other than the charset have no meaning for JSON and are ignored. */
const requireProviderJson = requireType((text) => {
  const [type, ...parameters] = text.split(';');
  const charsets = parameters.flatMap((one) => /^\s*charset\s*=\s*"?([^"]*?)"?\s*$/i.exec(one)?.[1] ?? []);
  const isJson = type!.trim().toLowerCase() === 'application/json';
  return isJson && charsets.every((charset) => CHARSETS.includes(charset.toLowerCase()));
});

/** Refusals by the receiver itself, and those that ask for a retry. */
const SEEN_BY_RECEIVER = ['unauthorized', 'unavailable', 'internal_error'];

/** Passes a request that the receiver never got, or could not read, to it before the response is sent. */
const witness =
  (receiver: CallbackReceiver): ErrorRequestHandler =>
  async (error, request, _response, _next) => {
    const code =
      error instanceof RequestRefused ? error.code : isUnreadable(error) ? 'invalid_request' : 'internal_error';
    if (!SEEN_BY_RECEIVER.includes(code)) await show(receiver, request, code);
    throw error;
  };

/**
 * For a private listener: examines a callback that a proxy misrouted to it. The request is then refused like every
 * unknown path.
 */
export const showMisled =
  (refused: CallbackReceiver['refused']): RequestHandler =>
  async (request, _response, next) => {
    await show({ refused }, request, 'private_listener');
    next();
  };

async function show(receiver: Pick<CallbackReceiver, 'refused'>, request: Request, code: string): Promise<void> {
  const { bytes, end } = await bodyOf(request);
  const encoding = request.headers['content-encoding'];
  // A callback that is cut at every delivery never arrives whole: its length is wrong, or a limit is on the way.
  receiver.refused({ path: request.url, bytes, encoding }, end === 'cut' ? 'cut' : code);
}

/** Whether Express could not read the address. */
const isUnreadable = (error: unknown): boolean => (error as { status?: unknown }).status === 400;

interface Body {
  /** As received, at most 16 kB: nothing is inflated, decoded or guessed. */
  readonly bytes: Buffer;
  /** The end of the bytes: that of the body, 16 kB, or that of the connection. */
  readonly end: 'whole' | 'beyond' | 'cut';
}

const bodies = new WeakMap<Request, Promise<Body>>();

/** The body, read once for all callers. Bytes beyond 16 kB are discarded. */
function bodyOf(request: Request): Promise<Body> {
  const body = bodies.get(request) ?? readBody(request);
  bodies.set(request, body);
  return body;
}

function readBody(request: Request): Promise<Body> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const done = (end: Body['end']) => {
      request.off('data', take);
      request.resume();
      resolve({ bytes: Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES), end });
    };
    const take = (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_BODY_BYTES) done('beyond');
    };
    request.on('data', take);
    request.once('end', () => done('whole'));
    request.once('close', () => done('cut'));
    request.once('error', () => done('cut'));
  });
}
