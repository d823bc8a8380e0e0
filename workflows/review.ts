import { allHandlersFinished, CancellationScope, condition, setHandler } from '@temporalio/workflow';
import type { Decision, Standing } from '../domain/decision.ts';
import { judge } from '../domain/judge.ts';
import type { ReviewReason } from '../domain/review.ts';
import { hearPeople } from './decisions.ts';
import { park } from './activity-calls.ts';
import { lookAgain, type ReviewInput } from './messages.ts';
import { announceDecision, showReviewDetails } from './web-ui.ts';
import { caseWorkflowId } from '../domain/ids.ts';

/** The result of a case's workflow. */
export interface ReviewResult {
  readonly decision: Decision;
  readonly postingId: string | null;
  readonly decidedBy: string;
}

/**
 * Holds the case of an authentic callback that no machine may credit, or of a doubted credit, until operators have
 * decided. Like a deposit it cannot be canceled.
 */
export async function review(input: ReviewInput): Promise<ReviewResult> {
  return CancellationScope.nonCancellable(() => hold(input));
}

async function hold(input: ReviewInput): Promise<ReviewResult> {
  const workflowId = caseWorkflowId(input);
  const people = hearPeople(workflowId);
  setHandler(lookAgain, () => people.lookAgain());
  // Cases of v1 have no standing. Nothing is parked for them, and the ledger checks again before it posts.
  let standing: Standing = input.standing ?? 'nothing';
  showReviewDetails(input, { standing, proposal: null });
  if (standing === 'nothing' && isGoodMoney(input)) {
    const parked = await park(workflowId);
    if (parked.postingId !== null) standing = 'parked';
    if (parked.codeStands) standing = 'elsewhere';
  }
  const subject = {
    standing,
    deposit: (input.order === undefined ? input : input.order)?.externalOrderNumber ?? null,
    amount: input.payment?.transactionAmount ?? null,
    reviewLimit: input.order?.settings.reviewLimit ?? '0',
  };
  const { decision, postingId, decidedBy } = await people.decide(subject, (now) => showReviewDetails(input, now));
  announceDecision(decision);
  await condition(allHandlersFinished);
  return { decision, postingId, decidedBy };
}

/** Reasons of real payments that only operators may credit: they came second, or after the deposit had ended. */
const WAITS_FOR_PEOPLE: readonly ReviewReason[] = ['SECOND_CODE', 'DEPOSIT_FINAL'];

/** Whether it is such a payment and the judge would credit it: it is booked at once, and its code is used up. */
function isGoodMoney({ reason, payment, order }: ReviewInput): boolean {
  if (!WAITS_FOR_PEOPLE.includes(reason) || !payment || !order) return false;
  const { receivedAt, inboxId: _, ...callback } = payment;
  return judge(order.settings, order, { callback, receivedAt, expiresAt: null }).kind === 'credit';
}
