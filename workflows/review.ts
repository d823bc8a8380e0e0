import { allHandlersFinished, CancellationScope, condition, setHandler } from '@temporalio/workflow';
import type { Decision, Standing } from '../domain/decision.ts';
import { judge } from '../domain/judge.ts';
import type { ReviewReason } from '../domain/review.ts';
import { hearPeople } from './decisions.ts';
import { park } from './effects.ts';
import { lookAgain, type ReviewInput } from './messages.ts';
import { announceDecision, showReviewDetails } from './web-ui.ts';
import { caseWorkflowId } from '../domain/ids.ts';

/** What a closed case's history says of it. */
export interface ReviewResult {
  readonly decision: Decision;
  readonly postingId: string | null;
  readonly decidedBy: string;
}

/**
 * Holds an authentic callback that no machine may credit, or a credit that is in doubt, until people have decided. Like
 * a deposit it cannot be cancelled.
 */
export async function review(input: ReviewInput): Promise<ReviewResult> {
  return CancellationScope.nonCancellable(() => hold(input));
}

async function hold(input: ReviewInput): Promise<ReviewResult> {
  const workflowId = caseWorkflowId(input);
  const people = hearPeople(workflowId);
  setHandler(lookAgain, () => people.lookAgain());
  // Cases of v1 do not say. Nothing is parked for them, and the books look once more before they post.
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

/** Money that is there and that only people may credit: it came second, or when the deposit was over. */
const WAITS_FOR_PEOPLE: readonly ReviewReason[] = ['SECOND_CODE', 'DEPOSIT_FINAL'];

/** Such money, and the judge has nothing against it: it belongs on the books at once, and its code is used up. */
function isGoodMoney({ reason, payment, order }: ReviewInput): boolean {
  if (!WAITS_FOR_PEOPLE.includes(reason) || !payment || !order) return false;
  const { receivedAt, inboxId: _, ...callback } = payment;
  return judge(order.settings, order, { callback, receivedAt, expiresAt: null }).kind === 'credit';
}
