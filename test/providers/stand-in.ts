import { createServer } from 'node:http';
import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import { onTestFinished } from 'vitest';
import type { ServerCertificate } from '../../sandbox/certificate.ts';

/** A request as it came over the wire. */
export interface Received {
  readonly line: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface StandIn {
  /** `localhost:<port>`, as in URLs. */
  readonly host: string;
  readonly received: readonly Received[];
  /** How many connections were opened, with or without a request on them. */
  connections(): number;
}

/** A stand-in's reaction to a complete request: it has the raw socket and may do anything. */
export type Answer = (socket: Socket, request: Received) => void;

/** A server in the provider's place for one test, below HTTP so that it can break every rule of it. */
export async function standIn(answer: Answer, certificate?: Pick<ServerCertificate, 'cert' | 'key'>): Promise<StandIn> {
  const received: Received[] = [];
  const sockets = new Set<Socket>();
  const serve = (socket: Socket) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', () => undefined);
    socket.on('data', (chunk: string) => {
      text += chunk;
      const request = complete(text);
      if (request === null) return;
      text = '';
      received.push(request);
      answer(socket, request);
    });
  };
  const server = certificate === undefined ? net.createServer(serve) : tls.createServer(certificate, serve);
  let connections = 0;
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as net.AddressInfo;
  return { host: `localhost:${port}`, received, connections: () => connections };
}

function complete(text: string): Received | null {
  const [head, body] = text.split('\r\n\r\n', 2) as [string, string?];
  if (body === undefined) return null;
  const [line, ...rest] = head.split('\r\n') as [string, ...string[]];
  const headers = Object.fromEntries(
    rest.map((header) => {
      const colon = header.indexOf(':');
      return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()];
    }),
  );
  if (Buffer.byteLength(body) < Number(headers['content-length'] ?? 0)) return null;
  return { line, headers, body };
}

/** A well-formed HTTP response; `headers` may contradict it. */
export function http(status: number, body: string, headers: Readonly<Record<string, string | number>> = {}): string {
  const all = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Said\r\n${lines.join('')}\r\n${body}`;
}

/** A server that sends first, before any request. */
export async function babbler(text: string): Promise<{ readonly host: string }> {
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  onTestFinished(() => void server.close());
  return { host: `localhost:${(server.address() as net.AddressInfo).port}` };
}

/** A port without a listener. */
export async function closedPort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A company's proxy: opens connections to any requested host, or refuses with a status; records its traffic. */
export async function openProxy(status = 200) {
  const asked: Array<{ readonly target: string; readonly login: string | undefined }> = [];
  const passed: Buffer[] = [];
  const server = createServer();
  server.on('connect', ({ url = '', headers }, client: Socket) => {
    asked.push({ target: url, login: headers['proxy-authorization'] });
    client.on('error', () => undefined);
    if (status !== 200) return client.end(`HTTP/1.1 ${status} No\r\n\r\n`);
    const target = net.connect(Number(url.slice(url.lastIndexOf(':') + 1)), 'localhost', () => {
      client.write('HTTP/1.1 200 Connected\r\n\r\n');
      client.pipe(target).pipe(client);
    });
    client.on('data', (bytes: Buffer) => passed.push(bytes));
    return target.on('error', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  onTestFinished(() => void server.close());
  const { port } = server.address() as net.AddressInfo;
  return { host: `localhost:${port}`, asked, seen: () => Buffer.concat(passed).toString('latin1') };
}
