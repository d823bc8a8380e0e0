import http from 'node:http';
import { talk } from '../../api/talk.ts';

/** One attempt as it is sent. `wire` replaces everything else by bytes on a bare line. */
export interface Attempt {
  readonly path: string;
  readonly body: string | Uint8Array;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The listener it goes to; the callback listener unless it says otherwise. */
  readonly listener?: 'api';
  readonly wire?: string;
}

/** What came back. Status 0: the line was closed without an answer. */
export interface Reply {
  readonly status: number;
  readonly body: string;
  /** Status, headers and body less what differs between any two answers; null for bytes on a bare line. */
  readonly fingerprint: string | null;
}

export interface Wire {
  send(attempt: Attempt): Promise<Reply>;
  /** On a line of its own, as the provider sends: a kept-alive one may be closed just as it is used. */
  sendAlone(attempt: Attempt): Promise<Reply>;
  close(): void;
}

const CONCURRENT = 32;
/** A bare line is given up after this long. */
const BARE_LINE_MS = 2_000;
const NOT_COMPARED = new Set(['date', 'connection', 'keep-alive']);

/** Sends over kept-alive connections, as a busy attacker would. */
export function createWire(origins: { readonly callback: string; readonly api: string }): Wire {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONCURRENT });
  return {
    send: (attempt) => {
      const origin = origins[attempt.listener ?? 'callback'];
      return attempt.wire === undefined ? ask(agent, origin, attempt) : sayBare(origin, attempt.wire);
    },
    sendAlone: (attempt) => ask(false, origins[attempt.listener ?? 'callback'], attempt),
    close: () => agent.destroy(),
  };
}

function ask(
  agent: http.Agent | false,
  origin: string,
  { path, body, method = 'POST', headers = {} }: Attempt,
): Promise<Reply> {
  const { hostname, port } = new URL(origin);
  const bytes = Buffer.from(body as string);
  return new Promise((resolve) => {
    const lost = () => resolve({ status: 0, body: '', fingerprint: null });
    const request = http.request(
      // Not a URL object: that would put the path right before it is sent.
      {
        agent,
        hostname,
        port,
        path,
        method,
        headers: { 'content-type': 'application/json', 'content-length': bytes.length, ...headers },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', lost);
        response.on('end', () => resolve(replyOf(response, Buffer.concat(chunks).toString('utf8'))));
      },
    );
    request.on('error', lost);
    request.end(bytes);
  });
}

function replyOf({ statusCode = 0, headers }: http.IncomingMessage, body: string): Reply {
  const compared = Object.entries(headers).filter(([name]) => !NOT_COMPARED.has(name));
  return { status: statusCode, body, fingerprint: JSON.stringify([statusCode, compared, body]) };
}

/** The most welcome of all answers on that line: hidden behind a refusal, one acknowledgement is enough. */
async function sayBare(origin: string, bytes: string): Promise<Reply> {
  const heard = await talk(origin, [bytes], { withinMs: BARE_LINE_MS });
  const statuses = [...heard.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map((match) => Number(match[1]));
  return { status: statuses.find((status) => status < 300) ?? statuses[0] ?? 0, body: heard, fingerprint: null };
}

/** Works through `tasks` with a bounded number under way. */
export async function inParallel<T>(tasks: Iterable<T>, work: (task: T) => Promise<void>): Promise<void> {
  const queue = tasks[Symbol.iterator]();
  const lane = async () => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: CONCURRENT }, lane));
}
