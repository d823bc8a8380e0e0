import type http from 'node:http';
import type { Socket } from 'node:net';

export interface Connections {
  /** Those that carry no request are closed at once, the others after their answer. Resolves when the last is gone. */
  close(): Promise<void>;
}

const CLOSE_WITHIN_MS = 15_000;
const TELL_EVERY_MS = 60_000;

/**
 * Watches the server's connections. When there are more than `max`, the one goes that has kept us waiting for longest:
 * silent, idle, or in the middle of a request. Whoever says what they want is served, however many only hold a place.
 * `tell` hears at most once a minute how many were closed for that.
 */
export function watchConnections(server: http.Server, max: number, tell: (closed: number) => void): Connections {
  const open = new Set<Socket>();
  /** Those that wait for nothing from us, the longest first. */
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
    // Without the farewell that would keep its port in use for a minute.
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
        // From now on, and behind all the others.
        waitedFor.delete(socket);
        waitedFor.add(socket);
      }
      // An answer that was begun before promised to keep the connection.
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
        // Node counts a connection that never said anything as one whose request is on its way.
        for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
        server.closeIdleConnections();
      }),
  };
}

const hasBody = ({ headers }: http.IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
