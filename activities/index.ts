import { Context } from '@temporalio/activity';
import type pg from 'pg';
import type { ArchiveObjects } from '../archive/objects.ts';
import type { HistorySource } from '../archive/history-source.ts';
import type { SaidStep } from '../database/queries/decisions.ts';
import type { SealTrust } from '../providers/sealed-rows.ts';
import type { CreditItem } from '../ledger/credit.ts';
import type { DecisionItem } from '../ledger/decide.ts';
import { createArchiver } from './archiving.ts';
import type { PlacementDependencies } from './attempt.ts';
import { recordState, settlement } from './bound-payment.ts';
import { close } from './closing.ts';
import { createGenuineCreditor, credit } from './crediting.ts';
import { caseOutcome, decide, parkCase, recordProposal, recordReview, type ReviewRecord } from './deciding.ts';
import type { SignatureTrust } from '../config/keys/operator-keys.ts';
import { placeOrder, settlePlacement, type WorkflowStart } from './placement.ts';

export interface ActivityDependencies extends PlacementDependencies {
  /** A small pool of its own, for the only role that may release and reverse. */
  readonly decisions: pg.Pool;
  /** The source of closed workflows' histories, and the store for their texts. */
  readonly histories: HistorySource;
  readonly objects: ArchiveObjects;
  readonly version: string;
  /** Public keys to verify the seals of inbox rows with. */
  readonly sealTrust: () => SealTrust;
  /** Public keys to verify operators' steps with. */
  readonly signatures: SignatureTrust;
}

/**
 * The effects of workflows. Names are wire format: histories hold them. Every activity may run again at any moment, and
 * may run twice at once.
 */
export function createActivities(deps: ActivityDependencies) {
  const { pool } = deps;
  const creditor = createGenuineCreditor(pool, deps.sealTrust);
  const archiver = createArchiver(deps);
  return {
    /** Resolves when every posting in progress has a result; call it before the pool ends. */
    drain: () => creditor.drain(),
    watchHistories: () => archiver.watchAge(),
    activities: {
      placeOrder: (externalOrderNumber: string, started?: WorkflowStart) =>
        placeOrder(deps, externalOrderNumber, started, Context.current().cancellationSignal),
      settlePlacement: (externalOrderNumber: string, started?: WorkflowStart) =>
        settlePlacement(deps, externalOrderNumber, started),
      close: (externalOrderNumber: string, state: 'PLACEMENT_REFUSED' | 'UNPAID', refusal: string | null) =>
        close(pool, externalOrderNumber, state, refusal),
      recordState: (externalOrderNumber: string, state: 'AWAITING_PAYMENT' | 'EXPIRED') =>
        recordState(pool, deps.log, externalOrderNumber, state),
      settlement: (externalOrderNumber: string, known: Parameters<typeof settlement>[3]) =>
        settlement(pool, deps.log, externalOrderNumber, known),
      recordReview: (review: ReviewRecord) => recordReview(deps, review),
      credit: (item: CreditItem) => credit({ pool, post: creditor, log: deps.log }, item),
      park: (workflowId: string) => parkCase(deps, workflowId),
      recordProposal: (workflowId: string, decisionId: string | null, said?: SaidStep) =>
        recordProposal(pool, deps.log, workflowId, decisionId, said),
      decide: (item: DecisionItem) => decide({ ...deps, pool: deps.decisions }, item),
      caseOutcome: (workflowId: string) => caseOutcome(deps.decisions, workflowId),
      archiveClosed: (limit: number) => archiver.archiveClosed(limit),
    },
  };
}

export type { Settlement } from '../database/queries/deposits.ts';
export type { UnboundAnswer } from './bound-payment.ts';
export type { ReviewRecord } from './deciding.ts';
export type Activities = ReturnType<typeof createActivities>['activities'];
