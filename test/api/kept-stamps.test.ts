import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { type Message, route, routeKept } from '../../intake/route-callback.ts';
import { openAttempt, settleAttempt } from '../../database/queries/placements.ts';
import { inTransaction } from '../../database/pool.ts';
import type { Order } from '../../domain/order.ts';
import { readData, readEnvelope } from '../../providers/mtpay/callback.ts';
import { reserved } from '../ledger/payments.ts';
import { order as anOrder, paid } from '../support/builders.ts';
import { byHand, createTestDatabase } from '../support/database.ts';
import { seal } from '../support/seals.ts';

/** A signature covers no content: the first content that came with a stamp owns the stamp, stored or repeated. */
const db = await createTestDatabase();
const api = db.poolFor('app_api');
const worker = db.poolFor('app_worker');
const KEY = 'k1';

function message(order: Order, timestampMs: number, change: Record<string, unknown> = {}): Message {
  const { transactionAmount, paymentPrice, ...rest } = { ...paid(order), ...change } as Record<string, unknown>;
  const data =
    JSON.stringify(rest).slice(0, -1) +
    `,"transactionAmount":${String(transactionAmount)},"paymentPrice":${String(paymentPrice)}}`;
  const raw = Buffer.from(`{"signature":"${'A'.repeat(64)}","timestamp":${timestampMs},"data":${data}}`);
  const envelope = readEnvelope(raw);
  return {
    externalOrderNumber: envelope.externalOrderNumber,
    timestampMs,
    kept: () => raw,
    reading: readData(envelope),
    keyId: KEY,
    aheadMs: timestampMs - Date.now(),
    stampedMs: timestampMs,
    receivedMs: Date.now(),
  };
}
const routed = (m: Message) => inTransaction(api, (client) => route(client, m, seal));
async function place(n: string): Promise<void> {
  await byHand(db.owner, `update engine.deposit set state = 'PLACING' where external_order_number = $1`, [n]);
  const timestampMs = Date.now() - 60_000;
  await openAttempt(worker, { externalOrderNumber: n, n: 1, deadlineMs: 5_000, keyId: KEY, timestampMs });
  await settleAttempt(worker, n, 1, {
    kind: 'placed',
    redirectUrl: 'https://pay.example/1',
    advertisementCode: 'AD',
    providerTimeMs: null,
  });
}
const rowsOf = async (n: string) =>
  (
    await db.owner.query(
      'select receipt, review_reason as reason, data is null as unreadable from engine.callback where external_order_number = $1 order by id',
      [n],
    )
  ).rows;
const code = () => randomBytes(8).toString('hex');

test('control: an order that is known. A forged content under the stamp of a genuine message is for people', async () => {
  const order = await reserved(db.owner);
  const n = order.externalOrderNumber;
  await place(n);
  const now = Date.now();
  await routed(message(order, now, { paymentPrice: '"unreadable"' }));
  await routed(message(order, now, { transactionCode: code() }));
  expect((await rowsOf(n))[1]).toMatchObject({ receipt: 'other_content', reason: 'STAMP_REUSED' });
});

test('kept messages: a forged content under an earlier stamp of a genuine message is for people too', async () => {
  const order = anOrder({ externalOrderNumber: code() });
  const n = order.externalOrderNumber;
  const now = Date.now();
  const once = { ...paid(order), paymentPrice: '"unreadable"' };
  const genuine = (at: number) => message(order, at, once);
  const same = genuine(now - 60_000);
  // The provider repeats the message that got a 503, signed afresh.
  await routed(same);
  await routed(genuine(now - 30_000));
  // A reader of the first delivery forges another content for its stamp.
  await routed(message(order, now - 60_000, { transactionCode: code() }));
  await reserved(db.owner, { externalOrderNumber: n });
  await place(n);
  await inTransaction(api, (client) => routeKept(client, n));
  expect(await rowsOf(n)).toMatchObject([
    { receipt: 'unreadable' },
    { receipt: 'other_content', reason: 'STAMP_REUSED' },
  ]);
});

test('an order that is known: the stamp of a retry stands for its content as the first stamp does', async () => {
  const order = await reserved(db.owner);
  const n = order.externalOrderNumber;
  await place(n);
  const now = Date.now();
  const once = { ...paid(order), paymentPrice: '"unreadable"' };
  const genuine = (at: number) => message(order, at, once);
  await routed(genuine(now - 60_000));
  // Its acknowledgement was lost: it comes again, signed afresh.
  await routed(genuine(now - 30_000));
  await routed(message(order, now - 30_000, { transactionCode: code() }));
  expect((await rowsOf(n))[1]).toMatchObject({ receipt: 'other_content', reason: 'STAMP_REUSED' });
});
