import http, { type ClientRequest } from 'node:http';
import https from 'node:https';
import { isIP, type Socket } from 'node:net';
import tls from 'node:tls';

/** One HTTP exchange, classified by whether the other side can have received the request. */
export type Exchange =
  | { readonly kind: 'answered'; readonly status: number; readonly body: string; readonly dateMs: number | null }
  /** Nothing left this machine: refused connection, DNS, TLS before the request. */
  | { readonly kind: 'not_sent'; readonly cause: string }
  /** The request may have arrived: cut, timed out or unreadable afterwards. */
  | { readonly kind: 'lost'; readonly cause: string };

export interface ExchangeOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly deadlineMs: number;
  readonly connectTimeoutMs: number;
  readonly maxResponseBytes: number;
  /** Checked at the last moment before the connection is used: false means not sent. */
  readonly maySend: () => boolean;
  readonly ca?: string;
  /** The address of a proxy, for https only. The proxy sees host and port; the rest is encrypted. */
  readonly proxy?: string;
}

/**
 * POSTs once, on a connection of its own. When a kept-alive connection dies, nobody knows whether the request arrived,
 * and that decides whether an order may be placed again. Never follows redirects. Never throws.
 */
export function exchange(options: ExchangeOptions): Promise<Exchange> {
  const url = new URL(options.url);
  const secure = url.protocol === 'https:';
  return new Promise((resolve) => {
    let connected = false;
    let tunnel: ClientRequest | null = null;
    const request = (secure ? https : http).request(url, {
      method: 'POST',
      headers: { ...options.headers, 'content-length': Buffer.byteLength(options.body), connection: 'close' },
      ...(options.proxy === undefined || !secure
        ? { agent: false }
        : { createConnection: (_: unknown, opened: Opened) => void (tunnel = openTunnel(options, url, opened)) }),
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
    const giveUp = (cause: string) => {
      request.destroy(new Error(cause));
      // A request that still waits for its connection settles only with it, so the tunnel is ended too.
      tunnel?.destroy(new Error(cause));
    };
    const timers = [
      setTimeout(() => connected || giveUp('connect timeout'), options.connectTimeoutMs),
      setTimeout(() => giveUp('deadline'), options.deadlineMs),
    ];
    const settle = (result: Exchange) => {
      for (const timer of timers) clearTimeout(timer);
      resolve(result);
    };

    request.on('socket', (socket) => {
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        if (!options.maySend()) return request.destroy(new Error('too late to send'));
        connected = true;
        return request.end(options.body);
      });
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      settle({ kind: connected ? 'lost' : 'not_sent', cause: error.code ?? error.message });
    });
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= options.maxResponseBytes) return void chunks.push(chunk);
        // Settled at once: the end may have arrived with these bytes, and `end` would return a truncated body.
        settle({ kind: 'lost', cause: 'answer too large' });
        return request.destroy();
      });
      response.on('error', (error: NodeJS.ErrnoException) =>
        settle({ kind: 'lost', cause: error.code ?? error.message }),
      );
      response.on('end', () => {
        const date = Date.parse(response.headers.date ?? '');
        settle({
          kind: 'answered',
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString('utf8'),
          dateMs: Number.isNaN(date) ? null : date,
        });
      });
      response.on('close', () => settle({ kind: 'lost', cause: 'answer cut' }));
    });
  });
}

type Opened = (error: Error | null, socket: Socket) => void;

/** Opens a tunnel to the provider through the proxy (CONNECT) and speaks TLS with the provider in it. */
function openTunnel({ proxy = '', ca }: ExchangeOptions, url: URL, opened: Opened): ClientRequest {
  const { hostname, port, username, password } = new URL(proxy);
  const target = `${url.hostname}:${url.port || 443}`;
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  const request = http.request({
    host: bare(hostname),
    port: port || 80,
    method: 'CONNECT',
    path: target,
    headers: { host: target, ...(username === '' ? {} : { 'proxy-authorization': `Basic ${login}` }) },
    agent: false,
  });
  const fail = (cause: string) => opened(new Error(`proxy: ${cause}`), undefined as unknown as Socket);
  request.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
  request.once('connect', ({ statusCode }, socket) => {
    if (statusCode === 200) {
      const host = bare(url.hostname);
      const name = isIP(host) === 0 ? { servername: host } : {};
      opened(null, tls.connect({ socket, host, ...name, ...(ca === undefined ? {} : { ca }) }));
    } else {
      socket.destroy();
      fail(`HTTP ${statusCode}`);
    }
  });
  return request.end();
}

/** Returns the host of a URL as sockets take it: an IPv6 address without brackets. */
const bare = (host: string): string => host.replace(/^\[|\]$/g, '');
