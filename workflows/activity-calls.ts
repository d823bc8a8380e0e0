import { TemporalFailure } from '@temporalio/workflow';
import type { Activities, ReviewRecord } from '../activities/index.ts';

import { DURABLE, durable, local, PLACE, SETTLE, SHORT } from './activity-options.ts';

/**
 * Tries the local activity once and, if a dependency is down, the durable one until it succeeds. A plain Error is a
 * defect: it fails the workflow task, which is retried after the fix, and never the deposit.
 */
async function firstLocal<T>(quick: () => Promise<T>, patient: () => Promise<T>): Promise<T> {
  try {
    return await quick();
  } catch (error) {
    if (!(error instanceof TemporalFailure)) throw error;
    return patient();
  }
}

/** Places the order. An outcome that placeOrder could not return is settled from the attempt rows. */
export function place(...args: Parameters<Activities['placeOrder']>) {
  return firstLocal(
    () => local(PLACE, 'place the order').placeOrder(...args),
    () => durable(SETTLE, 'settle the placement').settlePlacement(...args),
  );
}

/** Ends the deposit without money, or returns the bound payment that prevents it (docs/reference/lifecycle.md, L31). */
export function close(...args: Parameters<Activities['close']>) {
  const summary = `close as ${args[1]}`;
  return firstLocal(
    () => local(SHORT, summary).close(...args),
    () => durable(DURABLE, summary).close(...args),
  );
}

export function credit(item: Parameters<Activities['credit']>[0]) {
  const summary = `credit ${item.transactionCode}`;
  return firstLocal(
    () => local(SHORT, summary).credit(item),
    () => durable(DURABLE, summary).credit(item),
  );
}

export function recordState(...args: Parameters<Activities['recordState']>) {
  const summary = `record ${args[1]}`;
  return firstLocal(
    () => local(SHORT, summary).recordState(...args),
    () => durable(DURABLE, summary).recordState(...args),
  );
}

/** Returns whether the row is final already, or waits as this workflow does. */
export function settlement(...args: Parameters<Activities['settlement']>) {
  const summary = 'look at the row';
  return firstLocal(
    () => local(SHORT, summary).settlement(...args),
    () => durable(DURABLE, summary).settlement(...args),
  );
}

/** Returns whether the case was decided without this workflow's knowledge. */
export function caseOutcome(workflowId: string) {
  const summary = 'look at the case';
  return firstLocal(
    () => local(SHORT, summary).caseOutcome(workflowId),
    () => durable(DURABLE, summary).caseOutcome(workflowId),
  );
}

export function recordReview(review: ReviewRecord) {
  const summary = `record review: ${review.reason}`;
  return firstLocal(
    () => local(SHORT, summary).recordReview(review),
    () => durable(DURABLE, summary).recordReview(review),
  );
}

export function park(workflowId: string) {
  const summary = 'park in suspense';
  return firstLocal(
    () => local(SHORT, summary).park(workflowId),
    () => durable(DURABLE, summary).park(workflowId),
  );
}

/**
 * The effect of an update is a durable activity from the start. A local activity would run before the update itself is
 * in the history, and a worker lost in between would leave an effect without its cause.
 */
export const decide = (item: Parameters<Activities['decide']>[0]) =>
  durable(DURABLE, `decide as proposed in ${item.proposalId}`).decide(item);

/** Shows which proposal waits for a confirmation. False: the table has no such step. */
export async function recordProposal(...args: Parameters<Activities['recordProposal']>): Promise<boolean> {
  const summary = args[1] === null ? 'no proposal waits' : `proposal ${args[1]} waits`;
  // Older histories hold no answer.
  const row: { readonly stands?: boolean } | null = await durable(DURABLE, summary).recordProposal(...args);
  return row?.stands !== false;
}
