import type { Secret } from '../../config/keys/secret.ts';
import type { Decision, Proposal } from '../../domain/decision.ts';
import type { Currency } from '../../domain/order.ts';
import type { SignedFacts, SignedStep } from '../../domain/signed-step.ts';
import type { Db } from '../pool.ts';

/** One step of an operator; append-only. A row records who wanted what; whether it counted is in the case's history. */
export interface DecisionRow {
  readonly id: string;
  /** Never reused, as an id is after a restore; null in older rows. */
  readonly uid: string | null;
  readonly workflowId: string;
  readonly inboxId: string;
  readonly step: SignedStep['step'];
  readonly decision: Decision | null;
  readonly proposal: string | null;
  readonly keep: boolean;
  readonly toDeposit: string | null;
  readonly beside: string | null;
  readonly onlyOrdered: boolean;
  readonly reason: string | null;
  readonly operator: string;
  readonly at: Date;
}

const COLUMNS = `id, uid, workflow_id as "workflowId", callback as "inboxId", step, decision, proposal, keep,
  to_deposit as "toDeposit", beside, only_ordered as "onlyOrdered", reason, operator, at`;

/**
 * The facts of an unreadable payment, as one of two operators reads them in the provider's statement. Decimals
 * canonical.
 */
export interface StatedFacts extends SignedFacts {
  readonly currencyCode: Currency;
}

/** The signature that the operator's own device made for a step, verified. */
export interface VerifiedSignature {
  readonly signature: Buffer;
  readonly signerKey: string;
  readonly nonce: Buffer;
}

export type NewDecision = Pick<DecisionRow, 'workflowId'> & {
  /** With a proposal to credit an unreadable callback, and with its confirmation. */
  readonly facts?: StatedFacts | null;
  readonly signed?: VerifiedSignature | null;
} & (
    | (Pick<DecisionRow, 'keep' | 'toDeposit'> & {
        readonly step: 'propose';
        readonly decision: Decision;
        readonly reason: string;
        readonly beside?: string | null;
        readonly onlyOrdered?: boolean;
      })
    | { readonly step: 'confirm'; readonly proposal: string; readonly reason: string | null }
    | { readonly step: 'withdraw'; readonly proposal: string; readonly reason: string }
  );

/** The ids of a stored step. */
export type WrittenStep = Pick<DecisionRow, 'id' | 'uid'>;

/**
 * Stores a step in the name of the key's holder, before the workflow is notified. Waits for the lock of its case.
 * Throws SQLSTATE P0E30 to P0E36 (docs/guides/reviews.md#steps), and 23505 when its nonce was used: a retry does not
 * help.
 */
export async function insertDecision(db: Db, proof: Secret, step: NewDecision): Promise<WrittenStep> {
  const proposed = step.step === 'propose' ? step : null;
  const { facts = null, signed = null } = step;
  const { rows } = await db.query<WrittenStep>(
    'select id, uid from engine.take_step($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)',
    [
      proof.reveal(),
      step.workflowId,
      step.step,
      proposed?.decision ?? null,
      proposed?.keep ?? false,
      proposed?.toDeposit ?? null,
      proposed?.beside ?? null,
      proposed?.onlyOrdered ?? false,
      step.step === 'propose' ? null : step.proposal,
      step.reason,
      facts?.transactionCode ?? null,
      facts?.amount ?? null,
      facts?.currencyCode ?? null,
      facts?.paymentPrice ?? null,
      facts?.statementLine ?? null,
      signed?.signature ?? null,
      signed?.signerKey ?? null,
      signed?.nonce ?? null,
    ],
  );
  return rows[0]!;
}

/** Every step taken in a case, in order. */
export async function listDecisions(db: Db, workflowId: string): Promise<DecisionRow[]> {
  const { rows } = await db.query<DecisionRow>(
    `select ${COLUMNS} from engine.decision where workflow_id = $1 order by id`,
    [workflowId],
  );
  return rows;
}

