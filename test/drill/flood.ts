import { connect, type Socket } from 'node:net';
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ask, seed, told } from './isolation.ts';
import { openStage, type Stage } from './stage.ts';

/**
 * `node --import tsx test/drill/flood.ts`: idle connections to the public listener that come back as soon as they are
 * closed, and refused callbacks at a steady rate, while the provider delivers on fresh connections and merchants read.
 * Loopback only; stops by itself. Exit code 1 unless each delivery is acknowledged within its first three tries.
 */

const { values } = parseArgs({
  options: {
    sockets: { type: 'string', default: '6000' },
    refusals: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '60' },
  },
});
const [sockets, refusals, seconds] = [Number(values.sockets), Number(values.refusals), Number(values.seconds)];
const TRIES = 3;
const EVERY_MS = 1_000;
/** Of the provider's schedule: its second try comes after a minute; here after this. */
const RETRY_AFTER_MS = 1_000;
/** One address has some 28,000 ports for one server; loopback has many addresses. */
const ADDRESSES = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'];
const COME_BACK_MS = 1_000;

const stage = await openStage({ programs: ['api'] });
try {
  await flood(stage);
} finally {
  await stage.stop();
}
process.exit();

async function flood(stage: Stage): Promise<void> {
  const { callbackUrl, apiUrl, apiKey } = stage;
  let end = Number.POSITIVE_INFINITY;
  const isOver = () => performance.now() > end;
  await seed(
    stage,
    Array.from({ length: seconds + 10 }, (_, i) => `flood-${i}`),
  );
  const port = Number(new URL(callbackUrl).port);
  let closed = 0;
  const open = new Set<Socket>();
  const idle = (i: number) => {
    if (isOver()) return;
    const socket = connect({ port, host: '127.0.0.1', localAddress: ADDRESSES[i % ADDRESSES.length] });
    open.add(socket);
    // Whoever reads nothing does not notice that the other side has closed.
    socket.resume();
    socket
      .on('error', () => undefined)
      .once('close', () => {
        open.delete(socket);
        closed += 1;
        setTimeout(() => idle(i), COME_BACK_MS);
      });
  };
  for (let i = 0; i < sockets; i += 1) {
    idle(i);
    if (i % 200 === 199) await sleep(10);
  }

  end = performance.now() + seconds * 1_000;
  closed = 0;
  const fresh = () => new Agent({ keepAlive: false });
  const json = { 'content-type': 'application/json' };
  const good = stage.callbackOf('flood-0');
  const forged = good.body.replace(/"signature":"..../, '"signature":"0000');
  const kept = new Agent({ keepAlive: true, maxSockets: 64 });
  const refused: { status: number; ms: number }[] = [];
  const refusing = (async () => {
    const batch = Math.max(1, Math.round(refusals / 20));
    const begun: Promise<void>[] = [];
    while (!isOver()) {
      for (let i = 0; i < batch; i += 1) {
        begun.push(
          ask(good.url, { method: 'POST', headers: json, body: forged }, kept).then((one) => void refused.push(one)),
        );
      }
      await sleep(50);
    }
    await Promise.all(begun);
  })();

  const reads: { status: number; ms: number }[] = [];
  const reading = (async () => {
    while (!isOver()) {
      reads.push(await ask(`${apiUrl}/v1/deposits/flood-1`, { headers: { authorization: `Bearer ${apiKey}` } }));
      await sleep(20);
    }
  })();

  const tries: number[] = [];
  const acknowledged: { status: number; ms: number }[] = [];
  const delivering: Promise<void>[] = [];
  for (let n = 1; !isOver(); n += 1) {
    delivering.push(deliver(`flood-${n}`));
    await sleep(EVERY_MS);
  }
  async function deliver(order: string): Promise<void> {
    for (let nth = 1; nth <= TRIES; nth += 1) {
      const message = stage.callbackOf(order);
      const heard = await ask(message.url, { method: 'POST', headers: json, body: message.body }, fresh());
      if (heard.status === 200) {
        tries.push(nth);
        acknowledged.push(heard);
        return;
      }
      await sleep(RETRY_AFTER_MS);
    }
    tries.push(0);
  }
  await Promise.all([...delivering, refusing, reading]);
  for (const socket of open) socket.destroy();
  const by = (nth: number) => tries.filter((one) => one === nth).length;
  console.log(
    `${sockets} idle connections, closed and back ${closed} times; ${(refused.length / seconds).toFixed(0)} refusals a second, for ${seconds} s`,
  );
  console.log(
    `  genuine    ${tries.length}: at the first try ${by(1)}, second ${by(2)}, third ${by(3)}, not at all ${by(0)}`,
  );
  console.log(`             ${told(acknowledged)}`);
  console.log(`  private    ${told(reads)}`);
  console.log(`  refused    ${told(refused)}`);
  process.exitCode = by(0) === 0 ? 0 : 1;
}
