import { createServer, type AddressInfo, type Socket } from 'node:net';
import { createClient } from '../../database/pool.ts';
import type { Pooler } from './pooler.ts';

const READY = Buffer.from('Z\0\0\0\u0005I', 'latin1');
const GREETING = Buffer.concat([
  Buffer.from('R\0\0\0\u0008\0\0\0\0', 'latin1'),
  // A process and a secret of its own, as every pooler has to make up.
  Buffer.from('K\0\0\0\u000c\u007f\u0001\u0002\u0003\0\0\0\u0001', 'latin1'),
  READY,
]);

/**
 * Stands in for a pooler in transaction mode without support for prepared statements: two sessions of the server take
 * turns, one transaction each. For one client that waits for its responses.
 */
export async function startTransactionPooler(url: string): Promise<Pooler> {
  const logins = await Promise.all(
    Array.from({ length: 2 }, async () => {
      const login = createClient({ connectionString: url });
      await login.connect();
      const { stream } = (login as unknown as { connection: { stream: Socket } }).connection;
      stream.removeAllListeners('data');
      return stream;
    }),
  );
  const idle = [...logins];
  const server = createServer((client) => {
    let at: Socket | null = null;
    let isGreeted = false;
    client.on('data', (sent) => {
      if (!isGreeted) {
        isGreeted = client.write(GREETING) || true;
        return;
      }
      // Terminate: the sessions go on without this client.
      if (sent[0] === 0x58) return void client.end();
      at ??= take();
      at.write(sent);
    });
    const take = (): Socket => {
      const session = idle.shift()!;
      const answer = (bytes: Buffer) => {
        if (bytes.subarray(-READY.length).equals(READY)) {
          session.off('data', answer);
          idle.push(session);
          at = null;
        }
        client.write(bytes);
      };
      return session.on('data', answer);
    };
    client.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const there = new URL(url);
  there.port = String((server.address() as AddressInfo).port);
  return {
    url: there.href,
    async close() {
      for (const stream of logins) stream.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
