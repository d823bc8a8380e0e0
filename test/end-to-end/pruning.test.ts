import { expect, onTestFinished, test } from 'vitest';
import { prune } from '../../database/queries/prune.ts';
import { keyId } from '../../providers/key-names.ts';
import { inbox, postings } from '../api/evidence.ts';
import { loggedWorker } from '../api/parts.ts';
import { order, paid } from '../support/builders.ts';
import { callbackAddress, callbackBody, providerKey } from '../support/messages/callbacks.ts';
import { byHand as asAnybody } from '../support/database.ts';
import { startEngine } from '../support/engine.ts';
import { until } from '../support/until.ts';

/** Nothing needs the pruned rows: no old ticket gains value, and replays are still recognized. */
const engine = await startEngine({ env: { PRUNE_AFTER: '7d' } });
const worker = engine.db.poolFor('app_worker');
const DAY = 24 * 3_600_000;
const WEEK = 7 * DAY;

const byHand = (sql: string, values: readonly unknown[] = []) => asAnybody(engine.db.owner, sql, values);

/** A deposit that was placed twenty days ago, waits for its payment and has this listening window. */
async function placedLongAgo(listeningMs: number) {
  const { body } = await engine.create();
  const { externalOrderNumber: n } = body;
  await byHand(
    `update engine.deposit set created_at = created_at - interval '20 days', settings = settings || jsonb_build_object('listeningWindowMs', $2::bigint)
      where external_order_number = $1`,
    [n, listeningMs],
  );
  await byHand(
    `update engine.placement_attempt set started_at = started_at - interval '20 days' where external_order_number = $1`,
    [n],
  );
  return n as string;
}

const send = (n: string, data: Readonly<Record<string, unknown>>, timestampMs: number) =>
  engine.callback(callbackAddress(engine, n), callbackBody(engine, data, timestampMs));
const payment = (n: string) => ({ ...paid(order({ externalOrderNumber: n })) });
const unreadable = (n: string) => ({ ...payment(n), transactionAmount: '-1' });
const stampsOf = async (n: string) =>
  (
    await engine.db.owner.query(
      'select timestamp_ms::text as at from engine.callback_stamp where external_order_number = $1',
      [n],
    )
  ).rows;
const ownStamp = async (timestampMs: number) =>
  (await engine.db.owner.query('select from engine.own_stamp where timestamp_ms = $1', [timestampMs])).rowCount === 1;
const receipts = async (n: string) =>
  (await inbox(engine, n)).map(({ receipt, reason, attempts }) => `${receipt} ${reason} ${attempts}`);

test('an old ticket whose stamp was pruned is known by its attempt; what it came with first is counted as before', async () => {
  const n = await placedLongAgo(73 * 3_600_000);
  const ticket = Date.now() - 10 * DAY;
  const message = unreadable(n);
  expect((await send(n, message, ticket)).status).toBe(200);
  expect(await stampsOf(n)).toEqual([{ at: `${ticket}` }]);
  expect((await prune(worker, WEEK))['callback_stamp']).toBe(1);
  expect(await stampsOf(n)).toEqual([]);
  expect((await send(n, message, ticket)).status).toBe(200);
  expect((await send(n, payment(n), ticket)).status).toBe(200);
  expect(await receipts(n)).toEqual(['unreadable UNREADABLE 2', 'other_content STAMP_REUSED 1']);
  expect((await engine.deposit(n)).state).toBe('AWAITING_PAYMENT');
  expect(await postings(engine, n)).toEqual([]);
});

test('a stamp is kept while its deposit would still take a message of that age, and so is one of ours', async () => {
  const n = await placedLongAgo(30 * DAY);
  const [ticket, ours] = [Date.now() - 10 * DAY, Date.now() - 11 * DAY];
  await engine.db.owner.query('insert into engine.own_stamp values ($1, $2)', [keyId(providerKey(engine)), ours]);
  expect((await send(n, unreadable(n), ticket)).status).toBe(200);
  expect(await prune(worker, WEEK)).toMatchObject({ own_stamp: 0 });
  expect(await stampsOf(n)).toHaveLength(1);
  for (const sql of [
    `delete from engine.callback_stamp where external_order_number = '${n}'`,
    `delete from engine.own_stamp where timestamp_ms = ${ours}`,
    'delete from engine.own_stamp',
    'truncate engine.own_stamp',
    'update engine.callback_stamp set timestamp_ms = 1',
  ]) {
    await expect(engine.db.owner.query(sql), sql).rejects.toMatchObject({ code: 'P0E01' });
  }
  const data = payment(n);
  expect((await send(n, data, ticket)).status).toBe(200);
  expect((await send(n, payment(n), ours)).status).toBe(503);
  expect(await receipts(n)).toEqual(['unreadable UNREADABLE 1', 'other_content STAMP_REUSED 1']);
  expect(await postings(engine, n)).toEqual([]);

  // Its window is over: both may be pruned now, and neither is worth money.
  await byHand(
    `update engine.deposit set settings = settings || '{"listeningWindowMs": 3600000}' where external_order_number = $1`,
    [n],
  );
  await prune(worker, WEEK);
  expect([await stampsOf(n), await ownStamp(ours)]).toEqual([[], false]);
  expect((await send(n, { ...data, transactionCode: 'AT-OTHER' }, ours)).status).toBe(200);
  expect((await receipts(n)).at(-1)).toBe('stale STALE 1');
  expect(await postings(engine, n)).toEqual([]);
});

