import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { formatUnits, known, parseFiat, parseMtc, unitPrice } from '../domain/money.ts';
import type { Currency } from '../domain/order.ts';
import { execute, statement } from '../database/statements.ts';
import { type Batcher, type BatcherOptions, createBatcher } from './batcher.ts';

/** One automatic credit. Every fact is in the activity's input, so that every retry has the same. */
export interface CreditItem {
  readonly inboxId: string;
  readonly deposit: string;
  readonly wallet: string;
  readonly transactionCode: string;
  readonly amount: string;
  readonly currencyCode: Currency;
  readonly paymentPrice: string;
  readonly late: boolean;
  readonly workflowId: string;
  /**
   * RFC 3339, from the workflow's signal; compared with the inbox, because it decides `late`. Absent in older
   * histories.
   */
  readonly receivedAt?: string;
  /** The alarm about a message without a payment was raised already. */
  readonly reported?: boolean;
}

/**
 * The outcome of one item:
 * - `posted`: written now.
 * - `duplicate`: the same facts were posted before; id and time are those of that posting.
 * - `conflict`: the key, the code or the deposit was posted with other facts.
 * - `unproven`: the item differs from its inbox row or deposit, or its payment needs a decision; nothing was posted.
 * - `busy`: another transaction has locked the row of the deposit or of the callback; nothing was posted, without
 *   waiting.
 * - `unsealed`: its inbox row has no valid seal of the API; it was not sent to the database.
 */
export interface CreditOutcome {
  readonly outcome: 'posted' | 'duplicate' | 'conflict' | 'unproven' | 'busy' | 'unsealed';
  readonly postingId: string | null;
  readonly postedAt: string | null;
}

const CREDIT = statement('select outcome, id, posted_at from engine.credit($1) order by ord');

/**
 * Posts a batch by `engine.credit`; one answer per item, in order. The posted facts are those of inbox row and deposit:
 * an item with other facts is `unproven`, and so is one that the judge would not credit (domain/judge.ts). Database
 * errors pass through: docs/reference/ledger.md explains each.
 */
export async function creditAll(pool: pg.Pool, items: readonly CreditItem[]): Promise<CreditOutcome[]> {
  const rows = items.map((item) => ({
    inbox_id: item.inboxId,
    deposit: item.deposit,
    wallet: item.wallet,
    provider_code: item.transactionCode,
    amount: item.amount,
    fiat: item.currencyCode,
    fiat_amount: item.paymentPrice,
    late: item.late,
    received_at: item.receivedAt ?? null,
  }));
  const result = await execute<{ outcome: CreditOutcome['outcome']; id: string | null; posted_at: Date | null }>(
    pool,
    CREDIT,
    [JSON.stringify(rows)],
  );
  return result.rows.map((row) => ({
    outcome: row.outcome,
    postingId: row.id,
    postedAt: row.posted_at?.toISOString() ?? null,
  }));
}

/** The booked unit price. Throws RangeError when the amounts have none. */
export const priceOf = (item: Pick<CreditItem, 'paymentPrice' | 'amount'>): string =>
  formatUnits(
    unitPrice(known(parseFiat(item.paymentPrice), 'paymentPrice'), known(parseMtc(item.amount), 'transactionAmount')),
  );

/**
 * A locked row is usually released within moments (a repeat is being counted); if a person's decision holds it, the
 * activity is retried.
 */
const BUSY_PAUSES_MS = [10, 20, 50, 100, 200, 400];

/** One batcher per process. */
export function createCreditor(pool: pg.Pool, options?: BatcherOptions): Batcher<CreditItem, CreditOutcome> {
  const batched = createBatcher((items: readonly CreditItem[]) => creditAll(pool, items), options);
  const credit = async (item: CreditItem) => {
    // Amounts without a unit price are refused before they are queued: inside a batch they would fail all of it.
    priceOf(item);
    for (const pauseMs of BUSY_PAUSES_MS) {
      const answer = await batched(item);
      if (answer.outcome !== 'busy') return answer;
      await sleep(pauseMs);
    }
    return batched(item);
  };
  return Object.assign(credit, { drain: () => batched.drain() });
}
