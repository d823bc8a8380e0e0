import type { Proposal, Standing } from '../domain/decision.ts';
import type { Payment } from '../domain/order.ts';
import type { ReviewReason } from '../domain/review.ts';

/** The workflow's knowledge beyond its state, all from its input, its messages and its activities' results. */
export interface DepositFacts {
  expiresAt: string | null;
  advertisementCode: string | null;
  refusal: string | null;
  payment: Payment | null;
  late: boolean;
  review: { readonly reason: ReviewReason; readonly detail: string } | null;
  postingId: string | null;
  /** The transaction code of the credited payment, where that is not `payment`. */
  creditedCode: string | null;
  /** An alarm about a message that names an unbound payment was raised; one per run is enough. */
  reported: boolean;
  /** The result of the patch `announce-no-hints`; missing until it is needed. */
  announcesNoHints?: boolean;
  /** While operators decide: where the payment's money is, and the proposal that waits for a second operator. */
  standing: Standing;
  proposal: Proposal | null;
}
