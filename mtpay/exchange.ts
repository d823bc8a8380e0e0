import http from 'node:http';
import https from 'node:https';

/** One HTTP exchange, seen from the question "can the other side have received it?". */
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
}

/**
 * POSTs once, on a connection of its own: a kept-alive connection that dies cannot tell whether the request arrived,
 * and that question decides whether an order may be placed again. Never follows redirects. Never throws.
 */
export function exchange(options: ExchangeOptions): Promise<Exchange> {
  const url = new URL(options.url);
  const secure = url.protocol === 'https:';
  return new Promise((resolve) => {
    let connected = false;
    const request = (secure ? https : http).request(url, {
      method: 'POST',
      headers: { ...options.headers, 'content-length': Buffer.byteLength(options.body), connection: 'close' },
      agent: false,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    });
    const timers = [
      setTimeout(() => connected || request.destroy(new Error('connect timeout')), options.connectTimeoutMs),
      setTimeout(() => request.destroy(new Error('deadline')), options.deadlineMs),
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
        if (size > options.maxResponseBytes) request.destroy(new Error('answer too large'));
        else chunks.push(chunk);
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
