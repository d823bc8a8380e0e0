import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import {
  createDepositClient,
  type DepositClient,
  DepositEngineError,
  type EngineEvent,
  type CreateEndpointRequest,
  webhooks,
} from '../client/src/client.ts';
import { readArgumentsOr, UsageError } from '../config/command-line.ts';
import { errorSentence } from './servers/error-sentences.ts';
import { dataDirectory } from './servers/paths.ts';
import { listenPortOf } from './servers/state.ts';
import { listenForInterrupts } from './stack/interrupt.ts';
import { NoStackError, readLocalEnv } from './stack/local-env.ts';
import '../config/broken-pipe.ts';

/** `npm run listen`: shows the notifications of the running stack as they arrive, and forwards them. */

const USAGE = `npm run listen [-- --forward-to URL] [--types TYPE,…]

Makes an endpoint in the stack that npm start runs, prints its signing secret and each notification as it arrives, and
deletes the endpoint at Ctrl-C.

  --forward-to  posts each notification to this address too, the same bytes and headers, and answers with its status
  --types       only these types, such as deposit.credited,deposit.reversed`;

export interface ListenOptions {
  readonly api: DepositClient;
  readonly port: number;
  readonly forwardTo: string | null;
  /** Null: every type. */
  readonly types: readonly string[] | null;
  readonly out: (line: string) => void;
  readonly signal: AbortSignal;
}

/** Below the engine's own limit of 15 s, so that the engine is told. */
const FORWARD_TIMEOUT_MS = 14_000;
/** Of one connection, not of the message. */
const NOT_FORWARDED = new Set(['host', 'connection', 'keep-alive', 'content-length', 'transfer-encoding']);

/** Resolves when the signal was aborted and the endpoint is deleted. */
export async function listenForNotifications(options: ListenOptions): Promise<void> {
  const { api, port, types, forwardTo, out, signal } = options;
  const url = `http://127.0.0.1:${port}/`;
  let secret = '';
  const server = createServer((request, response) => {
    receive(request, response, secret, options).catch((error: unknown) => {
      out(errorSentence(error));
      response.destroy();
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  try {
    // Of an earlier run that was killed; its secret is lost.
    for (const known of await api.endpoints.list()) if (known.url === url) await api.endpoints.delete(known.id);
    // The API checks the types.
    const made = await api.endpoints.create({
      url,
      types: types as NonNullable<CreateEndpointRequest['types']> | null,
    });
    secret = made.secret ?? '';
    out(`Signing secret, shown this once: ${secret}`);
    out(
      `${made.id} gets ${types?.join(', ') ?? 'every type'}${forwardTo === null ? '' : `, forwarded to ${forwardTo}`}. Ctrl-C ends.`,
    );
    if (!signal.aborted) await once(signal, 'abort');
    await api.endpoints.delete(made.id);
    out(`${made.id} is deleted.`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function receive(
  request: IncomingMessage,
  response: ServerResponse,
  secret: string,
  { forwardTo, out }: ListenOptions,
): Promise<void> {
  const body = await buffer(request);
  const time = new Date().toTimeString().slice(0, 8);
  let event: EngineEvent;
  try {
    event = webhooks.verify(body, request.headers, secret);
  } catch (error) {
    out(`${time}  refused, not from the engine: ${(error as Error).message}`);
    response.writeHead(400).end();
    return;
  }
  const { status, said, headers } = await forward(forwardTo, body, request.headers);
  const order = 'externalOrderNumber' in event.data ? event.data.externalOrderNumber : null;
  out([time, event.type.padEnd(21), order ?? '-', event.data.sequence, said].join('  '));
  response.writeHead(status, headers).end();
}

interface Forwarded {
  readonly status: number;
  readonly said: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function forward(url: string | null, body: Buffer<ArrayBuffer>, given: IncomingHttpHeaders): Promise<Forwarded> {
  if (url === null) return { status: 204, said: '', headers: {} };
  const headers = Object.entries(given).filter(([name]) => !NOT_FORWARDED.has(name)) as [string, string][];
  const signal = AbortSignal.timeout(FORWARD_TIMEOUT_MS);
  try {
    const answer = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal });
    await answer.body?.cancel();
    const later = answer.headers.get('retry-after');
    return { status: answer.status, said: `${answer.status}`, headers: later === null ? {} : { 'retry-after': later } };
  } catch (error) {
    const { cause, message } = error as { readonly cause?: { readonly code?: string }; readonly message: string };
    return { status: 502, said: `no answer (${cause?.code ?? message}), comes again`, headers: {} };
  }
}

/** `localhost:3000/hook` is enough. */
function addressIn(given: string | undefined): string | null {
  if (given === undefined) return null;
  const address = /^https?:\/\//.test(given) ? given : `http://${given}`;
  if (!URL.canParse(address))
    throw new UsageError('--forward-to: expected an address such as http://127.0.0.1:3000/hook');
  return address;
}

async function main(): Promise<number> {
  const options = { 'forward-to': { type: 'string' }, types: { type: 'string' } } as const;
  const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
  try {
    const forwardTo = addressIn(values['forward-to']);
    const { API_URL: baseUrl, API_KEY: apiKey } = readLocalEnv(dataDirectory);
    await listenForNotifications({
      api: createDepositClient({ baseUrl, apiKey }),
      port: listenPortOf(dataDirectory),
      forwardTo,
      types: values.types?.split(',').map((type) => type.trim()) ?? null,
      out: (line) => console.log(line),
      signal: listenForInterrupts(() => process.exit(130)),
    });
    return 0;
  } catch (error) {
    const isMisuse = error instanceof UsageError;
    const isAway = error instanceof DepositEngineError && error.code === 'no_answer';
    console.error(isMisuse ? `${error.message}.\n\n${USAGE}` : errorSentence(isAway ? new NoStackError() : error));
    return isMisuse ? 2 : 1;
  }
}

if (import.meta.filename === process.argv[1]) process.exit(await main());
