import { createServer as createHttpServer, type RequestListener, type Server as HttpServer } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { ServerCertificate } from './certificate.ts';

export interface ListenerParts {
  readonly listen: { readonly host: string; readonly port: number };
  /** Null: no TLS. */
  readonly certificate: ServerCertificate | null;
  /** Which callers may use plain HTTP; all others get an error that asks for HTTPS. */
  readonly plainHttp: 'none' | 'loopback' | 'any';
  readonly handle: RequestListener;
}

export interface Listener {
  /** The listener's origin; https if it speaks TLS. */
  readonly url: string;
  /** Takes no more connections, lets running requests end for `graceMs`, then closes them. */
  close(graceMs: number): Promise<void>;
}

const TIMES = { requestTimeout: 30_000, headersTimeout: 10_000 } as const;
/** The first byte of every TLS connection; no HTTP method begins with it. */
const TLS_HANDSHAKE = 22;
/** The time limit for the first byte, which shows the protocol. */
const FIRST_BYTE_MS = 10_000;
const LOOPBACK = /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/;

/**
 * Opens one port for both protocols, so that a plain call to the address fails with a reason. The documents require it:
 * "All API requests must be made over HTTPS. Calls made over plain HTTP will fail." Rejects if the address is taken.
 */
export async function openListener(parts: ListenerParts): Promise<Listener> {
  const plain = createHttpServer(TIMES, guarded(parts));
  const secure =
    parts.certificate === null
      ? null
      : createHttpsServer({ ...TIMES, cert: parts.certificate.cert, key: parts.certificate.key }, parts.handle);
  const front = secure === null ? plain : createTcpServer((socket) => sort(socket, plain, secure));
  const open = new Set<Socket>();
  front.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  const { address, family, port } = await listen(front, parts.listen);
  // The timers for slow requests start with this event, and these two servers never listen themselves.
  if (secure !== null) for (const server of [plain, secure]) server.emit('listening');
  const host = family === 'IPv6' ? `[${address}]` : address;
  return {
    url: `${secure === null ? 'http' : 'https'}://${host}:${port}`,
    async close(graceMs) {
      const closed = new Promise((resolve) => void front.close(resolve));
      plain.closeIdleConnections();
      secure?.closeIdleConnections();
      await Promise.race([closed, new Promise((resolve) => void setTimeout(resolve, graceMs).unref())]);
      // Connections still open now wait for responses that a fault withholds.
      for (const socket of open) socket.destroy();
      plain.closeAllConnections();
      if (secure !== null) for (const server of [plain, secure]) server.close();
      await closed;
    },
  };
}

async function listen(server: Server, { host, port }: ListenerParts['listen']): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server.address() as AddressInfo;
}

function guarded({ plainHttp, handle }: ListenerParts): RequestListener {
  return (request, response) => {
    const isAllowed =
      plainHttp === 'any' || (plainHttp === 'loopback' && LOOPBACK.test(request.socket.remoteAddress ?? ''));
    if (isAllowed) {
      handle(request, response);
      return;
    }
    response.writeHead(400, { 'content-type': 'text/plain', connection: 'close' });
    response.end('Calls made over plain HTTP fail: use https, or set SANDBOX_ALLOW_PLAIN_HTTP.\n');
    request.resume();
  };
}

/** Hands a connection to the server of its protocol, after putting the first bytes back. */
function sort(socket: Socket, plain: HttpServer, secure: HttpsServer): void {
  const undecided = setTimeout(() => socket.destroy(), FIRST_BYTE_MS);
  const giveUp = (): void => socket.destroy() as never;
  socket.once('error', giveUp);
  socket.once('close', () => clearTimeout(undecided));
  socket.once('data', (first: Buffer) => {
    clearTimeout(undecided);
    socket.off('error', giveUp);
    socket.pause();
    socket.unshift(first);
    (first[0] === TLS_HANDSHAKE ? secure : plain).emit('connection', socket);
    process.nextTick(() => socket.resume());
  });
}
