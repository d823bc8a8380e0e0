import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import { inTransaction } from '../database/pool.ts';
import type { DecisionAnswer } from '../domain/decision.ts';

/** A confirmed decision. The rows are named and not quoted: what they say is read again where the money moves. */
export interface DecisionItem {
  readonly workflowId: string;
  readonly proposalId: string;
  readonly confirmationId: string;
}

/**
 * Why nothing was moved; the case stays open. `not_written`: the two rows are not in the table, or not of this case: somebody
 * else's message; nothing is recorded for it, and what people proposed waits on. After every other a new proposal may be made;
 * `credited_meanwhile`: the deposit has another credit than the operators were shown.
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
 * Carries a confirmed decision out: first the money onto the books where it is not, then everything else, in two
 * transactions with one posting each (docs/reference/ledger.md#locks). The database reads the rows, judges them and moves the money
 * (docs/reference/database-roles.md#decisions). Killed between the two it leaves money in suspense and the case open, which is true.
 * Idempotent: what was carried out answers first, whatever came after it. Database errors pass through; the outcome may
 * then be unknown, so call again. `isGenuine`: whether the case's inbox row is one that the API wrote, which the database
 * cannot say; no other is credited.
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
 * What the database itself refused for the decision's own sake, in a transaction that is gone; or, `unproven`, what is not
 * signed by who took the steps.
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

/** Nothing came of this proposal to credit yet: only then somebody has to look at what it credits. */
async function isCreditToCome(client: pg.ClientBase, { workflowId, proposalId }: DecisionItem): Promise<boolean> {
  const { rowCount } = await client.query(
    `select from engine.decision p where p.id = $2 and p.workflow_id = $1 and p.decision = 'credit'
        and not exists (select from engine.carried k where k.proposal = p.id)`,
    [workflowId, proposalId],
  );
  return rowCount === 1;
}

const isRowId = (id: string): boolean => /^[1-9]\d{0,17}$/.test(id);
