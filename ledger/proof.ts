import type pg from 'pg';
import type { CaseRow } from '../database/cases.ts';
import { type DecisionRow, findStated, listRefused, type StatedFacts } from '../database/decisions.ts';
import { findDeposit } from '../database/deposits.ts';
import { actorOf, needsTwo, type Proposal, proposalFault, restOf } from '../domain/decision.ts';

/** Whether a confirmed decision is what two people wrote down, read again where the money moves. */

/**
 * Why nothing was moved; the case stays open. `not_written`: the two rows are not in the table, or not of this case: somebody
 * else's message; nothing is recorded for it, and what people proposed waits on. After every other a new proposal may be made;
 * `credited_meanwhile`: the deposit has another credit than the operators were shown.
 */
export type Refusal =
  | 'not_written'
  | 'unproven'
  | 'withdrawn'
  | 'case_closed'
  | 'code_stands'
  | 'credited_meanwhile'
  | 'facts_differ'
  | 'not_possible';

/** Nothing was moved, for a reason of the decision itself: repeating it does not help. */
export class Refused extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal, detail: string) {
    super(detail);
    this.refusal = refusal;
  }
}

/** A decision as its rows say it. */
export interface Proven extends Pick<Proposal, 'decision' | 'keep' | 'toDeposit' | 'reason'> {
  readonly beside: string | null;
  readonly onlyOrdered: boolean;
  readonly actor: string;
  /** What both people read in the statement; null: the callback says it. */
  readonly facts: StatedFacts | null;
}

/** Two rows of this very case, by two people where it takes two, and nobody has taken the proposal back. */
export async function prove(
  client: pg.ClientBase,
  found: CaseRow,
  steps: readonly DecisionRow[],
  item: { readonly proposalId: string; readonly confirmationId: string },
): Promise<Proven> {
  const proposal = steps.find((step) => step.id === item.proposalId && step.step === 'propose');
  const confirmation = steps.find((step) => step.id === item.confirmationId && step.step === 'confirm');
  if (proposal === undefined) throw new Refused('not_written', 'the proposal is not written down');
  // A step that was refused does not count later, whoever tells it again.
  const refused = await listRefused(client, found.workflowId);
  if (confirmation?.proposal !== proposal.id || refused.has(confirmation.id)) {
    throw new Refused('not_written', 'the confirmation is not written down');
  }
  if (steps.some((step) => step.step === 'withdraw' && step.proposal === proposal.id && !refused.has(step.id))) {
    throw new Refused('withdrawn', 'the proposal was withdrawn');
  }
  if (needsTwo(found, proposal) && proposal.operator === confirmation.operator) {
    throw new Refused('unproven', 'proposed and confirmed by one person');
  }
  const proven = {
    decision: proposal.decision!,
    keep: proposal.keep,
    toDeposit: proposal.toDeposit,
    beside: proposal.beside,
    onlyOrdered: proposal.onlyOrdered,
    reason: proposal.reason!,
    actor: actorOf(proposal.operator, confirmation.operator),
    facts: await agreedFacts(client, found, proposal, confirmation),
  };
  if (proven.onlyOrdered && (await ordersLess(client, found)) === null) {
    throw new Refused('not_possible', 'not more was received than was ordered in MTC');
  }
  const fault = proposalFault({ ...found, open: true, proposal: null }, { ...proven, operator: proven.actor });
  if (fault !== null) throw new Refused(fault === 'code_stands' ? fault : 'not_possible', fault);
  return proven;
}

/** What would stay in suspense if what was ordered is credited; null: nothing. */
async function ordersLess(client: pg.ClientBase, found: CaseRow): Promise<string | null> {
  const deposit = found.deposit === null ? null : await findDeposit(client, found.deposit);
  return restOf(deposit?.mtcAmount ?? null, found.amount);
}

/** What cannot be read is credited as two people state it, each for themselves. */
async function agreedFacts(
  client: pg.ClientBase,
  found: CaseRow,
  proposal: DecisionRow,
  confirmation: DecisionRow,
): Promise<StatedFacts | null> {
  if (proposal.decision !== 'credit' || found.amount !== null) return null;
  const stated = await findStated(client, [proposal.id, confirmation.id]);
  const [first, second] = [stated.get(proposal.id), stated.get(confirmation.id)];
  // On the books already, as two people stated it before.
  if (first === undefined && second === undefined && found.standing !== 'unreadable') return null;
  if (first === undefined || second === undefined) throw new Refused('facts_differ', 'each has to state the facts');
  const { statementLine: _, ...facts } = first;
  const differs = Object.entries(facts).filter(([field, value]) => second[field as keyof StatedFacts] !== value);
  if (differs.length === 0) return first;
  // Which, and not what: the next try is to be made from the statement, not from the other's numbers.
  throw new Refused('facts_differ', `the two state another ${differs.map(([field]) => field).join(', ')}`);
}

/** A stated code that another order's callback has is a slip, or a trick: that payment has an owner. */
export async function refuseForeignCode(client: pg.ClientBase, found: CaseRow, facts: StatedFacts): Promise<void> {
  const { rowCount } = await client.query(
    'select from engine.callback where transaction_code = $1 and external_order_number <> $2 limit 1',
    [facts.transactionCode, found.externalOrderNumber],
  );
  if (rowCount !== 0) throw new Refused('code_stands', 'the stated transaction code came with another order');
}
