import {
  type Client,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type pg from 'pg';
import { type CaseRow, findCase } from '../database/cases.ts';
import { insertDecision, type NewDecision } from '../database/decisions.ts';
import { findDeposit } from '../database/deposits.ts';
import { DECISION_FAULTS, type Decision, type DecisionFault } from '../domain/decision.ts';
import { type Concluded, confirm, propose, withdraw } from '../workflows/messages.ts';
import { mayUse } from './authenticate.ts';
import { ApiError } from './errors.ts';

export interface DecideDependencies {
  readonly pool: pg.Pool;
  readonly client: Client;
}

/** How long an update may take before the caller is told that it is under way. */
const ANSWER_WITHIN_MS = 8_000;

/** Who asks. `wallets` null: not limited to some. */
export interface Operator {
  readonly name: string;
  readonly wallets: readonly string[] | null;
}

/** The case if this operator may see it. Throws {@link ApiError} `not_found` for every other. */
export async function visibleCase(pool: pg.Pool, operator: Operator, workflowId: string): Promise<CaseRow> {
  const found = await findCase(pool, workflowId);
  if (found === null || !mayUse(operator, found.wallet ?? '')) throw new ApiError('not_found', `no case ${workflowId}`);
  return found;
}

export interface ProposeBody {
  readonly decision: Decision;
  readonly reason: string;
  readonly keep: boolean;
  readonly toDeposit: string | null;
}

/**
 * Each step is written down first, in the operator's name, and then told to the case's workflow, which alone decides
 * whether it counts. Throws {@link ApiError} `decision_refused` with the fault as its code, or `unavailable` (the same
 * request may be repeated).
 */
export async function proposeDecision(
  deps: DecideDependencies,
  operator: Operator,
  found: CaseRow,
  body: ProposeBody,
): Promise<void> {
  assertOpen(found);
  if (body.decision === 'credit' && found.standing === 'elsewhere') throw refusal('code_stands');
  if (!isWhole(body)) throw refusal('decision_not_allowed');
  if (body.toDeposit !== null) await assertDeposit(deps.pool, operator, body.toDeposit);
  const step: NewDecision = { ...about(found, operator), step: 'propose', ...body };
  const decisionId = await insertDecision(deps.pool, step);
  await tell(deps, found, () =>
    deps.client.workflow.getHandle(found.workflowId).executeUpdate(propose, {
      args: [{ decisionId, operator: operator.name, ...body }],
      updateId: `decision:${decisionId}`,
    }),
  );
}

/** Answers what the decision came to; null: it is confirmed and still being carried out. Throws too when the books refuse. */
export async function confirmDecision(
  deps: DecideDependencies,
  operator: Operator,
  found: CaseRow,
  proposalId: string,
): Promise<Concluded | null> {
  assertOpen(found);
  assertProposal(found, proposalId);
  const decisionId = await insertDecision(deps.pool, {
    ...about(found, operator),
    step: 'confirm',
    proposal: proposalId,
    reason: null,
  });
  const handle = deps.client.workflow.getHandle(found.workflowId);
  const update = await tell(deps, found, () =>
    handle.startUpdate(confirm, {
      args: [{ decisionId, proposalId, operator: operator.name }],
      updateId: `decision:${decisionId}`,
      waitForStage: 'ACCEPTED',
    }),
  );
  const concluded = await outcomeWithin(deps, found, () => update.result());
  if (concluded?.kind === 'refused') {
    throw new ApiError('decision_refused', `nothing was moved: ${concluded.detail}`, { shownCode: concluded.refusal });
  }
  return concluded;
}

export async function withdrawDecision(
  deps: DecideDependencies,
  operator: Operator,
  found: CaseRow,
  body: { readonly proposal: string; readonly reason: string },
): Promise<void> {
  assertOpen(found);
  assertProposal(found, body.proposal);
  const decisionId = await insertDecision(deps.pool, { ...about(found, operator), step: 'withdraw', ...body });
  await tell(deps, found, () =>
    deps.client.workflow.getHandle(found.workflowId).executeUpdate(withdraw, {
      args: [{ decisionId, proposalId: body.proposal, operator: operator.name, reason: body.reason }],
      updateId: `decision:${decisionId}`,
    }),
  );
}

const about = (found: CaseRow, operator: Operator) => ({
  workflowId: found.workflowId,
  inboxId: found.inboxId,
  operator: operator.name,
});

/** The table has no row for the others. */
const isWhole = ({ decision, keep, toDeposit }: ProposeBody): boolean =>
  (!keep || decision === 'reverse') && (toDeposit === null || decision === 'credit');

function assertOpen(found: CaseRow): void {
  if (found.closedAt !== null) throw refusal('case_closed');
}

/** What is certainly refused is not written down; whether the rest counts is the workflow's to say. */
function assertProposal(found: CaseRow, proposalId: string): void {
  if (found.proposal === null) throw refusal('no_proposal');
  if (found.proposal.decisionId !== proposalId) throw refusal('other_proposal');
}

async function assertDeposit(pool: pg.Pool, operator: Operator, externalOrderNumber: string): Promise<void> {
  const deposit = await findDeposit(pool, externalOrderNumber);
  if (deposit === null || !mayUse(operator, deposit.wallet))
    throw new ApiError('not_found', `no deposit ${externalOrderNumber}`);
}

const WORDS: Readonly<Record<DecisionFault, string>> = {
  case_closed: 'the case is decided, or a decision is being carried out',
  proposal_open: 'another proposal waits: confirm it or withdraw it first',
  no_proposal: 'there is no proposal to confirm or withdraw',
  other_proposal: 'another proposal waits by now: read it first',
  same_operator: 'above the review limit a second person has to confirm',
  decision_not_allowed: 'this cannot be decided here: see `allowed`; keep goes with reverse, toDeposit with credit',
  code_stands: 'the transaction code stands in the ledger: its money was posted already',
  reason_required: 'give a reason of 3 to 1000 characters',
  deposit_required: 'name the deposit whose wallet gets the money: toDeposit',
};

const refusal = (fault: DecisionFault) => new ApiError('decision_refused', WORDS[fault], { shownCode: fault });

/** Asks the workflow. A refused step is its answer; everything else means that Temporal or the worker is away. */
async function tell<T>({ pool, client }: DecideDependencies, found: CaseRow, ask: () => Promise<T>): Promise<T> {
  try {
    return await client.withDeadline(Date.now() + ANSWER_WITHIN_MS, ask);
  } catch (error) {
    const cause = error instanceof WorkflowUpdateFailedError ? error.cause : undefined;
    const type = cause instanceof ApplicationFailure ? cause.type : undefined;
    const fault = DECISION_FAULTS.find((known) => known === type);
    if (fault !== undefined) throw Object.assign(refusal(fault), { cause: error });
    // Decided while we looked; if not, its workflow was not started yet or is gone, and the relay sees to that.
    const gone = error instanceof WorkflowNotFoundError;
    if (gone && (await findCase(pool, found.workflowId))?.closedAt instanceof Date) {
      throw Object.assign(refusal('case_closed'), { cause: error });
    }
    throw Object.assign(
      new ApiError('unavailable', 'the step is written down and nobody heard of it yet; look at the case, then repeat'),
      { cause: error },
    );
  }
}

async function outcomeWithin(
  deps: DecideDependencies,
  found: CaseRow,
  result: () => Promise<Concluded>,
): Promise<Concluded | null> {
  try {
    return await tell(deps, found, result);
  } catch (error) {
    if (error instanceof ApiError && error.cause instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return null;
    throw error;
  }
}
