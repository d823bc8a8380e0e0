import { expect, test } from 'vitest';
import { listKept, markRaised, openOwnCase } from '../../database/queries/callbacks.ts';
import {
  findAnsweredLate,
  findKeptOrders,
  findOpenDeposits,
  findToRaise,
  findToTell,
  WAITING,
} from '../../database/queries/due-rows.ts';
import { findCase, findOpenCase, noteProposal, openDepositCase, parkCaseMoney } from '../../database/queries/cases.ts';
import {
  findForPlacement,
  findSettlement,
  listDeposits,
  reserve,
  viewDeposit,
} from '../../database/queries/deposits.ts';
import { openAttempt, settleAttempt } from '../../database/queries/placements.ts';
import { createPool } from '../../database/pool.ts';
import { waitsForVoucher } from '../../database/queries/seal-macs.ts';
import { creditAll } from '../../ledger/credit.ts';
import { carryOutDecision } from '../../ledger/decide.ts';
import { readWallet } from '../../ledger/read.ts';
import { payments, type Payment } from '../ledger/payments.ts';
import { order, settings } from '../support/builders.ts';
import { byHand, createTestDatabase } from '../support/database.ts';
import { insertDecision } from '../support/operators.ts';
import { analyzeByHandOnly, collectPlans, tellPlans } from './watch-plans.ts';

/**
 * Tables are analyzed at a quiet moment; then payments, orders and cases pile up, as while Temporal is away. The cost
 * of one deposit stays the same, counted in rows that a statement reads.
 */
const db = await createTestDatabase();
const CREDITED = 2_000;
const BATCH = 500;
const OPEN = 400;
/** The most rows that a statement about one deposit may read. */
const FEW = 60;

const reserveOne = async () => {
  const asked = order({ wallet: 'w-placed' });
  await reserve(db.owner, {
    ...asked,
    supportLanguage: 'en',
    payerName: Buffer.alloc(40),
    payerNameKey: 'key',
    fingerprint: Buffer.alloc(32),
    settings: settings(),
  });
  return asked.externalOrderNumber;
};
const review = ({ inboxId }: Payment) => ({ inboxId, reason: 'LATE', late: true, park: true });

const toPeople = (given: readonly Payment[]) =>
  db.owner.query(`select engine.give_to_people(id, 'LATE', '', true, false) from unnest($1::bigint[]) id`, [
    given.map(({ inboxId }) => inboxId),
  ]);

test('what one deposit costs does not grow with what is open', async () => {
  await analyzeByHandOnly(db.owner);
  const before = db.poolFor('app_worker');
  // One wallet has as many postings as all others.
  for (let n = 0; n < CREDITED; n += BATCH) {
    const change = n < CREDITED / 2 ? { order: { wallet: 'w-busy' } } : {};
    await creditAll(
      before,
      (await payments(db.owner, BATCH, change)).map(({ item }) => item),
    );
  }
  await toPeople(await payments(db.owner, BATCH));
  await byHand(db.owner, `update engine.review_case set closed_at = now(), decision = 'reject', decided_by = 'alice'`);
  await byHand(db.owner, `update engine.deposit set state = 'REJECTED', closed_at = now() where state = 'IN_REVIEW'`);
  await db.owner.query(`update engine.callback set outcome = 'posting:1' where outcome is null`);
  await db.owner.query('vacuum analyze');

  await toPeople(await payments(db.owner, OPEN));
  const waiting = await payments(db.owner, OPEN);
  await db.owner.query(
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, payer_name, fingerprint, settings)
     select 'placing-' || i, 'w-placed', 'MtcAmount', 5000, 'CNY', 'en', 'x', '', $2 from generate_series(1, $1) i`,
    [OPEN, settings()],
  );
  await db.owner.query(
    `insert into engine.callback (external_order_number, content_hash, raw, receipt, review_reason, acked)
     select 'kept-' || i, sha256(convert_to(i::text, 'UTF8')), '', 'unknown_order', 'UNKNOWN_ORDER', false from generate_series(1, $1) i`,
    [OPEN],
  );

  await tellPlans(db.owner, db.url, false);
  const seen = collectPlans();
  const [worker, api, decisions] = (['app_worker', 'app_api', 'app_decisions'] as const).map((role) =>
    createPool({ url: db.urlFor(role), role, applicationName: 'watched', max: 1 }),
  ) as [ReturnType<typeof createPool>, ReturnType<typeof createPool>, ReturnType<typeof createPool>];
  try {
    const [paid, late, own] = waiting as [Payment, Payment, Payment];
    expect(await creditAll(worker, [paid.item])).toMatchObject([{ outcome: 'posted' }]);
    await waitsForVoucher(worker, late.inboxId);
    await markRaised(api, late.inboxId);
    expect(await openDepositCase(worker, review(late))).not.toBeNull();
    const inReview = `deposit:${late.item.deposit}`;
    await parkCaseMoney(worker, inReview);
    await findCase(api, inReview);
    await findOpenCase(api, late.inboxId);
    const step = { workflowId: inReview, keep: false, toDeposit: null } as const;
    const proposed = await insertDecision(api, {
      ...step,
      step: 'propose',
      decision: 'credit',
      reason: 'compared with the statement',
      operator: 'alice',
    });
    await noteProposal(worker, inReview, proposed.id);
    const confirmed = await insertDecision(api, {
      ...step,
      step: 'confirm',
      proposal: proposed.id,
      reason: null,
      operator: 'bob',
    });
    const item = { workflowId: inReview, proposalId: proposed.id, confirmationId: confirmed.id };
    expect(await carryOutDecision(decisions, item, () => Promise.resolve(true))).toMatchObject({ kind: 'decided' });
    expect(await openOwnCase(api, own.inboxId)).not.toBeNull();
    await listKept(api, 'kept-7');
    // A page looks at ten rows for each that is asked for, at most (lists.test.ts).
    const page = [null, FEW / 10] as const;
    await findToRaise(api, { freshMs: 0, againMs: 0, atMostMs: 0 }, ...page);
    await findKeptOrders(api, 0, ...page);
    await findOpenDeposits(api, ['PLACING'], 0, ...page);
    await findOpenDeposits(api, WAITING, 0, ...page);
    await findToTell(api, ...page);
    await findAnsweredLate(api, ...page);
    await listDeposits(api, { state: ['PLACING'], limit: FEW / 2 });
    const n = await reserveOne();
    expect((await findForPlacement(worker, n))!.payerName).not.toBeNull();
    const opened = { externalOrderNumber: n, n: 1, deadlineMs: 5_000, keyId: 'key', timestampMs: Date.now() };
    expect(await openAttempt(worker, opened)).toBe(true);
    await settleAttempt(worker, n, 1, {
      kind: 'placed',
      redirectUrl: 'https://checkout.example/1',
      advertisementCode: 'AD1',
      providerTimeMs: null,
    });
    await findSettlement(worker, n);
    await viewDeposit(api, n);
    const busy = await readWallet(api, 'w-busy', FEW / 2);
    expect(busy).toMatchObject({ balance: `${(CREDITED / 2) * 5_000}`, postings: { length: FEW / 2 } });
  } finally {
    await Promise.all([worker, api, decisions].map((pool) => pool.end()));
  }
  expect(seen.length).toBeGreaterThan(100);
  const wide = seen.filter(({ rows }) => rows > FEW).map(({ rows, text }) => `${rows} rows: ${text}`);
  expect(wide).toEqual([]);
});
