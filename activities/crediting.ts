import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import { isSamePayment } from '../database/queries/callbacks.ts';
import { isPeoplesPosting } from '../database/queries/decisions.ts';
import { waitsForVoucher } from '../database/queries/seal-macs.ts';
import { findSealed, isGenuine, type SealedRow, type SealTrust, verdictOn } from '../providers/sealed-rows.ts';
import type { Payment } from '../domain/order.ts';
import { type Batcher, createBatcher } from '../ledger/batcher.ts';
import { createCreditor, type CreditOutcome, type CreditItem } from '../ledger/credit.ts';
import { isRowId, type UnboundAnswer, unboundOf } from './bound-payment.ts';
import { classifyLedgerFailure, RowBusy } from './failures.ts';

/** `credited` covers the outcomes `posted` and `duplicate`: the credit exists, once. */
export type CreditResult =
  | { readonly kind: 'credited'; readonly postingId: string; readonly postedAt: string }
  | {
      readonly kind: 'conflict';
      readonly reason: 'LEDGER_CONFLICT' | 'LEDGER_REJECTED' | 'OTHER_PAYMENT_CREDITED' | 'SEAL_BROKEN';
      /** What the ledger refused, for LEDGER_REJECTED; absent in older histories. */
      readonly detail?: string;
    }
  | UnboundAnswer;

export interface CreditDependencies {
  readonly pool: pg.Pool;
  readonly post: (item: CreditItem) => Promise<CreditOutcome>;
  readonly log: Log;
}

/**
 * Posts the credit, or finds that it exists. Throws whenever the outcome may be unknown: retry with the same item,
 * without a limit, until the outcome is `posted` or `duplicate`.
 */
export async function credit(deps: CreditDependencies, item: CreditItem): Promise<CreditResult> {
  const { log } = deps;
  crashPoint('credit.beforeTx');
  // An item that the database could not parse would fail its whole batch.
  if (!isRowId(item.inboxId) || Number.isNaN(Date.parse(item.receivedAt ?? '1970-01-01')))
    return unproven(deps, item, UNPROVEN);
  let answer: CreditOutcome;
  try {
    answer = await deps.post(item);
  } catch (error) {
    const failure = classifyLedgerFailure(error);
    const code = (error as { code?: unknown }).code;
    if (failure === 'rejected') return unproven(deps, item, refusalWith(code), code);
    if (failure === 'retry and alarm') raiseAlarm(log, 'ledger_unavailable', { deposit: item.deposit, code });
    throw error;
  }
  if (answer.outcome === 'busy') {
    const { deposit, inboxId } = item;
    if (await waitsForVoucher(deps.pool, inboxId)) raiseAlarm(log, 'payment_not_vouched', { deposit, inboxId });
    throw new RowBusy(`a row of deposit ${deposit} is locked, or nobody vouches for it`);
  }
  crashPoint('credit.afterCommit');
  if (answer.outcome === 'unproven') return unproven(deps, item, UNPROVEN);
  if (answer.outcome === 'unsealed') return unsealed(deps, item);
  if (answer.outcome === 'conflict') {
    raiseAlarm(log, 'ledger_conflict', { deposit: item.deposit, inboxId: item.inboxId, outcome: answer.outcome });
    const byPeople = answer.postingId !== null && (await isPeoplesPosting(deps.pool, answer.postingId));
    return { kind: 'conflict', reason: byPeople ? 'OTHER_PAYMENT_CREDITED' : 'LEDGER_CONFLICT' };
  }
  return { kind: 'credited', postingId: answer.postingId!, postedAt: answer.postedAt! };
}

const UNPROVEN =
  'the ledger found no proof: the inbox row or the deposit has other facts, or the payment has a case already';

/** Without the database's message, which may hold values. */
const refusalWith = (code: unknown): string =>
  `the ledger refused the posting${typeof code === 'string' ? ` (SQLSTATE ${code})` : ''}: compare posting and inbox row`;

/** The item is not the payment that the database binds; or it is, and the ledger refuses it: then it becomes a case. */
async function unproven(
  deps: CreditDependencies,
  item: CreditItem,
  detail: string,
  code?: unknown,
): Promise<CreditResult> {
  const { deposit, inboxId, reported } = item;
  const found = await unboundOf(
    deps.pool,
    deps.log,
    { externalOrderNumber: deposit, inboxId, reported },
    paymentIn(item),
  );
  if (found !== null) return found;
  raiseAlarm(deps.log, 'ledger_conflict', { deposit, inboxId, outcome: 'unproven', code });
  return { kind: 'conflict', reason: 'LEDGER_REJECTED', detail };
}

/** The row is the named one but has no valid seal: it becomes a case, unless the deposit is settled. */
async function unsealed(deps: CreditDependencies, item: CreditItem): Promise<CreditResult> {
  const { deposit, inboxId, reported } = item;
  const about = { externalOrderNumber: deposit, inboxId, reported };
  const found = await unboundOf(deps.pool, deps.log, about, paymentIn(item));
  if (found !== null) return found;
  raiseAlarm(deps.log, 'callback_not_sealed', { deposit, inboxId });
  return { kind: 'conflict', reason: 'SEAL_BROKEN' };
}

/**
 * Posts credits for genuine inbox rows only: rows are read and their seals verified in batches of their own, while
 * others are posted. The posted facts are the verified ones, even if the row changes in between.
 */
export function createGenuineCreditor(pool: pg.Pool, sealTrust: () => SealTrust): Batcher<CreditItem, CreditOutcome> {
  const faultIn = createBatcher(async (items: readonly CreditItem[]) => {
    const rows = await findSealed(
      pool,
      items.map(({ inboxId }) => inboxId),
    );
    return items.map((item) => faultOf(sealTrust(), rows.get(item.inboxId), item));
  });
  const creditor = createCreditor(pool);
  const credit = async (item: CreditItem) => {
    const outcome = await faultIn(item);
    return outcome === null ? creditor(item) : { outcome, postingId: null, postedAt: null };
  };
  return Object.assign(credit, {
    drain: async () => {
      await faultIn.drain();
      await creditor.drain();
    },
  });
}

function faultOf(trust: SealTrust, row: SealedRow | undefined, item: CreditItem): 'unsealed' | 'unproven' | null {
  if (row === undefined) return 'unproven';
  if (!isGenuine(verdictOn(trust, row))) return 'unsealed';
  const { data } = row;
  const isSaid =
    data?.externalOrderNumber === item.deposit &&
    data.transactionCode === item.transactionCode &&
    data.transactionAmount === item.amount &&
    data.currencyCode === item.currencyCode &&
    data.paymentPrice === item.paymentPrice;
  return isSaid ? null : 'unproven';
}

/** Older histories do not hold the time of receipt. */
const paymentIn = (item: CreditItem) => (bound: Payment) =>
  isSamePayment(bound, {
    inboxId: item.inboxId,
    transactionCode: item.transactionCode,
    transactionAmount: item.amount,
    currencyCode: item.currencyCode,
    paymentPrice: item.paymentPrice,
    receivedAt: item.receivedAt ?? bound.receivedAt,
  });
