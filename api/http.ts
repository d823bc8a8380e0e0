import http from 'node:http';
import express, { type Express, type Request, type RequestHandler } from 'express';
import helmet from 'helmet';
import { ApiError } from './errors.ts';

export const MAX_BODY_BYTES = 16 * 1024;

/** An app with Express's defaults mended (threats.md, section 4): no fingerprint, no weak etag, nothing cached. */
export function createApp(): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', false);
  app.set('query parser', 'simple');
  app.use(helmet({ contentSecurityPolicy: { directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } } }));
  app.use((_request, response, next) => {
    response.set('cache-control', 'no-store');
    next();
  });
  return app;
}

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/** 415 for everything but plain JSON in UTF-8, before the body is read. */
export const requireJson: RequestHandler = (request, _response, next) => {
  if (!JSON_TYPE.test(request.headers['content-type'] ?? '')) {
    return next(new ApiError('unsupported_media_type', 'send content-type application/json, charset utf-8 or none'));
  }
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    return next(new ApiError('unsupported_media_type', 'send the body without content-encoding'));
  }
  return next();
};

/** The body as the bytes that came; nothing is inflated, decoded or guessed. */
export const readBytes = express.raw({ type: () => true, limit: MAX_BODY_BYTES, inflate: false });

/** An absent body is an empty one. */
export const bytesOf = (request: Request): Buffer => (Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));

export const onlyMethods =
  (...methods: string[]): RequestHandler =>
  (_request, response, next) => {
    response.set('allow', methods.join(', '));
    next(new ApiError('method_not_allowed', `allowed: ${methods.join(', ')}`));
  };

export interface Listener {
  readonly url: string;
  /** Stops accepting, lets requests under way finish, and resolves when the last connection is gone. */
  close(): Promise<void>;
}

const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 5_000;
const CLOSE_WITHIN_MS = 15_000;

/** Listens with explicit limits on slow and many connections. */
export async function listen(app: Express, at: { readonly host: string; readonly port: number }): Promise<Listener> {
  const server = http.createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1_000,
    },
    app,
  );
  server.maxConnections = 2_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : at.port;
  return {
    url: `http://${at.host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        const force = setTimeout(() => server.closeAllConnections(), CLOSE_WITHIN_MS);
        server.close(() => {
          clearTimeout(force);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}
