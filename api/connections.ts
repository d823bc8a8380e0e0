import type http from 'node:http';
import type { Socket } from 'node:net';

export interface Connections {
  /** Closes connections without a request at once, the others after their response. Resolves when the last is gone. */
  close(): Promise<void>;
}

const CLOSE_WITHIN_MS = 15_000;
const TELL_EVERY_MS = 60_000;

/**
 * Watches the server's connections. Above `max` it resets the one that has kept us waiting for longest: silent, idle,
 * or in the middle of a request. So a complete request is served, however many connections only hold a place. `tell`
 * gets the number of closed ones, at most once a minute.
 */
export function watchConnections(server: http.Server, max: number, tell: (closed: number) => void): Connections {
  const open = new Set<Socket>();
  /** Connections that owe us data, the longest-waiting first. */
  const waitedFor = new Set<Socket>();
  const underWay = new Set<http.ServerResponse>();
  const perSocket = new WeakMap<Socket, number>();
  let isClosing = false;
  let closed = 0;
  let toldAt = Number.NEGATIVE_INFINITY;

  const sayGoodbye = (response: http.ServerResponse) => {
    if (!response.headersSent) response.setHeader('connection', 'close');
  };
  const forget = (socket: Socket) => {
    open.delete(socket);
    waitedFor.delete(socket);
  };
  function makeRoom(): void {
    const [longest] = waitedFor;
    if (longest === undefined) return;
    forget(longest);
    // A reset, because after an orderly close TIME_WAIT would keep its port in use for a minute.
    longest.resetAndDestroy();
    closed += 1;
    if (performance.now() - toldAt < TELL_EVERY_MS) return;
    toldAt = performance.now();
    tell(closed);
    closed = 0;
  }

  server.on('connection', (socket) => {
    open.add(socket);
    waitedFor.add(socket);
    socket.once('close', () => forget(socket));
    if (open.size > max) makeRoom();
  });
  server.prependListener('request', (request, response) => {
    const { socket } = request;
    underWay.add(response);
    perSocket.set(socket, (perSocket.get(socket) ?? 0) + 1);
    if (hasBody(request)) request.once('end', () => waitedFor.delete(socket));
    else waitedFor.delete(socket);
    if (isClosing) sayGoodbye(response);
    response.once('close', () => {
      underWay.delete(response);
      const left = perSocket.get(socket)! - 1;
      perSocket.set(socket, left);
      if (left === 0 && !socket.destroyed) {
        // It waits from now on, behind all others.
        waitedFor.delete(socket);
        waitedFor.add(socket);
      }
      // A response that began before the close promised keep-alive.
      if (isClosing) setImmediate(() => server.closeIdleConnections());
    });
  });

  return {
    close: () =>
      new Promise((resolve) => {
        isClosing = true;
        const force = setTimeout(() => server.closeAllConnections(), CLOSE_WITHIN_MS);
        server.close(() => {
          clearTimeout(force);
          resolve();
        });
        for (const response of underWay) sayGoodbye(response);
        // Node treats a connection without any data as one with a request under way.
        for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
        server.closeIdleConnections();
      }),
  };
}

const hasBody = ({ headers }: http.IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
