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
 * turns, one transaction each. The session of a client that leaves in a transaction is closed, as by PgBouncer. For one
 * client that waits for its responses.
 */
export async function startTransactionPooler(url: string): Promise<Pooler> {
  const all = new Set<Socket>();
  const login = async () => {
    const session = createClient({ connectionString: url });
    await session.connect();
    const { stream } = (session as unknown as { connection: { stream: Socket } }).connection;
    stream.removeAllListeners('data');
    all.add(stream);
    return stream;
  };
  const idle = [login(), login()];
  await Promise.all(idle);
  const server = createServer((client) => {
    let at: Promise<Socket> | null = null;
    let isGreeted = false;
    let isInTransaction = false;
    const leave = () => {
      // A statement alone: its session is idle in a moment.
      if (at === null || !isInTransaction) return;
      void at.then((session) => session.destroy());
      at = null;
      idle.push(login());
    };
    client.on('data', (sent) => {
      if (!isGreeted) {
        isGreeted = client.write(GREETING) || true;
        return;
      }
      // Terminate.
      if (sent[0] === 0x58) {
        leave();
        return void client.end();
      }
      at ??= take();
      void at.then((session) => session.write(sent));
    });
    const take = async (): Promise<Socket> => {
      const taken = idle.shift()!;
      const session = await taken;
      const answer = (bytes: Buffer) => {
        const end = bytes.subarray(-READY.length);
        if (end.subarray(0, -1).equals(READY.subarray(0, -1))) isInTransaction = !end.equals(READY);
        if (end.equals(READY)) {
          session.off('data', answer);
          idle.push(taken);
          at = null;
        }
        client.write(bytes);
      };
      return session.on('data', answer);
    };
    client.on('error', () => undefined);
    client.on('close', leave);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const there = new URL(url);
  there.port = String((server.address() as AddressInfo).port);
  return {
    url: there.href,
    async close() {
      await Promise.allSettled(idle);
      for (const stream of all) stream.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
