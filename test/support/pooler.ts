import { connect, createServer, type AddressInfo } from 'node:net';

export interface Pooler {
  /** The same address, by way of the pooler. */
  readonly url: string;
  close(): Promise<void>;
}

/** Stands in for a pooler that ignores startup parameters: `ignores` never reach the server. */
export async function startPooler(url: string, ignores: readonly string[]): Promise<Pooler> {
  const at = new URL(url);
  const port = Number(at.port);
  const server = createServer((client) => {
    const upstream = connect(port, at.hostname);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
    upstream.pipe(client);
    client.once('data', (first: Buffer) => {
      upstream.write(withoutParameters(first, ignores));
      client.pipe(upstream);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  at.port = String((server.address() as AddressInfo).port);
  return { url: at.href, close: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** A StartupMessage: length, protocol version, then names and values, each ended by a zero, and one more zero. */
function withoutParameters(message: Buffer, ignores: readonly string[]): Buffer {
  const length = message.readInt32BE(0);
  const words = message
    .subarray(8, length - 2)
    .toString('utf8')
    .split('\0');
  const kept = words.filter((_, i) => !ignores.includes(words[i - (i % 2)]!));
  const body = Buffer.from(`${kept.join('\0')}\0\0`, 'utf8');
  const head = Buffer.alloc(8);
  head.writeInt32BE(body.length + 8, 0);
  message.copy(head, 4, 4, 8);
  return Buffer.concat([head, body, message.subarray(length)]);
}
