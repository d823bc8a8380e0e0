import type pg from 'pg';
import type { Decision } from '../domain/decision.ts';

type Db = pg.Pool | pg.ClientBase;

/** One step a person took; append-only. A row says who wanted what; whether it counted stands in the case's history. */
export interface DecisionRow {
  readonly id: string;
  readonly workflowId: string;
  readonly inboxId: string;
  readonly step: 'propose' | 'confirm' | 'withdraw';
  readonly decision: Decision | null;
  readonly proposal: string | null;
  readonly keep: boolean;
  readonly toDeposit: string | null;
  readonly reason: string | null;
  readonly operator: string;
  readonly at: Date;
}

interface RawDecision {
  id: string;
  workflow_id: string;
  callback: string;
  step: DecisionRow['step'];
  decision: Decision | null;
  proposal: string | null;
  keep: boolean;
  to_deposit: string | null;
  reason: string | null;
  operator: string;
  at: Date;
}

const COLUMNS = 'id, workflow_id, callback, step, decision, proposal, keep, to_deposit, reason, operator, at';

const toDecision = (row: RawDecision): DecisionRow => ({
  id: row.id,
  workflowId: row.workflow_id,
  inboxId: row.callback,
  step: row.step,
  decision: row.decision,
  proposal: row.proposal,
  keep: row.keep,
  toDeposit: row.to_deposit,
  reason: row.reason,
  operator: row.operator,
  at: row.at,
});

export type NewDecision = Pick<DecisionRow, 'workflowId' | 'inboxId' | 'operator'> &
  (
    | (Pick<DecisionRow, 'keep' | 'toDeposit'> & {
        readonly step: 'propose';
        readonly decision: Decision;
        readonly reason: string;
      })
    | { readonly step: 'confirm'; readonly proposal: string; readonly reason: string | null }
    | { readonly step: 'withdraw'; readonly proposal: string; readonly reason: string }
  );

/** Writes a step down before the workflow hears of it; answers the row's id. */
export async function insertDecision(db: Db, step: NewDecision): Promise<string> {
  const proposed = step.step === 'propose' ? step : null;
  const { rows } = await db.query<{ id: string }>(
    `insert into engine.decision (callback, workflow_id, step, decision, keep, to_deposit, proposal, reason, operator)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id`,
    [
      step.inboxId,
      step.workflowId,
      step.step,
      proposed?.decision ?? null,
      proposed?.keep ?? false,
      proposed?.toDeposit ?? null,
      step.step === 'propose' ? null : step.proposal,
      step.reason,
      step.operator,
    ],
  );
  return rows[0]!.id;
}

/** Every step taken in a case, in order. */
export async function listDecisions(db: Db, workflowId: string): Promise<DecisionRow[]> {
  const { rows } = await db.query<RawDecision>(
    `select ${COLUMNS} from engine.decision where workflow_id = $1 order by id`,
    [workflowId],
  );
  return rows.map(toDecision);
}
