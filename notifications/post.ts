import http, { type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import tls, { type SecureContext } from 'node:tls';
import type { TargetRules } from '../config/settings/notifications.ts';
import { type IpAddress, ipAddress } from './public-addresses.ts';
import { type Lookup, type ResolveFault, resolveTarget, type EndpointTarget } from './target.ts';

export interface OutgoingMessage {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

export interface PostOptions {
  readonly rules: TargetRules;
  /** From the question to the name server to the last byte of the answer. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** Authorities as PEM, trusted in addition to Node's own. */
  readonly ca?: string;
  readonly lookup?: Lookup;
}

/** Why there is no answer. After `answer_cut`, `answer_invalid` and `timeout` the endpoint may have the message. */
export type PostFault =
  | ResolveFault
  | 'connect_failed'
  | 'certificate_refused'
  | 'tls_failed'
  | 'answer_cut'
  | 'answer_invalid'
  | 'headers_too_large'
  | 'request_invalid';

export interface PostAnswer {
  /** Only 2xx is a success: a redirect is not followed, because its target has not been checked. */
  readonly status: number;
  /** The wait that the endpoint asks for, at most a day; null: it asks for none. */
  readonly retryAfterMs: number | null;
  /** The begin of the answer: at most 200 printable characters, for the endpoint's owner only. */
  readonly answer: string;
  readonly ms: number;
}
export type PostResult = PostAnswer | { readonly fault: PostFault; readonly ms: number };

const DEADLINE_MS = 15_000;
const MAX_HEADER_BYTES = 8 * 1_024;
const MAX_ANSWER_BYTES = 1_024;
const MAX_ANSWER_LENGTH = 200;
const MAX_INTERIM_ANSWERS = 8;
const DAY_MS = 86_400_000;

/**
 * Posts a message once, to an address that has been checked in the same call, on a connection of its own. Follows no
 * redirect, uses no proxy, and decompresses nothing. Never throws.
 */
export async function postOnce(
  target: EndpointTarget,
  message: OutgoingMessage,
  options: PostOptions,
): Promise<PostResult> {
  const startedAt = performance.now();
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort('timeout'), options.deadlineMs ?? DEADLINE_MS);
  const cancel = () => stop.abort('canceled');
  options.signal?.addEventListener('abort', cancel, { once: true });
  if (options.signal?.aborted === true) cancel();
  try {
    const result = await posted(target, message, { ...options, signal: stop.signal });
    return { ...result, ms: Math.round(performance.now() - startedAt) };
  } catch {
    return { fault: 'connect_failed', ms: Math.round(performance.now() - startedAt) };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', cancel);
  }
}

type Outcome = Omit<PostAnswer, 'ms'> | { readonly fault: PostFault };
type Stoppable = PostOptions & { readonly signal: AbortSignal };

async function posted(target: EndpointTarget, message: OutgoingMessage, options: Stoppable): Promise<Outcome> {
  const pin = await resolveTarget(target, options.rules, options);
  if (options.signal.aborted) return { fault: options.signal.reason as 'timeout' | 'canceled' };
  if ('fault' in pin) return pin;
  return new Promise((resolve) => {
    const socket = opened(target, pin, options.ca);
    let connected = false;
    const settle = (outcome: Outcome) => {
      options.signal.removeEventListener('abort', stopped);
      socket.destroy();
      resolve(outcome);
    };
    const stopped = () => settle({ fault: options.signal.reason as 'timeout' | 'canceled' });
    options.signal.addEventListener('abort', stopped, { once: true });
    socket.on('error', (error) => settle({ fault: (connected ? answerFault : connectFault)(error) }));
    // Once it is connected, the end of the connection may be the end of the answer.
    socket.once('close', () => connected || settle({ fault: 'connect_failed' }));
    socket.once(target.secure ? 'secureConnect' : 'connect', () => {
      // The connection is the one that was checked, or it is not written to.
      if (ipAddress(socket.remoteAddress ?? '')?.address !== pin.address) return settle({ fault: 'connect_failed' });
      connected = true;
      return exchanged(socket, target, message, settle);
    });
  });
}

/** Connects to the address itself, so nothing asks for the name again; TLS verifies the name. */
function opened({ secure, host, port }: EndpointTarget, { address }: IpAddress, ca: string | undefined): Socket {
  if (!secure) return connect({ host: address, port });
  return tls.connect({
    host: address,
    port,
    ...(ipAddress(host) === null ? { servername: host } : {}),
    ...(ca === undefined ? {} : { secureContext: trusting(ca) }),
    // NODE_TLS_REJECT_UNAUTHORIZED=0 must not switch it off.
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
  });
}

/** Reading all authorities takes many milliseconds, so it is done once. */
const contexts = new Map<string, SecureContext>();
function trusting(ca: string): SecureContext {
  const context = contexts.get(ca) ?? tls.createSecureContext({ ca: [...tls.rootCertificates, ca] });
  contexts.set(ca, context);
  return context;
}

function exchanged(
  socket: Socket,
  { href }: EndpointTarget,
  { headers, body }: OutgoingMessage,
  settle: (outcome: Outcome) => void,
): void {
  const { host, pathname, search } = new URL(href);
  const request = (() => {
    try {
      return http.request({
        method: 'POST',
        path: `${pathname}${search}`,
        headers: { ...headers, host, 'content-length': Buffer.byteLength(body), connection: 'close' },
        // Without an agent: Node's own may have a proxy from the environment.
        createConnection: () => socket,
        maxHeaderSize: MAX_HEADER_BYTES,
        insecureHTTPParser: false,
      });
    } catch {
      return null;
    }
  })();
  if (request === null) return settle({ fault: 'request_invalid' });
  let interim = 0;
  request.on('information', () => {
    interim += 1;
    if (interim > MAX_INTERIM_ANSWERS) settle({ fault: 'answer_invalid' });
  });
  request.on('upgrade', () => settle({ fault: 'answer_invalid' }));
  request.on('error', (error: NodeJS.ErrnoException) => settle({ fault: answerFault(error) }));
  request.on('response', (response) => read(response, settle));
  return void request.end(body);
}

function read(response: IncomingMessage, settle: (outcome: Outcome) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  const answered = () =>
    settle({
      status: response.statusCode!,
      retryAfterMs: retryAfterMs(response.headers['retry-after'], response.headers.date),
      answer: 'content-encoding' in response.headers ? '' : printable(Buffer.concat(chunks)),
    });
  response.on('data', (chunk: Buffer) => {
    if (size < MAX_ANSWER_BYTES) chunks.push(chunk.subarray(0, MAX_ANSWER_BYTES - size));
    size += chunk.length;
    if (size >= MAX_ANSWER_BYTES) answered();
  });
  response.on('end', answered);
  response.on('error', (error) => settle({ fault: answerFault(error) }));
}

function printable(bytes: Buffer): string {
  const text = bytes
    .toString('utf8')
    .replaceAll(/[\p{C}\p{Z}\uFFFD]+/gu, ' ')
    .trim();
  return Array.from(text).slice(0, MAX_ANSWER_LENGTH).join('');
}

/** The three forms of a date that HTTP has; the last has no zone and means GMT. */
const HTTP_DATE = /^[A-Z][a-z]+, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT$/;
const ASCTIME = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/;

const httpDate = (text: string): number =>
  HTTP_DATE.test(text) ? Date.parse(text) : ASCTIME.test(text) ? Date.parse(`${text} GMT`) : Number.NaN;

/** Reads a Retry-After of seconds or a date, from 0 to a day; a date is compared with the endpoint's own clock. */
export function retryAfterMs(value: string | undefined, date: string | undefined): number | null {
  const text = value?.trim() ?? '';
  const now = httpDate(date ?? '');
  const wait = /^\d+$/.test(text) ? Number(text) * 1_000 : httpDate(text) - (Number.isNaN(now) ? Date.now() : now);
  return Number.isNaN(wait) ? null : Math.min(Math.max(wait, 0), DAY_MS);
}

function connectFault({ code = '' }: NodeJS.ErrnoException): PostFault {
  if (/CERT|ALTNAME|SELF_SIGNED|ISSUER|UNABLE_TO/.test(code)) return 'certificate_refused';
  return /^(ERR_SSL|EPROTO|ERR_TLS)/.test(code) ? 'tls_failed' : 'connect_failed';
}

function answerFault({ code = '' }: NodeJS.ErrnoException): PostFault {
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers_too_large';
  return code.startsWith('HPE_') ? 'answer_invalid' : 'answer_cut';
}
