import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { isIPv6, type Socket } from 'node:net';
import express, { type Express, type Request, type RequestHandler } from 'express';
import helmet from 'helmet';
import { REQUEST_ID } from '../../contract/errors.ts';
import { inRequest, type Log } from '../../telemetry/log.ts';
import { watchConnections } from '../connections.ts';
import { RequestRefused } from '../../intake/refusal.ts';
import type { RefusedMessage } from '../../intake/message-recognition.ts';

export const MAX_BODY_BYTES = 16 * 1024;

const POLICY = { defaultSrc: ["'none'"], baseUri: ["'none'"], formAction: ["'none'"], frameAncestors: ["'none'"] };

/**
 * Creates an app with safer defaults than Express's (docs/internals/threat-model.md, T16): no fingerprint, no weak
 * ETag, no caching.
 */
export function createApp({ showsRequestId = true } = {}): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', false);
  app.set('query parser', 'simple');
  // Each address has one spelling, so that a proxy in front matches the same paths as this app.
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.use(nameRequest(showsRequestId));
  // Without helmet's own directives: they would allow inline styles, and rewrite plain http addresses.
  app.use(helmet({ contentSecurityPolicy: { useDefaults: false, directives: POLICY } }));
  app.use((_request, response, next) => {
    response.set('cache-control', 'no-store');
    next();
  });
  app.use(refuseAmbiguousHeaders);
  return app;
}

/**
 * Echoes the caller's `Request-Id`, or makes one. It is in the log lines of the request and in a problem. Not `isShown`:
 * it is made and only logged, because strangers get the same answer to the byte.
 */
const nameRequest =
  (isShown: boolean): RequestHandler =>
  (request, response, next) => {
    if (!isShown) return inRequest(randomUUID(), next);
    const given = request.get('request-id') ?? '';
    const requestId = REQUEST_ID.test(given) ? given : randomUUID();
    response.locals['requestId'] = requestId;
    response.set('request-id', requestId);
    inRequest(requestId, next);
  };

const SINGLE_HEADERS = ['authorization', 'content-type', 'content-encoding', 'host'] as const;

/**
 * Node takes the first of two headers, a proxy perhaps the last. So the proxy might check another value than is read
 * here.
 */
const refuseAmbiguousHeaders: RequestHandler = (request, _response, next) => {
  const twice = SINGLE_HEADERS.find((name) => (request.headersDistinct[name]?.length ?? 0) > 1);
  return next(
    twice === undefined ? undefined : new RequestRefused('invalid_request', `the header ${twice} came twice`),
  );
};

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*(utf-8|"utf-8")\s*)?$/i;

/** Refuses, before the body is read, an encoded body and a type that `isJson` does not accept, with 415. */
export const requireType =
  (isJson: (type: string) => boolean): RequestHandler =>
  (request, _response, next) => {
    const encoding = request.headers['content-encoding'];
    if (!isJson(request.headers['content-type'] ?? ''))
      next(new RequestRefused('unsupported_media_type', 'send content-type application/json, charset utf-8 or none'));
    else if (encoding !== undefined && encoding !== 'identity')
      next(new RequestRefused('unsupported_media_type', 'send the body without content-encoding'));
    else next();
  };

export const requireJson = requireType((type) => JSON_TYPE.test(type));

/** The body as received; nothing is inflated, decoded or guessed. */
export const readBytes = express.raw({ type: () => true, limit: MAX_BODY_BYTES, inflate: false });

/** An absent body is an empty one. */
export const bytesOf = (request: Request): Buffer => (Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));

export const onlyMethods =
  (...methods: string[]): RequestHandler =>
  (_request, response, next) => {
    response.set('allow', methods.join(', '));
    next(new RequestRefused('method_not_allowed', `allowed: ${methods.join(', ')}`));
  };

export const noSuchPath: RequestHandler = () => {
  throw new RequestRefused('not_found', 'no such path');
};

/** Names the path that was meant, if `/v1` alone is missing. The words have nothing of the address. */
export const missingVersion = (paths: readonly string[]): RequestHandler => {
  const meant = [...new Set(paths)]
    .filter((path) => path.startsWith('/v1/'))
    .map((path) => ({ path, form: new RegExp(`^${path.slice(3).replaceAll(/\{\w+\}/g, '[^/]+')}$`) }));
  return (request, _response, next) => {
    const found = meant.find(({ form }) => form.test(request.path));
    next(found && new RequestRefused('not_found', `no such path; the path begins with /v1: ${found.path}`));
  };
};

export interface Listener {
  readonly url: string;
  /**
   * Stops accepting and lets requests under way finish. Connections without a request are closed at once, the others
   * after their response. Resolves when the last connection is gone.
   */
  close(): Promise<void>;
}

/** Limits on slow, many and large connections. Milliseconds, bytes and counts. */
export interface ListenerLimits {
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly maxHeaderBytes: number;
  readonly maxConnections: number;
  readonly maxRequestsPerSocket: number;
}

