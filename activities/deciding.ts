import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import type { SignatureTrust } from '../config/keys/operator-keys.ts';
import { isSamePayment } from '../database/queries/callbacks.ts';
import {
  findCase,
  findDecided,
  openDepositCase,
  type ParkResult,
  parkCaseMoney as park,
  noteProposal as record,
} from '../database/queries/cases.ts';
import { isWritten, type SaidStep } from '../database/queries/decisions.ts';
import { unsignedAmong } from '../database/queries/signed-steps.ts';
import {
  findSealed,
  findSealedOfCase,
  isGenuine,
  type SealedRow,
  type SealTrust,
  verdictOn,
} from '../providers/sealed-rows.ts';
import type { Standing, DecisionAnswer } from '../domain/decision.ts';
import type { Payment } from '../domain/order.ts';
import type { ReviewReason } from '../domain/review.ts';
import { carryOutDecision as decideInBooks, type DecisionItem, recordRefused } from '../ledger/decide.ts';
import { isRowId, type UnboundAnswer, unboundOf } from './bound-payment.ts';
import { classifyLedgerFailure } from './failures.ts';
import type { Db } from '../database/pool.ts';

export interface DecidingDependencies {
  /** Works as the worker's role; for decisions as the only role that may release and reverse. */
  readonly pool: pg.Pool;
  readonly sealTrust: () => SealTrust;
  /** Public keys to verify operators' steps with; absent: steps need no signature. */
  readonly signatures?: SignatureTrust;
  readonly log: Log;
}

/** A deposit's own payment that no machine may credit. Optional fields are missing in older histories. */
export interface ReviewRecord {
  readonly externalOrderNumber: string;
  readonly inboxId: string;
  readonly reason: ReviewReason;
  readonly late: boolean;
  readonly workflowId: string;
  /** The numbers behind the reason. */
  readonly detail?: string;
  /** The payment passed the judge and waits for operators only: its money goes into suspense. */
  readonly park?: boolean;
  /** The payment in the workflow's signal, to be compared with the bound one. */
  readonly payment?: Payment;
  /** The alarm about a message without a payment was raised already. */
  readonly reported?: boolean;
}

/**
 * Writes the case, the posting into suspense where asked for, and the deposit's state, in one transaction. If the
 * database binds another payment, it returns that and writes nothing. Idempotent.
 */
export async function recordReview(
  deps: DecidingDependencies,
  review: ReviewRecord,
): Promise<ParkResult | UnboundAnswer> {
  const { pool, log } = deps;
  const { payment, inboxId } = review;
  const isNamed = (bound: Payment) =>
    payment === undefined ? bound.inboxId === inboxId : isSamePayment(bound, payment);
  const unbound = await unboundOf(pool, log, review, isNamed);
  if (unbound !== null) return unbound;
  // Without a row of the API nothing shows that money came, so nothing is booked.
  const park = review.park === true && isSealed(deps, await sealedRow(pool, inboxId), review.workflowId);
  const given = await openDepositCase(pool, { ...review, park });
  // A binding never changes: if no case was opened, the deposit was settled in between.
  return given ?? (await unboundOf(pool, log, review, isNamed)) ?? NOT_PARKED;
}

/** Posts the money of a case that the API has opened into suspense. Idempotent. */
export async function parkCase(deps: DecidingDependencies, workflowId: string): Promise<ParkResult> {
  return (await isGenuineCase(deps, deps.pool, workflowId)) ? park(deps.pool, workflowId) : NOT_PARKED;
}

const NOT_PARKED: ParkResult = { postingId: null, codeStands: false };

/**
 * Shows which proposal waits, and returns whether the operator stored exactly this step. Any other message is forged:
 * nothing is shown for it, and the alarm is raised. Idempotent.
 */
export async function recordProposal(
  pool: pg.Pool,
  log: Log,
  workflowId: string,
  decisionId: string | null,
  said?: SaidStep,
): Promise<{ readonly stands: boolean }> {
  if (said !== undefined && !(await isWritten(pool, workflowId, said))) {
    raiseAlarm(log, 'step_not_written', { case: workflowId });
    return { stands: false };
  }
  if (decisionId === null || isRowId(decisionId)) await record(pool, workflowId, decisionId);
  return { stands: true };
}

/**
 * Carries out a confirmed decision. Throws whenever the outcome may be unknown: retry with the same item, without a
 * limit. A refusal by the database because of the item itself is returned, so that operators can decide again.
 */
export async function decide(deps: DecidingDependencies, item: DecisionItem): Promise<DecisionAnswer> {
  const { pool, log } = deps;
  crashPoint('decide.beforeTx');
  let answer: DecisionAnswer;
  try {
    const unsigned = await unsignedIn(deps, item);
    if (unsigned === null)
      answer = await decideInBooks(pool, item, (client, workflowId) => isGenuineCase(deps, client, workflowId));
    else answer = await recordRefused(pool, item, unsigned, 'unproven');
  } catch (error) {
    const failure = classifyLedgerFailure(error);
    const { code } = error as { code?: unknown };
    if (failure === 'retry') throw error;
    raiseAlarm(log, failure === 'rejected' ? 'ledger_conflict' : 'ledger_unavailable', { case: item.workflowId, code });
    if (failure !== 'rejected') throw error;
    answer = await recordRefused(pool, item, `the ledger refused it (${String(code)})`);
  }
  crashPoint('decide.afterCommit');
  if (answer.kind === 'refused') {
    raiseAlarm(log, 'decision_refused', { case: item.workflowId, refusal: answer.refusal });
  }
  return answer;
}

/** The step that its operator has not signed, where signatures are required; null: both are signed, or need not be. */
const unsignedIn = async (
  { pool, signatures }: DecidingDependencies,
  { proposalId, confirmationId }: DecisionItem,
): Promise<string | null> =>
  signatures?.required === true && isRowId(proposalId) && isRowId(confirmationId)
    ? unsignedAmong(pool, signatures, [proposalId, confirmationId])
    : null;

/** Whether the case's inbox row is genuine, so that money may move. */
async function isGenuineCase(deps: DecidingDependencies, db: Db, workflowId: string): Promise<boolean> {
  return isSealed(deps, await findSealedOfCase(db, workflowId), workflowId);
}

const sealedRow = async (db: pg.Pool, inboxId: string) => (await findSealed(db, [inboxId])).get(inboxId) ?? null;

function isSealed({ sealTrust, log }: DecidingDependencies, row: SealedRow | null, workflowId: string): boolean {
  // A missing row counts as not genuine: somebody else could insert it a moment later.
  if (row === null) return false;
  if (isGenuine(verdictOn(sealTrust(), row))) return true;
  raiseAlarm(log, 'callback_not_sealed', { case: workflowId, inboxId: row.id });
  return false;
}

/** The state of a case by its row, independent of its workflow; `standing` null: there is no row. */
export type CaseOutcome =
  | Extract<DecisionAnswer, { kind: 'decided' }>
  | { readonly kind: 'open'; readonly standing: Standing | null; readonly proposalId: string | null };

/** Reads from row and ledger how a case was decided; or, while it is open, where its money is and what is proposed. */
export async function caseOutcome(pool: pg.Pool, workflowId: string): Promise<CaseOutcome> {
  const decided = await findDecided(pool, workflowId);
  if (decided !== null) return { kind: 'decided', ...decided };
  const found = await findCase(pool, workflowId);
  return { kind: 'open', standing: found?.standing ?? null, proposalId: found?.proposal?.decisionId ?? null };
}
