import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { type ClientOptions, createDepositClient, type DepositClient } from '../../client/src/client.ts';

/** A server in place of the engine that answers as a test says: no engine fails in all these ways when it is told to. */

/** `cut`: the connection ends without an answer. `hang`: there is none as long as the test runs. */
type Reply =
  | 'cut'
  | 'hang'
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown };

interface Heard {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

export interface FaultyEngine {
  readonly client: DepositClient;
  readonly url: string;
  /** The requests, in order. */
  readonly heard: Heard[];
}

/** Answers the requests in this order; the last reply is that of all further ones. */
export async function faultyEngine(
  replies: readonly Reply[],
  options: Partial<ClientOptions> = {},
): Promise<FaultyEngine> {
  const heard: Heard[] = [];
  const server = createServer((request, response) => {
    const reply = replies[Math.min(heard.length, replies.length - 1)]!;
    // Before the body is here: the next request gets the next reply.
    const entry = {
      method: request.method!,
      path: request.url!,
      authorization: request.headers.authorization,
      body: '',
    };
    heard.push(entry);
    void bodyOf(request).then((body) => {
      entry.body = body;
      answer(response, reply);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { client: createDepositClient({ baseUrl: url, apiKey: 'dek_test', ...options }), url, heard };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}

function answer(response: ServerResponse, reply: Reply): void {
  if (reply === 'cut') response.destroy();
  if (reply === 'cut' || reply === 'hang') return;
  const { status, headers = {}, body = {} } = reply;
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}
