import type { DepositView } from '../../database/queries/deposits.ts';
import type { Credit } from '../../domain/credits.ts';
import { isFinal } from '../../domain/deposit.ts';
import type { CreditAnswer, DepositAnswer } from '../../contract/answers.ts';
import { refusalOf } from '../../intake/refusal.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

export interface WebUi {
  readonly url: string | undefined;
  readonly namespace: string;
}

const time = (at: Date | null): string | null => at?.toISOString() ?? null;

export const showCredit = ({ at, reversed, ...credit }: Credit): CreditAnswer => ({
  ...credit,
  at: at.toISOString(),
  reversed: reversed === null ? null : { ...reversed, at: reversed.at.toISOString() },
});

/** The deposit in the form of the contract: decimals canonical, times RFC 3339 UTC, null where nothing is known. */
export function showDeposit(deposit: DepositView, webUi: WebUi): DepositAnswer {
  const workflowId = depositWorkflowId(deposit.externalOrderNumber);
  return {
    externalOrderNumber: deposit.externalOrderNumber,
    wallet: deposit.wallet,
    state: deposit.state,
    final: isFinal(deposit.state),
    refusal: refusalOf(deposit),
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
    standing: deposit.standing,
    creditedAmount: deposit.creditedAmount,
    credits: deposit.credits.map(showCredit),
    otherPayments: deposit.otherPayments.map((other) => ({ ...other, openedAt: other.openedAt.toISOString() })),
    // A stored callback is acknowledged, so no further retry is expected.
    attempts: { count: deposit.attempts.count, lastAt: time(deposit.attempts.lastAt), nextExpectedAt: null },
    // Present only while the money is out of the wallet. The deposit stays CREDITED, with a second posting.
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
