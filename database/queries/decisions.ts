import type { Secret } from '../../config/keys/secret.ts';
import type { Decision, Proposal } from '../../domain/decision.ts';
import type { Currency } from '../../domain/order.ts';
import type { Db } from '../pool.ts';

/** One step a person took; append-only. A row says who wanted what; whether it counted is in the case's history. */
export interface DecisionRow {
  readonly id: string;
  /** Never given out again, as an id is after a restore; null in rows of before. */
  readonly uid: string | null;
  readonly workflowId: string;
  readonly inboxId: string;
  readonly step: 'propose' | 'confirm' | 'withdraw';
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

/** What one of two people reads in the provider's statement about a payment that cannot be read. Decimals canonical. */
export interface StatedFacts {
  readonly transactionCode: string;
  readonly amount: string;
  readonly currencyCode: Currency;
  readonly paymentPrice: string;
  readonly statementLine: string | null;
}

/** What the operator's own device made of a step, verified. */
export interface VerifiedSignature {
  readonly signature: Buffer;
  readonly signerKey: string;
  readonly nonce: Buffer;
}

export type NewDecision = Pick<DecisionRow, 'workflowId'> & {
  /** With a proposal to credit what cannot be read, and with its confirmation. */
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

/** What a step was written down as. */
export type WrittenStep = Pick<DecisionRow, 'id' | 'uid'>;

/**
 * Writes a step down, in the name of whoever's key this proves, before the workflow hears of it. Waits for the lock of its
 * case; refused with SQLSTATE P0E30 to P0E36 (docs/guides/reviews.md#steps), and 23505 when its nonce was used: repeating it does
 * not help.
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

/** A step as it was told to the case's workflow. */
export type SaidStep =
  | Proposal
  | { readonly decisionId: string; readonly proposalId: string; readonly operator: string; readonly reason?: string };

/** Whether a step was written down in this case just as it was told, and nothing came of it yet. */
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
 * Marks a step of this key that the case's workflow did not take. True: it is a withdrawal, and a decision that was under
 * way has seen it, so it counts; else no decision will. Idempotent.
 */
export async function refuseStep(db: Db, proof: Secret, decisionId: string, refusal: string): Promise<boolean> {
  const { rows } = await db.query<{ counts: boolean }>('select engine.refuse_step($1, $2, $3) as counts', [
    proof.reveal(),
    decisionId,
    refusal,
  ]);
  return rows[0]!.counts;
}

/** What became of proposals of a case: by proposal. */
export interface CarriedRow<Answer = unknown> {
  readonly proposal: string;
  readonly confirmation: string;
  readonly outcome: 'decided' | 'withdrawn' | 'refused';
  readonly answer: Answer;
}

/** Of this case only: whoever names a proposal of another case has nothing to be told. */
export async function findCarried<Answer>(
  db: Db,
  workflowId: string,
  proposal: string,
): Promise<CarriedRow<Answer> | null> {
  const { rows } = await db.query<CarriedRow<Answer>>(
    `select k.proposal, k.confirmation, k.outcome, k.answer
       from engine.carried k join engine.decision d on d.id = k.proposal where d.id = $2 and d.workflow_id = $1`,
    [workflowId, proposal],
  );
  return rows[0] ?? null;
}

/** What the steps that were refused were refused for, by step. */
export async function listRefused(db: Db, workflowId: string): Promise<Map<string, string>> {
  const { rows } = await db.query<{ decision: string; refusal: string }>(
    `select r.decision, r.refusal from engine.refused_step r join engine.decision d on d.id = r.decision where d.workflow_id = $1`,
    [workflowId],
  );
  return new Map(rows.map((row) => [row.decision, row.refusal]));
}

/** What became of the proposals of a case, by proposal. */
export async function listCarried(db: Db, workflowId: string): Promise<Map<string, CarriedRow>> {
  const { rows } = await db.query<CarriedRow>(
    `select k.proposal, k.confirmation, k.outcome, k.answer from engine.carried k join engine.decision d on d.id = k.proposal where d.workflow_id = $1`,
    [workflowId],
  );
  return new Map(rows.map((row) => [row.proposal, row]));
}

/** What the two people stated with these steps, by step. */
export async function findStated(db: Db, steps: readonly string[]): Promise<Map<string, StatedFacts>> {
  const { rows } = await db.query<StatedFacts & { decision: string }>(
    `select decision, transaction_code as "transactionCode", trim_scale(amount)::text as amount, currency_code as "currencyCode",
            trim_scale(payment_price)::text as "paymentPrice", statement_line as "statementLine"
       from engine.stated_facts where decision = any($1)`,
    [steps],
  );
  return new Map(rows.map(({ decision, ...facts }) => [decision, facts]));
}

/** Whether people made this posting. The worker may not read the books. */
export async function isPeoplesPosting(db: Db, postingId: string): Promise<boolean> {
  const { rowCount } = await db.query(
    'select from engine.carried where posting = $1 union all select from engine.review_case where posting = $1 limit 1',
    [postingId],
  );
  return rowCount === 1;
}