/** A step as the case's workflow received it. */
export type SaidStep =
  | Proposal
  | { readonly decisionId: string; readonly proposalId: string; readonly operator: string; readonly reason?: string };

/** Whether a step is stored in this case exactly as the workflow received it, and has no result yet. */
export async function isWritten(db: Db, workflowId: string, said: SaidStep): Promise<boolean> {
  if (!/^[1-9]\d{0,17}$/.test(said.decisionId)) return false;
  const { rows } = await db.query<DecisionRow>(
    `select ${COLUMNS} from engine.decision d
      where id = $1 and not exists (select from engine.refused_step r where r.decision = d.id)
        and not exists (select from engine.carried k where k.proposal in (d.id, d.proposal))`,
    [said.decisionId],
  );
  const row = rows[0];
  if (row?.workflowId !== workflowId || row.operator !== said.operator) return false;
  if ('proposalId' in said)
    return row.step === 'withdraw' && row.proposal === said.proposalId && row.reason === (said.reason ?? null);
  return (
    row.step === 'propose' &&
    row.decision === said.decision &&
    row.reason === said.reason &&
    row.keep === said.keep &&
    row.toDeposit === said.toDeposit &&
    row.beside === (said.beside ?? null) &&
    row.onlyOrdered === (said.onlyOrdered ?? false)
  );
}

/**
 * Marks a step of this key that the case's workflow refused. True: it is a withdrawal that a decision in progress has
 * seen, so it counts. False: no decision will see it. Idempotent.
 */
export async function refuseStep(db: Db, proof: Secret, decisionId: string, refusal: string): Promise<boolean> {
  const { rows } = await db.query<{ counts: boolean }>('select engine.refuse_step($1, $2, $3) as counts', [
    proof.reveal(),
    decisionId,
    refusal,
  ]);
  return rows[0]!.counts;
}

/** The result of a proposal. */
export interface CarriedRow {
  readonly proposal: string;
  readonly confirmation: string;
  readonly outcome: 'decided' | 'withdrawn' | 'refused';
  readonly answer: unknown;
}

/** Returns why steps of a case were refused, by step. */
export async function listRefused(db: Db, workflowId: string): Promise<Map<string, string>> {
  const { rows } = await db.query<{ decision: string; refusal: string }>(
    `select r.decision, r.refusal from engine.refused_step r join engine.decision d on d.id = r.decision where d.workflow_id = $1`,
    [workflowId],
  );
  return new Map(rows.map((row) => [row.decision, row.refusal]));
}

/** Returns the results of a case's proposals, by proposal. */
export async function listCarried(db: Db, workflowId: string): Promise<Map<string, CarriedRow>> {
  const { rows } = await db.query<CarriedRow>(
    `select k.proposal, k.confirmation, k.outcome, k.answer from engine.carried k join engine.decision d on d.id = k.proposal where d.workflow_id = $1`,
    [workflowId],
  );
  return new Map(rows.map((row) => [row.proposal, row]));
}

/** Returns the facts that the two operators stated with these steps, by step. */
export async function findStated(db: Db, steps: readonly string[]): Promise<Map<string, StatedFacts>> {
  const { rows } = await db.query<StatedFacts & { decision: string }>(
    `select decision, transaction_code as "transactionCode", trim_scale(amount)::text as amount, currency_code as "currencyCode",
            trim_scale(payment_price)::text as "paymentPrice", statement_line as "statementLine"
       from engine.stated_facts where decision = any($1)`,
    [steps],
  );
  return new Map(rows.map(({ decision, ...facts }) => [decision, facts]));
}

/** Whether operators made this posting. Reads no books, because the worker may not. */
export async function isPeoplesPosting(db: Db, postingId: string): Promise<boolean> {
  const { rowCount } = await db.query(
    'select from engine.carried where posting = $1 union all select from engine.review_case where posting = $1 limit 1',
    [postingId],
  );
  return rowCount === 1;
}
