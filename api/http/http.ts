import http from 'node:http';
import { isIPv6, type Socket } from 'node:net';
import express, { type Express, type Request, type RequestHandler } from 'express';
import helmet from 'helmet';
import type { Log } from '../../telemetry/log.ts';
import { watchConnections } from '../connections.ts';
import { RequestRefused } from '../../intake/refusal.ts';
import type { RefusedMessage } from '../../intake/message-recognition.ts';

export const MAX_BODY_BYTES = 16 * 1024;

const POLICY = { defaultSrc: ["'none'"], baseUri: ["'none'"], formAction: ["'none'"], frameAncestors: ["'none'"] };

/** An app with Express's defaults mended (docs/internals/threat-model.md, T16): no fingerprint, no weak etag, nothing cached. */
export function createApp(): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', false);
  app.set('query parser', 'simple');
  // One spelling of each address: what a proxy in front allows or refuses by path is what is served.
  app.enable('case sensitive routing');
  app.enable('strict routing');
  // Without helmet's own directives: they would allow inline styles, and rewrite plain http addresses.
  app.use(helmet({ contentSecurityPolicy: { useDefaults: false, directives: POLICY } }));
  app.use((_request, response, next) => {
    response.set('cache-control', 'no-store');
    next();
  });
  app.use(refuseAmbiguousHeaders);
  return app;
}

const SINGLE_HEADERS = ['authorization', 'content-type', 'content-encoding', 'host'] as const;

/** Node takes the first of two and a proxy perhaps the last: what was checked there would not be what is read here. */
const refuseAmbiguousHeaders: RequestHandler = (request, _response, next) => {
  const twice = SINGLE_HEADERS.find((name) => (request.headersDistinct[name]?.length ?? 0) > 1);
  return next(
    twice === undefined ? undefined : new RequestRefused('invalid_request', `the header ${twice} came twice`),
  );
};

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*(utf-8|"utf-8")\s*)?$/i;

/** 415 for what `isJson` does not know by its type, and for what is coded, before the body is read. */
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

/** The body as the bytes that came; nothing is inflated, decoded or guessed. */
export const readBytes = express.raw({ type: () => true, limit: MAX_BODY_BYTES, inflate: false });

/** An absent body is an empty one. */
export const bytesOf = (request: Request): Buffer => (Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));

export const onlyMethods =
  (...methods: string[]): RequestHandler =>
  (_request, response, next) => {
    response.set('allow', methods.join(', '));
    next(new RequestRefused('method_not_allowed', `allowed: ${methods.join(', ')}`));
  };

export interface Listener {
  readonly url: string;
  /**
   * Stops accepting, lets requests under way finish, and resolves when the last connection is gone: those that carry
   * no request are closed at once, the others after their answer.
   */
  close(): Promise<void>;
}

/** How much of it slow, many and large connections may take. Milliseconds, bytes and counts. */
export interface ListenerLimits {
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly maxHeaderBytes: number;
  readonly maxConnections: number;
  readonly maxRequestsPerSocket: number;
}

/**
 * A connection is kept for 5 s: a balancer in front has to keep its own for less, or it will use one that is being
 * closed. The address counts as a header, so it is limited too. Above `maxConnections` the one goes that has kept us
 * waiting for longest (connections.ts).
 */
export const LISTENER_LIMITS: ListenerLimits = {
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  keepAliveMs: 5_000,
  maxHeaderBytes: 8 * 1024,
  maxConnections: 2_000,
  maxRequestsPerSocket: 1_000,
};

/** More may wait to be accepted than the default of 511: a storm of others must not cost a handshake its first try. */
const BACKLOG = 4_096;

/** Told of what was refused, after the answer, with the code of the refusal. */
export type Witness = (message: RefusedMessage, code: string) => void;

/**
 * Listens with explicit limits (docs/reference/api.md#limits). Rejects when the address is taken. With a `witness` nothing that
 * matters is lost below the app: a request needs no Host, and the witness is shown what is no HTTP.
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
      // Said here, so that no option of the process turns it on.
      insecureHTTPParser: false,
      requireHostHeader: witness === undefined,
    },
    app,
  );
  // 100-continue is Node's. Whatever else a client expects, it gets the answer that it would get without.
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

/** Of the head of a request, for as long as it is not whole: the address is in it. */
const MAX_HEAD = 1024;

/** Shows what never becomes a request: a head that is no HTTP, too large or never ends, in however many pieces, and a tunnel. */
function showUnread(server: http.Server, witness: Witness): void {
  const heads = new WeakMap<Socket, string>();
  server.on('connection', (socket) => {
    // Before Node reads it, so that a request that becomes whole with it is known to be.
    socket.prependListener('data', (chunk: Buffer) => {
      const head = heads.get(socket) ?? '';
      if (head.length < MAX_HEAD) heads.set(socket, head + chunk.subarray(0, MAX_HEAD).toString('latin1'));
    });
    // The error with which Node destroys a connection that it cannot read, after it has answered; none where we close it.
    let said: Error = Object.assign(new Error(), { code: 'cut' });
    socket.once('error', (error) => (said = error));
    socket.once('close', () => showPacket(witness, said, heads.get(socket) ?? ''));
  });
  // One more on a connection than it may carry: Node answers 503, and the app never sees it.
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
    // What is cut from here on the app sees itself.
    request.once('end', forget);
    response.once('close', forget);
  });
  server.on('connect', ({ url = '' }, socket, bytes) => {
    heads.delete(socket as Socket);
    socket.destroy();
    witness({ path: url, bytes: bytes.subarray(0, MAX_BODY_BYTES), encoding: undefined }, 'method_not_allowed');
  });
}

/** What is there to see of it: the packet in which the parser gave up, and how its head began. */
function showPacket(witness: Witness, error: Error, head: string): void {
  const { rawPacket, code } = error as { rawPacket?: unknown; code?: unknown };
  const bytes = Buffer.isBuffer(rawPacket) ? rawPacket.subarray(0, MAX_BODY_BYTES) : Buffer.alloc(0);
  if (bytes.length === 0 && head === '') return;
  // The first line that looks like a request's, whatever stands before it.
  const [path = ''] = [bytes.toString('latin1'), head].flatMap(
    (text) => /^[A-Za-z]+ (\S*\/\S*)/m.exec(text)?.[1] ?? [],
  );
  witness({ path, bytes, encoding: undefined }, String(code));
}
