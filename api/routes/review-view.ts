import type pg from 'pg';
import type { CaseRow, ProposalRow } from '../../database/queries/cases.ts';
import {
  type CarriedRow,
  type DecisionRow,
  findStated,
  listCarried,
  listDecisions,
  listRefused,
  type StatedFacts,
} from '../../database/queries/decisions.ts';
import { type DepositView, findDeposit, viewDeposit } from '../../database/queries/deposits.ts';
import { listOtherCallbacks, type OtherCallback } from '../../database/queries/cases.ts';
import { isGenuine, type SealVerdict } from '../../providers/sealed-rows.ts';
import { allowedDecisions, type Decision, needsTwo } from '../../domain/decision.ts';
import { isFinal } from '../../domain/deposit.ts';
import { type StatedAmounts, slipWarnings } from '../../domain/decimal-slip.ts';
import { type ProposalOutcome, stepOutcome } from '../../domain/decision-steps.ts';
import { showCredit } from './deposit-view.ts';

/**
 * A case as operators see it before they decide: the payment, its place in the books, the allowed decisions, and the
 * proposal.
 */
export function showCase(found: CaseRow, verdict: SealVerdict) {
  const open = found.closedAt === null;
  const isAllowed = (decision: Decision) => decision !== 'credit' || isGenuine(verdict);
  return {
    id: found.workflowId,
    state: open ? ('open' as const) : ('closed' as const),
    reason: found.reason,
    detail: found.detail,
    openedAt: found.openedAt.toISOString(),
    openedBy: found.openedBy,
    inboxId: found.inboxId,
    externalOrderNumber: found.externalOrderNumber,
    wallet: found.wallet,
    receivedAt: found.receivedAt.toISOString(),
    sealed: verdict.kind === 'before' ? null : verdict.kind === 'sealed',
    contentHash: found.contentHash,
    transactionCode: found.transactionCode,
    transactionAmount: found.amount,
    currencyCode: found.currencyCode,
    paymentPrice: found.paymentPrice,
    standing: open ? found.standing : null,
    newestCredit: found.newestCredit,
    allowed: open ? allowedDecisions(found.standing).filter(isAllowed) : [],
    needsTwo: needsTwo(found, found.proposal),
    reviewLimit: found.reviewLimit,
    proposal: !open || found.proposal === null ? null : showProposal(found.proposal),
    decision: found.decision,
    decidedBy: found.decidedBy,
    decidedAt: found.closedAt?.toISOString() ?? null,
    postingId: found.posting,
  };
}

const showProposal = ({ decisionId, ...proposal }: ProposalRow) => ({
  id: decisionId,
  ...proposal,
  at: proposal.at.toISOString(),
});

/**
 * The same with all related data. `own`: facts that the caller has just stated. Facts of others are shown, and used for
 * warnings, only after two operators stated the same and the money is booked. So each reads the statement alone.
 */
export async function showWholeCase(
  pool: pg.Pool,
  found: CaseRow,
  verdict: SealVerdict,
  own: StatedFacts | null = null,
) {
  const deposit = found.deposit === null ? null : await viewDeposit(pool, found.deposit);
  const { steps, agreed } = await showSteps(pool, found);
  return {
    ...showCase(found, verdict),
    deposit: deposit === null ? null : showAsked(deposit),
    credits: deposit?.credits.map(showCredit) ?? [],
    otherPayments: (await listOtherCallbacks(pool, found)).map(showOther),
    warnings: await warningsOf(pool, found, deposit, paidIn(found) ?? own ?? agreed),
    steps,
  };
}

/** The deposit that the callback claims: its state and its order. */
const showAsked = (deposit: DepositView) => ({
  state: deposit.state,
  final: isFinal(deposit.state),
  buyCoinMode: deposit.buyCoinMode,
  mtcAmount: deposit.mtcAmount,
  totalPrice: deposit.totalPrice,
  currencyCode: deposit.currencyCode,
  standing: deposit.standing,
  creditedAmount: deposit.creditedAmount,
});

const showOther = ({ receivedAt, ...other }: OtherCallback) => ({ ...other, receivedAt: receivedAt.toISOString() });

const paidIn = ({ amount, paymentPrice, currencyCode }: CaseRow): StatedAmounts | null =>
  amount === null || paymentPrice === null || currencyCode === null ? null : { amount, paymentPrice, currencyCode };

/**
 * Compares the payment with the order that would get the money: that of the waiting proposal, or else the claimed one.
 */
async function warningsOf(
  pool: pg.Pool,
  { proposal }: CaseRow,
  claimed: DepositView | null,
  paid: StatedAmounts | null,
): Promise<string[]> {
  const named = proposal === null || proposal.toDeposit === null ? null : await findDeposit(pool, proposal.toDeposit);
  const asked = named ?? claimed;
  return asked === null || paid === null ? [] : slipWarnings(asked, paid);
}

/**
 * Every operator's step with its outcome. `agreed`: the facts that two operators stated, once the money is booked by
 * them.
 */
async function showSteps(pool: pg.Pool, found: CaseRow) {
  const rows = await listDecisions(pool, found.workflowId);
  const all = await listCarried(pool, found.workflowId);
  const carried = new Map([...all].map(([proposal, row]) => [proposal, toCarried(row)]));
  const known = {
    steps: rows,
    carried,
    refused: await listRefused(pool, found.workflowId),
    proposal: found.proposal?.decisionId ?? null,
    decidedBy: found.decidedBy,
  };
  const isOpen = (row: DecisionRow) => found.standing !== 'unreadable' && carried.has(row.proposal ?? row.id);
  const stated = await findStated(
    pool,
    rows.filter(isOpen).map(({ id }) => id),
  );
  const steps = rows.map((row) => ({
    id: row.id,
    step: row.step,
    decision: row.decision,
    proposal: row.proposal,
    keep: row.keep,
    toDeposit: row.toDeposit,
    beside: row.beside,
    onlyOrdered: row.onlyOrdered,
    reason: row.reason,
    operator: row.operator,
    at: row.at.toISOString(),
    facts: stated.get(row.id) ?? null,
    ...stepOutcome(known, row),
  }));
  return { steps, agreed: [...stated.values()].at(-1) ?? null };
}

const toCarried = ({ confirmation, outcome, answer }: CarriedRow): ProposalOutcome => ({
  confirmation,
  outcome,
  refusal: (answer as { readonly refusal?: string }).refusal ?? null,
});