/**
 * An idle connection is kept for 5 s. A load balancer in front has to keep its own for less, or it will use one that is
 * being closed. The address counts as a header, so it is limited too. Above `maxConnections` the connection that has
 * kept us waiting for longest is closed (connections.ts).
 */
export const LISTENER_LIMITS: ListenerLimits = {
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  keepAliveMs: 5_000,
  maxHeaderBytes: 8 * 1024,
  maxConnections: 2_000,
  maxRequestsPerSocket: 1_000,
};

/**
 * More connections may wait to be accepted than the default of 511, so that a storm of others costs no handshake its
 * first try.
 */
const BACKLOG = 4_096;

/** Receives each message that Node refused, after the response, with a code: ours or Node's. */
export type Witness = (message: RefusedMessage, code: string) => void;

/**
 * Listens with explicit limits (docs/reference/api.md#limits). Rejects when the address is taken. With a `witness` no
 * callback is lost below the app: a request needs no Host header, and the witness receives input that is not HTTP.
 */
export async function listen(
  app: Express,
  at: { readonly host: string; readonly port: number },
  limits: ListenerLimits = LISTENER_LIMITS,
  log?: Log,
  witness?: Witness,
): Promise<Listener> {
  const server = http.createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.keepAliveMs,
      maxHeaderSize: limits.maxHeaderBytes,
      connectionsCheckingInterval: 1_000,
      // Set here, so that no option of the process enables it.
      insecureHTTPParser: false,
      requireHostHeader: witness === undefined,
    },
    app,
  );
  // Node handles 100-continue. A request with any other expectation is served as if it had none.
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  if (witness !== undefined) showUnread(server, witness);
  server.maxRequestsPerSocket = limits.maxRequestsPerSocket;
  const connections = watchConnections(server, limits.maxConnections, (closed) =>
    log?.warn({ closed, max: limits.maxConnections }, 'connections without a request closed to make room'),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: at.port, host: at.host, backlog: BACKLOG }, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : at.port;
  return { url: `http://${isIPv6(at.host) ? `[${at.host}]` : at.host}:${port}`, close: () => connections.close() };
}

/** Bytes, roughly: the start of an incomplete request head, which has the address, is kept up to this size. */
const MAX_HEAD = 1024;

/**
 * Shows input that never becomes a request: a head that is not HTTP, too large or never complete, and a tunnel. A head
 * may come in any number of pieces.
 */
function showUnread(server: http.Server, witness: Witness): void {
  const heads = new WeakMap<Socket, string>();
  server.on('connection', (socket) => {
    // Runs before Node's parser: if this chunk completes a request, its head is then forgotten.
    socket.prependListener('data', (chunk: Buffer) => {
      const head = heads.get(socket) ?? '';
      if (head.length < MAX_HEAD) heads.set(socket, head + chunk.subarray(0, MAX_HEAD).toString('latin1'));
    });
    // Node destroys a connection that it cannot parse with this error, after its response. A connection that we close
    // has none.
    let said: Error = Object.assign(new Error(), { code: 'cut' });
    socket.once('error', (error) => (said = error));
    socket.once('close', () => showPacket(witness, said, heads.get(socket) ?? ''));
  });
  // A request beyond the maximum of its connection: Node responds with 503, and the app never sees it.
  server.on('dropRequest', (request: http.IncomingMessage) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => void (chunks.length < MAX_BODY_BYTES / 1_024 && chunks.push(chunk)));
    request.once('close', () => {
      const bytes = Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES);
      witness({ path: request.url ?? '', bytes, encoding: request.headers['content-encoding'] }, 'dropped');
    });
  });
  server.prependListener('request', (request, response) => {
    const { socket } = request;
    const forget = () => heads.delete(socket);
    forget();
    // The app itself sees a request that is cut from here on.
    request.once('end', forget);
    response.once('close', forget);
  });
  server.on('connect', ({ url = '' }, socket, bytes) => {
    heads.delete(socket as Socket);
    socket.destroy();
    witness({ path: url, bytes: bytes.subarray(0, MAX_BODY_BYTES), encoding: undefined }, 'method_not_allowed');
  });
}

/** Shows the packet at which the parser failed, and the start of the head. */
function showPacket(witness: Witness, error: Error, head: string): void {
  const { rawPacket, code } = error as { rawPacket?: unknown; code?: unknown };
  const bytes = Buffer.isBuffer(rawPacket) ? rawPacket.subarray(0, MAX_BODY_BYTES) : Buffer.alloc(0);
  if (bytes.length === 0 && head === '') return;
  // The first line that looks like a request line, after any other bytes.
  const [path = ''] = [bytes.toString('latin1'), head].flatMap(
    (text) => /^[A-Za-z]+ (\S*\/\S*)/m.exec(text)?.[1] ?? [],
  );
  witness({ path, bytes, encoding: undefined }, String(code));
}
