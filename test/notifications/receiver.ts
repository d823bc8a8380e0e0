import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHmac } from 'node:crypto';

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly id: string;
  /** Of the event’s deposit. */
  readonly subject: string;
  readonly sequence: number;
}

export interface Receiver {
  /** `host:port` */
  readonly host: string;
  readonly url: string;
  readonly received: Received[];
  /** Returns the status of the answer, maybe with headers; or a promise of it; null: it closes the connection. */
  answer: (message: Received) => Promise<Reply> | Reply;
  /** At most so many were under way at once. */
  readonly most: number;
  close(): Promise<void>;
}
type Reply = number | null | { readonly status: number; readonly headers: Record<string, string> };

/** A merchant’s endpoint on loopback. */
export async function startReceiver(): Promise<Receiver> {
  let [now, most] = [0, 0];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      now += 1;
      most = Math.max(most, now);
      const text = Buffer.concat(chunks).toString();
      const body = JSON.parse(text) as { id: string; data: { externalOrderNumber?: string; sequence: number } };
      const message = {
        headers: request.headers,
        text,
        id: body.id,
        subject: body.data.externalOrderNumber ?? '',
        sequence: body.data.sequence,
      };
      receiver.received.push(message);
      void Promise.resolve(receiver.answer(message)).then((reply) => {
        now -= 1;
        if (reply === null) return request.socket.destroy();
        const { status, headers } = typeof reply === 'number' ? { status: reply, headers: {} } : reply;
        return response.writeHead(status, headers).end('noted');
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const receiver = {
    host,
    url: `http://${host}/hook?token=1`,
    received: [] as Received[],
    answer: (): Promise<Reply> | Reply => 204,
    get most() {
      return most;
    },
    close: () => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  } as Receiver;
  return receiver;
}

/** The signatures of a message that this secret made, by the specification. */
export const signedBy = ({ headers, text }: Received, secret: string): boolean => {
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${text}`;
  const mac = createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64'))
    .update(signed)
    .digest('base64');
  return String(headers['webhook-signature']).split(' ').includes(`v1,${mac}`);
};
