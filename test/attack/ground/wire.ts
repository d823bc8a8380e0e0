import http from 'node:http';
import { inLanes } from '../../../telemetry/lanes.ts';
import { talk } from '../../api/talk.ts';

/** One attempt as it is sent. `wire` replaces everything else by bytes on a raw connection. */
export interface Attempt {
  readonly path: string;
  readonly body: string | Uint8Array;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The listener that receives it; by default the callback listener. */
  readonly listener?: 'api';
  readonly wire?: string;
}

/** The response. Status 0: the connection was closed without one. */
export interface Reply {
  readonly status: number;
  readonly body: string;
  /** Status, headers and body without the parts that always differ; null for bytes on a raw connection. */
  readonly fingerprint: string | null;
}

export interface Wire {
  send(attempt: Attempt): Promise<Reply>;
  /** On a connection of its own, as the provider sends: a kept-alive one may be closed just as it is used. */
  sendAlone(attempt: Attempt): Promise<Reply>;
  close(): void;
}

const CONCURRENT = 32;
/** The timeout of a raw connection. */
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
      // Not a URL object: that would normalize the path before it is sent.
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

/** Returns the best response for an attacker on that connection: one acknowledgement behind a refusal is enough. */
async function sayBare(origin: string, bytes: string): Promise<Reply> {
  const heard = await talk(origin, [bytes], { withinMs: BARE_LINE_MS });
  const statuses = [...heard.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map((match) => Number(match[1]));
  return { status: statuses.find((status) => status < 300) ?? statuses[0] ?? 0, body: heard, fingerprint: null };
}

/** Runs `tasks` with bounded concurrency. */
export const inParallel = <T>(tasks: Iterable<T>, work: (task: T) => Promise<void>): Promise<void> =>
  inLanes(tasks, CONCURRENT, work);
