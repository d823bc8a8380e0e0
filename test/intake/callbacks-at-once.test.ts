import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import { createPool, inTransaction } from '../../database/pool.ts';
import { insertCallback } from '../../database/queries/callbacks.ts';
import type { CallbackData, Order } from '../../domain/order.ts';
import { createReceiver } from '../../intake/receive-callback.ts';
import { callbackUrl, capabilityKey } from '../../providers/callback-address.ts';
import { createProviderClock } from '../../providers/clock.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { named, sign } from '../../providers/mtpay/signature.ts';
import { PROVIDERS } from '../../providers/providers.ts';
import { memoryLog, raised } from '../api/evidence.ts';
import { reserved, sentBefore } from '../ledger/payments.ts';
import { order, paid } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { seal, sealed } from '../support/seals.ts';
import { until } from '../support/until.ts';

/** Concurrent callbacks in their one round trip: every response equals that of the longer look. */

const db = await createTestDatabase();
const capability = capabilityKey(new Secret(randomBytes(32)));
const mtpay = named({ accessKey: new Secret(randomBytes(32)), secretKey: new Secret(randomBytes(32)) });
let last = Date.now() - 600_000;
const newStamp = () => (last += 1);

function startReceiver(max = 20) {
  const pool = createPool({ url: db.urlFor('app_api'), applicationName: `api-${randomBytes(3).toString('hex')}`, max });
  onTestFinished(() => pool.end().catch(() => undefined));
  const { log, lines } = memoryLog();
  const receiver = createReceiver({
    pool,
    provider: PROVIDERS.mtpay.createCallbacks(fixedKeyring(mtpay)),
    capabilities: fixedKeyring(capability),
    clock: createProviderClock(pool),
    seal,
    signal: () => undefined,
    log,
  });
  const arrives = (asked: Order, at = newStamp(), change: Partial<CallbackData> = {}) => {
    const { transactionAmount, paymentPrice, ...data } = { ...paid(asked), ...change };
    const amounts = `"transactionAmount":${transactionAmount},"paymentPrice":${paymentPrice}`;
    const raw = `{"signature":"${sign(mtpay, at)}","timestamp":${at},"data":${JSON.stringify(data).slice(0, -1)},${amounts}}}`;
    const [kid, token] = callbackUrl('', capability, asked.externalOrderNumber).split('/').slice(-2) as [
      string,
      string,
    ];
    return receiver.receive({ kid, token, raw: Buffer.from(raw) });
  };
  return { pool, arrives, alarms: () => raised(log, lines).map(({ alarm }) => alarm) };
}
type Api = ReturnType<typeof startReceiver>;

const waitsForLock = (api: Api) =>
  until('it to wait for a lock', async () => {
    const { rows } = await db.owner.query(
      `select from pg_stat_activity where application_name = $1 and wait_event_type = 'Lock'`,
      [api.pool.options.application_name],
    );
    return rows.length > 0 || null;
  });

const inbox = async (n: string) =>
  (
    await db.owner.query(
      `select c.receipt, c.acked, c.attempts, d.bound_callback = c.id as bound from engine.callback c
         left join engine.deposit d using (external_order_number) where c.external_order_number = $1 order by c.id`,
      [n],
    )
  ).rows;

describe('one look', () => {
  it('binds a message that another process keeps as one of an unknown order, when the order turns up meanwhile', async () => {
    const api = startReceiver();
    const asked = order();
    const n = asked.externalOrderNumber;
    const data = paid(asked);
    const at = newStamp();
    const stamp = { keyId: mtpay.id, timestampMs: at };
    const row = {
      externalOrderNumber: n,
      contentHash: contentHash(data),
      data,
      raw: Buffer.from('{}'),
      receipt: 'unknown_order' as const,
      reviewReason: 'UNKNOWN_ORDER' as const,
    };
    const other = createPool({ url: db.urlFor('app_api'), applicationName: 'other', max: 1 });
    onTestFinished(() => other.end());
    let answer: Promise<string>;
    await inTransaction(other, async (client) => {
      await insertCallback(client, sealed(row, stamp), stamp);
      await reserved(db.owner, asked);
      await sentBefore(db.owner, n);
      answer = api.arrives(asked, at, { ...data });
      void answer.catch(() => undefined);
      await waitsForLock(api);
    });
    expect(await answer!).toBe('ack');
    expect(await inbox(n)).toEqual([{ receipt: 'first', acked: true, attempts: 2, bound: true }]);
    expect(api.alarms()).toEqual([]);
  });
});

it('more identical messages at once than the database counts are stored all the same', async () => {
  const api = startReceiver();
  // All ask for the clock before they wait for each other.
  api.pool.options.connectionTimeoutMillis = 50_000;
  const asked = await reserved(db.owner);
  const n = asked.externalOrderNumber;
  await sentBefore(db.owner, n);
  const [at, data] = [newStamp(), paid(asked)];
  const others: Promise<string>[] = [];
  await inTransaction(db.owner, async (client) => {
    await client.query('select from engine.deposit where external_order_number = $1 for update', [n]);
    const first = api.arrives(asked, at, data);
    await waitsForLock(api);
    for (let i = 0; i < 1_500; i += 1) others.push(api.arrives(asked, at, data));
    await expect(first).rejects.toMatchObject({ code: '55P03' });
  });
  expect(new Set(await Promise.all(others))).toEqual(new Set(['ack']));
  expect(await inbox(n)).toEqual([{ receipt: 'first', acked: true, attempts: 1_000, bound: true }]);
});
