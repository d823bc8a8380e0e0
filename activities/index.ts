import { Context } from '@temporalio/activity';
import type pg from 'pg';
import type { ArchiveObjects } from '../archive/objects.ts';
import type { HistorySource } from '../archive/source.ts';
import { recordProposal } from '../database/cases.ts';
import { recordState } from '../database/deposits.ts';
import { createCreditor, type CreditItem } from '../ledger/credit.ts';
import type { DecisionItem } from '../ledger/decide.ts';
import { createArchiver } from './archiving.ts';
import type { PlacementDependencies } from './attempt.ts';
import { close } from './closing.ts';
import { credit } from './crediting.ts';
import { decide, parkCase, recordReview, type ReviewRecord } from './deciding.ts';
import { placeOrder, settlePlacement } from './placement.ts';

export interface ActivityDependencies extends PlacementDependencies {
  /** A small pool of its own, of the only role that may release and reverse. */
  readonly decisions: pg.Pool;
  /** Where histories of closed workflows are fetched from, and where their texts are kept. */
  readonly histories: HistorySource;
  readonly objects: ArchiveObjects;
  readonly version: string;
}

/**
 * What workflows ask of the world. Names are wire format: histories hold them. Every activity may run again at any
 * moment, and may run twice at once.
 */
export function createActivities(deps: ActivityDependencies) {
  const { pool } = deps;
  const creditor = createCreditor(pool);
  const archiver = createArchiver(deps);
  return {
    /** Resolves when every posting under way has been answered; call before the pool ends. */
    drain: () => creditor.drain(),
    activities: {
      placeOrder: (externalOrderNumber: string) =>
        placeOrder(deps, externalOrderNumber, Context.current().cancellationSignal),
      settlePlacement: (externalOrderNumber: string) => settlePlacement(deps, externalOrderNumber),
      close: (externalOrderNumber: string, state: 'PLACEMENT_REFUSED' | 'UNPAID', refusal: string | null) =>
        close(pool, externalOrderNumber, state, refusal),
      recordState: (externalOrderNumber: string, state: 'AWAITING_PAYMENT' | 'EXPIRED') =>
        recordState(pool, externalOrderNumber, state),
      recordReview: (review: ReviewRecord) => recordReview(pool, review),
      credit: (item: CreditItem) => credit(creditor, deps.log, item),
      park: (workflowId: string) => parkCase(pool, workflowId),
      recordProposal: (workflowId: string, decisionId: string | null) => recordProposal(pool, workflowId, decisionId),
      decide: (item: DecisionItem) => decide(deps.decisions, deps.log, item),
      archiveClosed: (limit: number) => archiver.archiveClosed(limit),
    },
  };
}

export type { ReviewRecord } from './deciding.ts';
export type Activities = ReturnType<typeof createActivities>['activities'];
