import { randomBytes } from 'node:crypto';
import { BlockList } from 'node:net';
import { readArgumentsOr, wholeOr } from '../../config/command-line.ts';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import { changeEndpoint } from '../../database/queries/notifications/endpoints.ts';
import { sealEndpointSecret } from '../../notifications/endpoint-secrets.ts';
import { startSender } from '../../notifications/sender.ts';
import { newSecret } from '../../notifications/signature.ts';
import { createLog } from '../../telemetry/log.ts';
import { payments, reserved } from '../ledger/payments.ts';
import { prepareDatabase } from '../model/ground.ts';
import { openQueue, pass } from '../notifications/queue.ts';
import { signedBy, startReceiver } from '../notifications/receiver.ts';
import { cloneTemplate } from '../support/database.ts';
import { until } from '../support/until.ts';

/**
 * `npm run drill:deliveries`: messages to a healthy endpoint beside one that is dead and has thousands waiting. Rounds
 * with and without the dead one take turns. Exit code 1 when the healthy one waits for it, or a signature is wrong.
 */

const USAGE = 'npm run drill:deliveries -- [--waiting 10000] [--rounds 6] [--messages 200]';
const options = {
  waiting: { type: 'string', default: '10000' },
  rounds: { type: 'string', default: '6' },
  messages: { type: 'string', default: '200' },
} as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const WAITING = wholeOr(USAGE, 'waiting', values.waiting, 1);
const ROUNDS = wholeOr(USAGE, 'rounds', values.rounds, 1);
const MESSAGES = wholeOr(USAGE, 'messages', values.messages, 1);
/** Of a healthy endpoint's p99: by how much it may be longer beside a dead one. */
const [SHARE, MS] = [1.1, 20];

const { url, stop } = await prepareDatabase();
const { db, drop } = await cloneTemplate(url);
const queue = await openQueue(db);
const ring = fixedKeyring(new Secret(randomBytes(32)));
const [healthy, dead] = [await startReceiver(), await startReceiver()];
// It takes messages and never answers, which costs a sender most.
dead.answer = () => new Promise(() => undefined);
const [secret, other] = [newSecret(), newSecret()];
const make = (to: string, of: string) =>
  queue.endpoint({ url: to, sealed: sealEndpointSecret(ring, 'shop', of), publicKey: null });
await make(healthy.url, secret);
const deadId = await make(dead.url, other);
const sender = startSender({
  pool: queue.notifier,
  secrets: ring,
  targets: { localTargets: [healthy.host, dead.host], deny: new BlockList() },
  atOnce: 64,
  log: createLog('drill', 'error'),
});
const enable = (enabled: boolean) => changeEndpoint(queue.api, queue.proof, deadId, { enabled });

try {
  await enable(false);
  for (let made = 0; made < WAITING; made += 500) {
    const all = await payments(db.owner, Math.min(500, WAITING - made));
    await db.owner.query(`update engine.deposit set state = 'AWAITING_PAYMENT' where external_order_number = any($1)`, [
      all.map(({ item }) => item.deposit),
    ]);
  }
  const startedMs = performance.now();
  await queue.publish();
  sender.wake();
  await until('all messages', () => healthy.received.length >= WAITING, 600_000);
  const seconds = (performance.now() - startedMs) / 1_000;
  const wrong = healthy.received.filter((one) => !signedBy(one, secret)).length;
  const twice = healthy.received.length - new Set(healthy.received.map(({ id }) => id)).size;
  console.log(
    `${WAITING} messages in ${seconds.toFixed(1)} s, ${Math.round(WAITING / seconds)} a second; signatures wrong: ${wrong}; sent twice: ${twice}`,
  );
  await db.owner.query('vacuum analyze');

  const alone: number[] = [];
  const beside: number[] = [];
  for (let round = 0; round < 2 * ROUNDS; round += 1) {
    const isBeside = round % 4 === 1 || round % 4 === 2;
    await enable(isBeside);
    for (let n = 0; n < MESSAGES; n += 1) {
      const { externalOrderNumber } = await reserved(db.owner);
      const from = healthy.received.length;
      const at = performance.now();
      await queue.publish();
      sender.wake();
      await until('the message', () =>
        healthy.received.slice(from).some(({ subject }) => subject === externalOrderNumber),
      );
      (isBeside ? beside : alone).push(performance.now() - at);
      // The dead one is tried again and again, and is not disabled yet.
      if (isBeside && n % 10 === 0) await pass(db.owner, '31 minutes');
    }
  }
  const [without, with_] = [quantiles(alone), quantiles(beside)];
  console.log(`healthy alone:   p50 ${without.p50.toFixed(1)} ms, p99 ${without.p99.toFixed(1)} ms`);
  console.log(
    `beside the dead: p50 ${with_.p50.toFixed(1)} ms, p99 ${with_.p99.toFixed(1)} ms, of ${WAITING} waiting; the dead one got ${dead.received.length}`,
  );
  const isHeldUp = with_.p99 > without.p99 * SHARE && with_.p99 > without.p99 + MS;
  console.log(isHeldUp ? 'the healthy endpoint is held up' : 'the healthy endpoint is not held up');
  process.exitCode = wrong > 0 || isHeldUp ? 1 : 0;
} finally {
  await dead.close();
  await sender.close();
  await healthy.close();
  await drop();
  await stop();
}

function quantiles(all: readonly number[]): { readonly p50: number; readonly p99: number } {
  const sorted = all.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
  return { p50: at(0.5), p99: at(0.99) };
}
