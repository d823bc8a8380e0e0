import { crashPoint } from '../config/crash.ts';
import { type Log, raiseAlarm } from '../config/log.ts';
import type { CreditAnswer, CreditItem } from '../ledger/credit.ts';
import { classifyLedgerFailure } from './failures.ts';

/** `posted` and `duplicate` are the same answer: the money stands, once. */
export type CreditResult =
  | { readonly kind: 'credited'; readonly postingId: string; readonly postedAt: string }
  | { readonly kind: 'conflict'; readonly reason: 'LEDGER_CONFLICT' | 'LEDGER_REJECTED' };

/**
 * Posts the credit, or learns that it stands. Throws whenever the outcome may be unknown: call again with the same
 * item, for ever; `posted` or `duplicate` is then the answer.
 */
export async function credit(
  post: (item: CreditItem) => Promise<CreditAnswer>,
  log: Log,
  item: CreditItem,
): Promise<CreditResult> {
  crashPoint('credit.beforeTx');
  let answer: CreditAnswer;
  try {
    answer = await post(item);
  } catch (error) {
    const failure = classifyLedgerFailure(error);
    const code = (error as { code?: unknown }).code;
    if (failure === 'rejected') {
      raiseAlarm(log, 'ledger_conflict', { deposit: item.deposit, inboxId: item.inboxId, code });
      return { kind: 'conflict', reason: 'LEDGER_REJECTED' };
    }
    if (failure === 'retry and alarm') raiseAlarm(log, 'ledger_unavailable', { deposit: item.deposit, code });
    throw error;
  }
  crashPoint('credit.afterCommit');
  if (answer.outcome === 'conflict' || answer.outcome === 'unproven') {
    raiseAlarm(log, 'ledger_conflict', { deposit: item.deposit, inboxId: item.inboxId, outcome: answer.outcome });
    return { kind: 'conflict', reason: answer.outcome === 'conflict' ? 'LEDGER_CONFLICT' : 'LEDGER_REJECTED' };
  }
  return { kind: 'credited', postingId: answer.postingId!, postedAt: answer.postedAt! };
}
