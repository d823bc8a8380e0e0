import type { DepositView } from '../database/deposits.ts';
import type { DepositAnswer } from './answers.ts';
import { depositWorkflowId } from '../workflows/messages.ts';

export interface WebUi {
  readonly url: string | undefined;
  readonly namespace: string;
}

const time = (at: Date | null): string | null => at?.toISOString() ?? null;

/** The deposit as the contract says: decimals canonical, times RFC 3339 UTC, null where nothing is known. */
export function showDeposit(deposit: DepositView, webUi: WebUi): DepositAnswer {
  const workflowId = depositWorkflowId(deposit.externalOrderNumber);
  return {
    externalOrderNumber: deposit.externalOrderNumber,
    wallet: deposit.wallet,
    state: deposit.state,
    late: deposit.late,
    buyCoinMode: deposit.buyCoinMode,
    mtcAmount: deposit.mtcAmount,
    totalPrice: deposit.totalPrice,
    currencyCode: deposit.currencyCode,
    redirectUrl: deposit.redirectUrl,
    advertisementCode: deposit.advertisementCode,
    createdAt: deposit.createdAt.toISOString(),
    expiresAt: time(deposit.expiresAt),
    listeningUntil: time(deposit.listeningUntil),
    transactionCode: deposit.transactionCode,
    creditedAmount: deposit.creditedAmount,
    // What is stored is acknowledged, so no further retry is expected.
    attempts: { count: deposit.attempts.count, lastAt: time(deposit.attempts.lastAt), nextExpectedAt: null },
    // Only where people took the credit back: it stays CREDITED, with a second posting.
    ...(deposit.reversal === null
      ? {}
      : {
          reversal: {
            postingId: deposit.reversal.postingId,
            at: deposit.reversal.at.toISOString(),
            kept: deposit.reversal.kept,
          },
        }),
    review: deposit.reviewReason === null ? null : { reason: deposit.reviewReason },
    workflowId,
    webUi:
      webUi.url === undefined
        ? null
        : `${webUi.url}/namespaces/${webUi.namespace}/workflows/${encodeURIComponent(workflowId)}`,
  };
}
