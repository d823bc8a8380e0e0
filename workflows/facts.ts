import type { Proposal, Standing } from '../domain/decision.ts';
import type { Payment } from '../domain/order.ts';
import type { ReviewReason } from '../domain/review.ts';

/** What the workflow knows beyond its state; all of it from its input, its messages and its activities' answers. */
export interface DepositFacts {
  expiresAt: string | null;
  advertisementCode: string | null;
  refusal: string | null;
  payment: Payment | null;
  late: boolean;
  review: { readonly reason: ReviewReason; readonly detail: string } | null;
  postingId: string | null;
  /** The code of what was credited, where that is not `payment`. */
  creditedCode: string | null;
  /** A message that named what the database does not bind was reported: once is enough. */
  reported: boolean;
  /** See the patch `announce-no-hints`; missing until it matters. */
  announcesNoHints?: boolean;
  /** What the books hold for the payment while people decide, and the proposal that waits for a second person. */
  standing: Standing;
  proposal: Proposal | null;
}
