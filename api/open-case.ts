import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type pg from 'pg';
import { type Log, raiseAlarm } from '../config/log.ts';
import { findCallback, paymentOf } from '../database/callbacks.ts';
import { type CaseRow, findCredit, findOpenCase, insertCase, openCasesAfter } from '../database/cases.ts';
import { findDeposit } from '../database/deposits.ts';
import { reversalWorkflowId } from '../workflows/messages.ts';
import { type Operator, visibleCase } from './decide-case.ts';
import { ApiError } from './errors.ts';
import type { DoubtBody } from './review-schemas.ts';
import { depositInput, startReview } from './start-deposit.ts';

export interface CaseDependencies {
  readonly pool: pg.Pool;
  readonly client: Client;
}

/** Opens a case about a credit, or answers the one that is open. Moves nothing. Throws `not_found`, `unavailable`. */
export async function doubtCredit(deps: CaseDependencies, operator: Operator, body: DoubtBody): Promise<CaseRow> {
  const { postingId, externalOrderNumber } = body;
  const credit = await findCredit(
    deps.pool,
    postingId === undefined ? { externalOrderNumber: externalOrderNumber! } : { postingId },
  );
  if (credit === null) throw new ApiError('not_found', 'no such credit');
  const workflowId = reversalWorkflowId(credit.inboxId, credit.cases + 1);
  await insertCase(deps.pool, {
    workflowId,
    inboxId: credit.inboxId,
    reason: 'CREDIT_IN_DOUBT',
    detail: body.reason,
    openedBy: operator.name,
    doubted: credit.postingId,
  });
  // Ours, or the one that somebody opened before.
  const open = await findOpenCase(deps.pool, credit.inboxId);
  if (open === null) throw new ApiError('unavailable', 'another case about this credit was decided just now');
  const found = await visibleCase(deps.pool, operator, open.workflowId);
  try {
    await startCase(deps, found);
  } catch (error) {
    throw Object.assign(new ApiError('unavailable', 'the case is written down and not open yet; repeat'), {
      cause: error,
    });
  }
  return found;
}

/** Starts the workflow that holds a case, from what the tables say; repeating it is harmless. Throws when Temporal is away. */
async function startCase(deps: CaseDependencies, found: CaseRow): Promise<void> {
  const callback = (await findCallback(deps.pool, found.inboxId))!;
  const deposit = found.deposit === null ? null : await findDeposit(deps.pool, found.deposit);
  await startReview(deps.client, {
    workflowId: found.workflowId,
    inboxId: found.inboxId,
    externalOrderNumber: found.externalOrderNumber,
    reason: found.reason,
    transactionCode: found.transactionCode,
    payment: callback.data === null ? null : paymentOf(callback),
    order: deposit === null ? null : depositInput(deposit),
    standing: found.standing,
    ...(found.doubted === null
      ? {}
      : { doubt: { postingId: found.doubted, operator: found.openedBy ?? '', reason: found.detail } }),
  });
}

const AT_A_TIME = 100;

/**
 * Looks after open cases in turns, from `after` on: one whose workflow was terminated by hand, or never started, gets a
 * new one under the same id. Answers where the next turn begins.
 */
export async function mendCases(deps: CaseDependencies & { readonly log: Log }, after: string): Promise<string> {
  const cases = await openCasesAfter(deps.pool, after, AT_A_TIME);
  for (const found of cases) {
    if (await isHeld(deps.client, found.workflowId)) continue;
    raiseAlarm(deps.log, 'workflow_gone', { deposit: found.externalOrderNumber, inboxId: found.inboxId });
    await startCase(deps, found);
  }
  return cases.length < AT_A_TIME ? '' : cases.at(-1)!.workflowId;
}

/** A workflow that completed has decided; its row follows in a moment. */
async function isHeld(client: Client, workflowId: string): Promise<boolean> {
  try {
    const { status } = await client.workflow.getHandle(workflowId).describe();
    return status.name === 'RUNNING' || status.name === 'COMPLETED';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
