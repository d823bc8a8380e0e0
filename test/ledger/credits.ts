import { expect } from 'vitest';
import { findCallback } from '../../database/queries/callbacks.ts';
import { findDeposit } from '../../database/queries/deposits.ts';
import type { CreditOutcome } from '../../ledger/credit.ts';
import { readWallet } from '../../ledger/read.ts';
import { createTestDatabase } from '../support/database.ts';
import { expectCleanBooks, type Payment } from './payments.ts';

export const outcomes = (answers: readonly { readonly outcome: string }[]) => {
  const count: Record<string, number> = {};
  for (const { outcome } of answers) count[outcome] = (count[outcome] ?? 0) + 1;
  return count;
};

/** A wallet with this one credit of 5,000, as the API shows it. */
export const shown = ({ order, data }: Payment, { postingId, postedAt }: CreditOutcome) => ({
  wallet: order.wallet,
  balance: '5000',
  postings: [
    {
      postingId,
      kind: 'credit',
      externalOrderNumber: order.externalOrderNumber,
      transactionCode: data.transactionCode,
      amount: '5000',
      postedAt,
    },
  ],
});

export const UNTOUCHED = {
  state: 'AWAITING_PAYMENT',
  late: false,
  postingId: null,
  closedAt: null,
  outcome: null,
  told: 0,
};

/** Books of a file's own that payments are credited in. */
export async function creditBooks() {
  const db = await createTestDatabase();
  const [worker, auditor] = [db.poolFor('app_worker'), db.poolFor('auditor')];

  const wallet = (of: Payment) => readWallet(auditor, of.order.wallet);
  const events = async (deposit: string) =>
    (
      await db.owner.query(
        `select e.type, b.body->'data' as data from engine.event e join engine.event_body b on b.id = e.id
          where e.subject = $1 and e.type = 'deposit.credited'`,
        [deposit],
      )
    ).rows;

  /** The state of a deposit that a posting changes. */
  async function standing({ order, inboxId }: Payment) {
    const deposit = await findDeposit(db.owner, order.externalOrderNumber);
    const callback = await findCallback(db.owner, inboxId);
    const told = await events(order.externalOrderNumber);
    return {
      state: deposit!.state,
      late: deposit!.late,
      postingId: deposit!.postingId,
      closedAt: deposit!.closedAt?.toISOString() ?? null,
      outcome: callback!.outcome,
      told: told.length,
    };
  }

  /** The books are whole, and owe every wallet the amounts that the provider released: a file's last test. */
  async function expectPaidIsOwed(): Promise<void> {
    await expectCleanBooks(auditor);
    const { rows } = await auditor.query<{ account: string; sum: string }>(
      `select split_part(code, ':', 1) as account, sum(kept)::text as sum from ledger.trial_balance group by 1 order by 1`,
    );
    const sum = Object.fromEntries(rows.map((row) => [row.account, Number(row.sum)]));
    expect(sum['clearing']).toBeGreaterThan(0);
    expect(sum).toEqual({ clearing: sum['clearing'], wallet: -sum['clearing']!, fees: 0, suspense: 0 });
  }

  return { db, worker, auditor, wallet, events, standing, expectPaidIsOwed };
}
