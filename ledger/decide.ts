import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import { inTransaction } from '../database/pool.ts';
import type { DecisionAnswer } from '../domain/decision.ts';

/** A confirmed decision. It holds the ids of the rows, not their contents: the posting transaction reads them again. */
export interface DecisionItem {
  readonly workflowId: string;
  readonly proposalId: string;
  readonly confirmationId: string;
}

/**
 * Why no money moved; the case stays open. `not_written`: the two rows are not in the table, or not of this case, so
 * the message is forged; nothing is recorded for it, and the proposal waits on. After every other refusal a new
 * proposal may be made. `credited_meanwhile`: the deposit has another credit than its case showed.
 */
export type DecisionRefusal =
  | 'not_written'
  | 'unproven'
  | 'withdrawn'
  | 'case_closed'
  | 'code_stands'
  | 'credited_meanwhile'
  | 'facts_differ'
  | 'not_possible';

/**
 * Carries a confirmed decision out in two transactions with one posting each (docs/reference/ledger.md#locks): the
 * first books the money where it is not booked yet, the second does everything else. The database reads the rows,
 * judges them and moves the money (docs/reference/database-roles.md#decisions).
 * - A crash between the two leaves money in suspense and the case open, which is a valid state.
 * - Idempotent: the result of a decision that was carried out is returned, whatever came after it.
 * - Database errors pass through; the outcome may then be unknown, so retry.
 * - `isGenuine` checks the seal of the case's inbox row, which the database cannot do; no other row is credited.
 */
export async function carryOutDecision(
  pool: pg.Pool,
  item: DecisionItem,
  isGenuine: IsGenuine,
): Promise<DecisionAnswer<DecisionRefusal>> {
  if (!isRowId(item.proposalId) || !isRowId(item.confirmationId)) {
    return { kind: 'refused', refusal: 'not_written', detail: 'no rows are named' };
  }
  const early = await inTransaction(pool, async (client) => {
    const isDoubted = (await isCreditToCome(client, item)) && !(await isGenuine(client, item.workflowId));
    const doubt = isDoubted ? 'its inbox row bears no seal of the API: nobody knows who wrote it' : null;
    return ask(client, 'engine.bring_in($1, $2, $3, $4)', item, doubt);
  });
  if (early !== null) return early;
  crashPoint('decide.betweenTx');
  return (await inTransaction(pool, (client) => ask(client, 'engine.decide($1, $2, $3)', item)))!;
}

export type IsGenuine = (client: pg.ClientBase, workflowId: string) => Promise<boolean>;

/**
 * Records a decision that the database refused because of the decision itself, in a transaction that was rolled back;
 * or, as `unproven`, one whose steps lack the signatures of their operators.
 */
export async function recordRefused(
  pool: pg.Pool,
  item: DecisionItem,
  detail: string,
  refusal: 'not_possible' | 'unproven' = 'not_possible',
): Promise<DecisionAnswer<DecisionRefusal>> {
  return (await inTransaction(pool, (client) =>
    ask(client, 'engine.record_refused($1, $2, $3, $4, $5)', item, detail, refusal),
  ))!;
}

async function ask(
  client: pg.ClientBase,
  call: string,
  { workflowId, proposalId, confirmationId }: DecisionItem,
  ...more: readonly (string | null)[]
): Promise<DecisionAnswer<DecisionRefusal> | null> {
  const { rows } = await client.query<{ answer: DecisionAnswer<DecisionRefusal> | null }>(`select ${call} as answer`, [
    workflowId,
    proposalId,
    confirmationId,
    ...more,
  ]);
  return rows[0]!.answer;
}

/** Whether this proposal to credit has no result yet: only then its inbox row has to be checked. */
async function isCreditToCome(client: pg.ClientBase, { workflowId, proposalId }: DecisionItem): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from engine.decision p where p.id = $2 and p.workflow_id = $1 and p.decision = 'credit'
        and not exists (select from engine.carried k where k.proposal = p.id)`,
    [workflowId, proposalId],
  );
  return rowCount === 1;
}

const isRowId = (id: string): boolean => /^[1-9]\d{0,17}$/.test(id);
