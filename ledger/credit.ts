import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { formatUnits, known, parseFiat, parseMtc, unitPrice } from '../domain/money.ts';
import type { Currency } from '../domain/order.ts';
import { type Batcher, type BatcherOptions, createBatcher } from './batcher.ts';

/** One automatic credit. Every fact stands in the activity's input, so that a retry cannot differ. */
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
  /** As the workflow was told; compared with the inbox, because it decides `late`. Absent in histories of before. */
  readonly receivedAt?: string;
  /** The workflow has reported a message without a payment already. */
  readonly reported?: boolean;
}

/**
 * `posted`: written now. `duplicate`: the same facts stood already; id and time name that posting. `conflict`: the key,
 * the code or the deposit stands with other facts. `unproven`: the item differs from its inbox row or deposit, or people
 * have the payment in hand; nothing was posted. `busy`: the deposit's row or the callback's is locked by somebody else;
 * nothing was posted, and nobody waited for it. `unsealed`: its inbox row bears no seal of the API's and never reached the
 * books.
 */
export interface CreditOutcome {
  readonly outcome: 'posted' | 'duplicate' | 'conflict' | 'unproven' | 'busy' | 'unsealed';
  readonly postingId: string | null;
  readonly postedAt: string | null;
}

/**
 * Posts a batch by `engine.credit`; one answer per item, in order. What is posted is what inbox row and deposit say: an item
 * that says otherwise is `unproven`, and so is what the judge would not credit (domain/judge.ts). Database errors pass
 * through: see docs/reference/ledger.md for what each means.
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
  const result = await pool.query<{ outcome: CreditOutcome['outcome']; id: string | null; posted_at: Date | null }>(
    'select outcome, id, posted_at from engine.credit($1) order by ord',
    [JSON.stringify(rows)],
  );
  return result.rows.map((row) => ({
    outcome: row.outcome,
    postingId: row.id,
    postedAt: row.posted_at?.toISOString() ?? null,
  }));
}

/** The unit price as it is booked. Throws RangeError when the amounts make none. */
export const priceOf = (item: Pick<CreditItem, 'paymentPrice' | 'amount'>): string =>
  formatUnits(
    unitPrice(known(parseFiat(item.paymentPrice), 'paymentPrice'), known(parseMtc(item.amount), 'transactionAmount')),
  );

/** A held row is let go within moments (a repeat is being counted), or a person holds it: then the activity comes again. */
const BUSY_PAUSES_MS = [10, 20, 50, 100, 200, 400];

/** One batcher per process. */
export function createCreditor(pool: pg.Pool, options?: BatcherOptions): Batcher<CreditItem, CreditOutcome> {
  const batched = createBatcher((items: readonly CreditItem[]) => creditAll(pool, items), options);
  const credit = async (item: CreditItem) => {
    // Amounts that make no price are refused before they are queued: inside a batch they would take it down whole.
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
