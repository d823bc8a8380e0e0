import { createServer as createHttpServer, type RequestListener, type Server as HttpServer } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { ServerCertificate } from './certificate.ts';

export interface ListenerParts {
  readonly listen: { readonly host: string; readonly port: number };
  /** Null: TLS is not spoken. */
  readonly certificate: ServerCertificate | null;
  /** Who is answered over plain HTTP; everybody else is told to use HTTPS. */
  readonly plainHttp: 'none' | 'loopback' | 'any';
  readonly handle: RequestListener;
}

export interface Listener {
  /** Origin it answers at: https where TLS is spoken. */
  readonly url: string;
  /** Takes no more connections, lets requests under way end for `graceMs`, then cuts them off. */
  close(graceMs: number): Promise<void>;
}

const TIMES = { requestTimeout: 30_000, headersTimeout: 10_000 } as const;
/** First byte of every TLS connection; no HTTP method begins with it. */
const TLS_HANDSHAKE = 22;
/** How long a connection may take to show what it speaks. */
const FIRST_BYTE_MS = 10_000;
const LOOPBACK = /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/;

/**
 * One port for both, so that a plain call to the address in use fails by being told why, as the documents have it:
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
  // Their clocks for slow requests start with this event, and these two never listen themselves.
  if (secure !== null) for (const server of [plain, secure]) server.emit('listening');
  const host = family === 'IPv6' ? `[${address}]` : address;
  return {
    url: `${secure === null ? 'http' : 'https'}://${host}:${port}`,
    async close(graceMs) {
      const closed = new Promise((resolve) => void front.close(resolve));
      plain.closeIdleConnections();
      secure?.closeIdleConnections();
      await Promise.race([closed, new Promise((resolve) => void setTimeout(resolve, graceMs).unref())]);
      // What is still open now are answers a fault holds back.
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

/** Hands a connection to the server that speaks its language, with the bytes it began with put back. */
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