test('the stamp of a credited payment goes when its attempt says the same; its replay is counted, and credits once', async () => {
  const n = await placedLongAgo(30 * DAY);
  const ticket = Date.now() - 10 * DAY;
  const data = payment(n);
  expect((await send(n, data, ticket)).status).toBe(200);
  await engine.untilState(n, 'CREDITED');
  await byHand('update engine.callback_attempt set timestamp_ms = 1 where timestamp_ms = $1', [ticket]);
  await prune(worker, WEEK);
  expect(await stampsOf(n)).toEqual([{ at: `${ticket}` }]);
  await byHand('update engine.callback_attempt set timestamp_ms = $1 where timestamp_ms = 1', [ticket]);
  await prune(worker, WEEK);
  expect(await stampsOf(n)).toEqual([]);
  expect((await send(n, data, ticket)).status).toBe(200);
  expect((await send(n, data, ticket + 1)).status).toBe(200);
  expect((await send(n, { ...data, transactionCode: 'AT-AGAIN' }, ticket)).status).toBe(200);
  expect(await receipts(n)).toEqual(['first null 3', 'other_content STAMP_REUSED 1']);
  expect(await postings(engine, n)).toEqual(['5000']);
});

test('the worker prunes by itself; deposits that are paid meanwhile lose nothing', async () => {
  const key = keyId(providerKey(engine));
  await engine.db.owner.query(
    'insert into engine.own_stamp select $1, $2::bigint - n from generate_series(1, 12000) n on conflict do nothing',
    [key, Date.now() - 8 * DAY],
  );
  await engine.stopWorker();
  await engine.startWorker();
  const stop = new AbortController();
  // Many small batches beside it, so that every statement of a deposit meets one.
  const pruning = (async () => {
    while (!stop.signal.aborted) await prune(worker, WEEK, 50);
  })();
  onTestFinished(async () => {
    stop.abort();
    await pruning.catch(() => undefined);
  });
  const created = await Promise.all(Array.from({ length: 8 }, () => engine.create()));
  await Promise.all(
    created.map(async ({ body }) => {
      await engine.pay(body.externalOrderNumber);
      await engine.untilState(body.externalOrderNumber, 'CREDITED');
      expect(await postings(engine, body.externalOrderNumber)).toEqual(['5000']);
      expect(await stampsOf(body.externalOrderNumber)).toHaveLength(1);
    }),
  );
  const old = async () =>
    (await engine.db.owner.query('select from engine.own_stamp where timestamp_ms < $1', [Date.now() - WEEK])).rowCount;
  await until('the old stamps to be gone', async () => (await old()) === 0);
  stop.abort();
  await pruning;
  await engine.auditLedger();
});

test('what its stamp refused is no money without it: a deposit that has ended books nothing of that age', async () => {
  const n = await placedLongAgo(30 * DAY);
  const [ticket, ours] = [Date.now() - 10 * DAY, Date.now() - 11 * DAY];
  for (let i = 0; i <= 20; i += 1) {
    expect((await send(n, { ...unreadable(n), transactionCode: `AT-${i}` }, ticket + i)).status).toBe(200);
  }
  await engine.db.owner.query('insert into engine.own_stamp values ($1, $2)', [keyId(providerKey(engine)), ours]);
  await byHand(`update engine.deposit set state = 'UNPAID', closed_at = now() where external_order_number = $1`, [n]);
  const data = payment(n);
  expect((await send(n, data, ours)).status).toBe(503);
  await prune(worker, WEEK);
  expect([await stampsOf(n), await ownStamp(ours)]).toEqual([[], false]);
  expect((await send(n, data, ours)).status).toBe(200);
  // The last unreadable message left only its stamp.
  expect((await send(n, payment(n), ticket + 20)).status).toBe(200);
  expect((await receipts(n)).slice(20)).toEqual(['stale STALE 1', 'stale STALE 1']);
  await until('both to be cases', async () => (await inbox(engine, n)).every(({ outcome }) => outcome !== null));
  const booked = 'select from ledger.transaction where deposit = $1';
  expect((await engine.db.owner.query(booked, [n])).rowCount).toBe(0);
});

test('where nothing archives the worker itself tells of a history that will be lost', async () => {
  const { body } = await engine.create();
  const n = body.externalOrderNumber as string;
  await engine.pay(n);
  await engine.untilState(n, 'CREDITED');
  expect(
    await engine.client.schedule
      .getHandle('archive')
      .describe()
      .catch(() => 'none'),
  ).toBe('none');
  await byHand(`update engine.archive_due set closed_at = now() - interval '16 days'`);
  const worker = await loggedWorker(engine);
  const told = await until('the alarm', async () => worker.fields('history_at_risk')[0]);
  expect(told).toMatchObject({ workflowId: expect.stringMatching(/^(deposit|review):/) });
});
