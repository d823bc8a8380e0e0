/** The only way to Temporal's Web UI: a proxy that accepts a person's browser and rejects pages of other sites. */

import { randomInt } from 'node:crypto';
import { createServer, type IncomingMessage, request as ask, type ServerResponse } from 'node:http';
import { freePort, isPortFree } from './ports.ts';

/** The address on which the Web UI itself listens. */
export type HiddenPlace = { readonly host: string; readonly port: number };

export type Door = {
  readonly port: number;
  /** Closes all connections. */
  close(): void;
};

/**
 * Returns an address that no page can guess: one of 16 million loopback addresses, and any free port. On a machine that
 * has only 127.0.0.1 (macOS), only the port is to be guessed.
 */
export async function hiddenPlace(): Promise<HiddenPlace> {
  const host = `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(1, 255)}`;
  const port = await freePort();
  return (await isPortFree(port, host)) ? { host, port } : { host: '127.0.0.1', port };
}

/**
 * Opens the door at the wished port, or at another one if that is taken; null if it is taken and `insist` is set.
 * The door keeps no process alive.
 */
export async function openDoor(wished: number, to: HiddenPlace, insist = false): Promise<Door | null> {
  const server = createServer((request, response) => pass(request, response, to));
  server.on('connection', (socket) => socket.unref());
  server.unref();
  const listen = (port: number) =>
    new Promise<number | null>((resolve) => {
      server.once('error', () => resolve(null));
      server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
        const address = server.address();
        resolve(address !== null && typeof address === 'object' ? address.port : null);
      });
    });
  const port = (await listen(wished)) ?? (insist ? null : await listen(0));
  if (port === null) return null;
  return {
    port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function pass(request: IncomingMessage, response: ServerResponse, { host, port }: HiddenPlace): void {
  const refusal = refusalOf(request);
  if (refusal !== null) {
    response.writeHead(403, { 'content-type': 'text/plain', 'cross-origin-resource-policy': 'same-origin' });
    response.end(`${refusal}\n`);
    return;
  }
  const { method, url: path, headers } = request;
  const onward = ask({ host, port, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.once('error', () => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502, { 'content-type': 'text/plain' }).end('The Web UI does not answer.\n');
  });
  response.once('close', () => onward.destroy());
  request.pipe(onward);
}

/**
 * Returns null if the request may pass. `Host` reveals a name that was rebound to this machine; `Origin` or
 * `Sec-Fetch-Site` reveals a page of another site. Reading and following a link change nothing, so only `Host` counts.
 */
function refusalOf({ method, headers, socket }: IncomingMessage): string | null {
  const names = [`127.0.0.1:${socket.localPort}`, `localhost:${socket.localPort}`];
  if (!names.includes(headers.host ?? '')) return `The Web UI is at http://${names[0]}, and by no other name.`;
  if (method === 'GET' || method === 'HEAD') return null;
  const { origin, 'sec-fetch-site': site } = headers;
  const isOurs =
    (origin === undefined || origin === `http://${headers.host}`) &&
    (site === undefined || site === 'same-origin' || site === 'none');
  return isOurs ? null : 'A page of another site asked for this.';
}
