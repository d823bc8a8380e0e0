import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import { onTestFinished } from 'vitest';
import { makeCertificate } from '../../sandbox/certificate.ts';

/** Real endpoints of a test, on this machine. */
export interface Endpoint {
  readonly port: number;
  /** The bytes of each connection, in order; a connection without bytes has an empty text. */
  readonly received: string[];
  readonly connections: () => number;
  readonly close: () => Promise<void>;
}

type Manner = (socket: Socket) => void;
export const certificate = await makeCertificate(['localhost', '127.0.0.1']);

/** An endpoint with TLS for `localhost`; `manner` is called when the request has arrived. */
export const secureEndpoint = (manner: Manner, { cert, key } = certificate): Promise<Endpoint> =>
  listening(tls.createServer({ cert, key }), 'secureConnection', manner);
export const plainEndpoint = (manner: Manner): Promise<Endpoint> => listening(createServer(), 'connection', manner);

/** Counts connections, and says this at once. */
export const listener = (host: string, port: number, greeting = ''): Promise<Endpoint> =>
  listening(
    createServer((socket) => socket.write(greeting)),
    'connection',
    () => {},
    { host, port },
  );

async function listening(server: Server, event: string, manner: Manner, at = { host: '127.0.0.1', port: 0 }) {
  const received: string[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  server.on('connection', (socket: Socket) => {
    connections += 1;
    open.add(socket.on('error', () => {}));
  });
  server.on(event, (socket: Socket) => {
    const index = received.push('') - 1;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      const before = received[index]!;
      const now = before + chunk.toString('latin1');
      received[index] = now;
      if (isWhole(now) && !isWhole(before)) manner(socket);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(at.port, at.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    for (const socket of open) socket.destroy();
    await new Promise((closed) => server.close(closed));
  };
  onTestFinished(close);
  return { port, received, connections: () => connections, close };
}

function isWhole(request: string): boolean {
  const end = request.indexOf('\r\n\r\n');
  const length = /content-length: (\d+)/i.exec(request)?.[1];
  return end !== -1 && request.length - end - 4 >= Number(length ?? 0);
}

export const answering =
  (...lines: string[]): Manner =>
  (socket) =>
    socket.end(`HTTP/1.1 ${lines.join('\r\n')}`);

/** Writes a text again and again until the other side has gone. */
export const repeating =
  (begin: string, text: string, everyMs: number): Manner =>
  (socket) => {
    socket.write(begin);
    const timer = setInterval(() => socket.writable && socket.write(text), everyMs);
    socket.once('close', () => clearInterval(timer));
  };
