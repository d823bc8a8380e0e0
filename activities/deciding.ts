import type pg from 'pg';
import { crashPoint } from '../config/crash.ts';
import { type Log, raiseAlarm } from '../config/log.ts';
import { insertCase, lockForParking, recordParked } from '../database/cases.ts';
import { markInReview } from '../database/deposits.ts';
import { inTransaction } from '../database/pool.ts';
import type { ReviewReason } from '../domain/review.ts';
import { decide as decideInBooks, type DecisionAnswer, type DecisionItem, park } from '../ledger/decide.ts';
import { classifyLedgerFailure } from './failures.ts';

/** A deposit's own payment that no machine may credit. Optional fields are missing in histories of the first release. */
export interface ReviewRecord {
  readonly externalOrderNumber: string;
  readonly inboxId: string;
  readonly reason: ReviewReason;
  readonly late: boolean;
  readonly workflowId: string;
  /** The numbers behind the reason. */
  readonly detail?: string;
  /** The payment passed the judge and waits for people only: its money goes into suspense. */
  readonly park?: boolean;
}

/** `postingId` null: nothing was parked; `codeStands`: because the transaction code stands with another posting. */
export interface Parked {
  readonly postingId: string | null;
  readonly codeStands: boolean;
}

/** The case, its money in suspense where asked, and the deposit's state, in one transaction. Repeating it is harmless. */
export function recordReview(pool: pg.Pool, review: ReviewRecord): Promise<Parked> {
  return inTransaction(pool, async (client) => {
    await insertCase(client, { ...review, detail: review.detail ?? '' });
    // The books before the deposit's row: whoever locks that must not wait for the ledger afterwards.
    const parked = review.park === true ? await parkOnce(client, review.workflowId) : NOT_PARKED;
    await markInReview(client, review);
    return parked;
  });
}

/** Puts the money of a case that the API has opened into suspense. Repeating it is harmless. */
export const parkCase = (pool: pg.Pool, workflowId: string): Promise<Parked> =>
  inTransaction(pool, (client) => parkOnce(client, workflowId));

const NOT_PARKED: Parked = { postingId: null, codeStands: false };

async function parkOnce(client: pg.ClientBase, workflowId: string): Promise<Parked> {
  const found = await lockForParking(client, workflowId);
  if (found === null) return NOT_PARKED;
  if (found.parked !== null) return { postingId: found.parked, codeStands: false };
  const postingId = await park(client, found);
  if (postingId === null) return { postingId: null, codeStands: true };
  await recordParked(client, workflowId, postingId);
  return { postingId, codeStands: false };
}

/**
 * Carries out what people have decided. Throws whenever the outcome may be unknown: call again with the same item, for
 * ever. What the database refuses for the item's own sake is an answer, so that people can decide anew.
 */
export async function decide(pool: pg.Pool, log: Log, item: DecisionItem): Promise<DecisionAnswer> {
  crashPoint('decide.beforeTx');
  let answer: DecisionAnswer;
  try {
    answer = await decideInBooks(pool, item);
  } catch (error) {
    const failure = classifyLedgerFailure(error);
    const { code } = error as { code?: unknown };
    if (failure === 'retry') throw error;
    raiseAlarm(log, failure === 'rejected' ? 'ledger_conflict' : 'ledger_unavailable', { case: item.workflowId, code });
    if (failure !== 'rejected') throw error;
    return { kind: 'refused', refusal: 'not_possible', detail: `the ledger refused it (${String(code)})` };
  }
  crashPoint('decide.afterCommit');
  if (answer.kind === 'refused') {
    raiseAlarm(log, 'decision_refused', { case: item.workflowId, refusal: answer.refusal });
  }
  return answer;
}
