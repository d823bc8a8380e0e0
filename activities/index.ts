import { Context } from '@temporalio/activity';
import { recordState, markInReview } from '../database/deposits.ts';
import { inTransaction } from '../database/pool.ts';
import { createCreditor, type CreditItem } from '../ledger/credit.ts';
import { close } from './closing.ts';
import { credit } from './crediting.ts';
import type { PlacementDependencies } from './attempt.ts';
import { placeOrder, settlePlacement } from './placement.ts';

export interface ReviewRecord {
  readonly externalOrderNumber: string;
  readonly inboxId: string;
  readonly reason: string;
  readonly late: boolean;
  readonly workflowId: string;
}

/**
 * What workflows ask of the world. Names are wire format: histories hold them. Every activity may run again at any
 * moment, and may run twice at once.
 */
export function createActivities(deps: PlacementDependencies) {
  const creditor = createCreditor(deps.pool);
  return {
    /** Resolves when every posting under way has been answered; call before the pool ends. */
    drain: () => creditor.drain(),
    activities: {
      placeOrder: (externalOrderNumber: string) =>
        placeOrder(deps, externalOrderNumber, Context.current().cancellationSignal),
      settlePlacement: (externalOrderNumber: string) => settlePlacement(deps, externalOrderNumber),
      close: (externalOrderNumber: string, state: 'PLACEMENT_REFUSED' | 'UNPAID', refusal: string | null) =>
        close(deps.pool, externalOrderNumber, state, refusal),
      recordState: (externalOrderNumber: string, state: 'AWAITING_PAYMENT' | 'EXPIRED') =>
        recordState(deps.pool, externalOrderNumber, state),
      recordReview: (review: ReviewRecord) => inTransaction(deps.pool, (client) => markInReview(client, review)),
      credit: (item: CreditItem) => credit(creditor, deps.log, item),
    },
  };
}

export type Activities = ReturnType<typeof createActivities>['activities'];
