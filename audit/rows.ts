import type pg from 'pg';
import type { Decision } from '../domain/decision.ts';
import type { CallbackData, DepositSettings, Order } from '../domain/order.ts';

/** What the tables hold about some workflows, read for comparing. Decimals canonical, ids and times text. */
export interface DepositRecord extends Order {
  readonly settings: DepositSettings;
  readonly state: string;
  readonly late: boolean;
  readonly boundCallback: string | null;
  readonly postingId: string | null;
  readonly expiresAt: string | null;
}

export interface CallbackRecord {
  readonly id: string;
  readonly externalOrderNumber: string;
  readonly deposit: string | null;
  readonly data: CallbackData | null;
  readonly contentHash: Buffer;
  readonly raw: Buffer;
  readonly receipt: string;
  readonly receivedAt: string;
  readonly acked: boolean;
  readonly outcome: string | null;
  /** A stamp that was bound to exactly this content stands beside it. */
  readonly stamped: boolean;
}

export interface PostingRecord {
  readonly id: string;
  readonly key: string;
  readonly kind: string;
  readonly deposit: string | null;
  readonly transactionCode: string | null;
  readonly debit: string;
  readonly credit: string;
  readonly amount: string;
  readonly fiat: string | null;
  readonly fiatAmount: string | null;
  readonly origin: string | null;
  readonly workflowId: string;
  readonly actor: string | null;
}

export interface CaseRecord {
  readonly workflowId: string;
  readonly inboxId: string;
  readonly closed: boolean;
  readonly decision: Decision | null;
  readonly decidedBy: string | null;
  readonly postingId: string | null;
}

export interface StepRecord {
  readonly id: string;
  readonly workflowId: string;
  readonly step: string;
  readonly decision: Decision | null;
  readonly proposal: string | null;
  readonly keep: boolean;
  readonly operator: string;
}

/** Everything about one batch of workflows, by what it is looked up by. */
export interface Records {
  readonly deposits: ReadonlyMap<string, DepositRecord>;
  readonly callbacks: ReadonlyMap<string, CallbackRecord>;
  readonly postings: ReadonlyMap<string, readonly PostingRecord[]>;
  readonly cases: ReadonlyMap<string, CaseRecord>;
  readonly steps: ReadonlyMap<string, readonly StepRecord[]>;
}

const DEPOSITS = `
  select external_order_number as "externalOrderNumber", wallet, buy_coin_mode as "buyCoinMode",
         trim_scale(mtc_amount)::text as "mtcAmount", trim_scale(total_price)::text as "totalPrice",
         currency_code as "currencyCode", settings, state, late, bound_callback::text as "boundCallback",
         posting_id::text as "postingId", to_char(expires_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "expiresAt"
    from engine.deposit where external_order_number = any($1)`;

export const CALLBACK_COLUMNS = `
         c.id::text as id, c.external_order_number as "externalOrderNumber", c.deposit, c.data, c.content_hash as "contentHash", c.raw,
         c.receipt, to_char(c.received_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "receivedAt", c.acked, c.outcome,
         exists (select from engine.callback_stamp s where s.external_order_number = c.external_order_number
                    and s.content_hash = c.content_hash) as stamped`;

const POSTINGS = `
  select id::text as id, key, kind, deposit, provider_code as "transactionCode", debit_code as debit, credit_code as credit,
         trim_scale(amount)::text as amount, fiat, trim_scale(fiat_amount)::text as "fiatAmount", origin::text as origin,
         workflow_id as "workflowId", actor
    from ledger.transaction where workflow_id = any($1) order by id`;

const CASES = `
  select workflow_id as "workflowId", callback::text as "inboxId", closed_at is not null as closed, decision,
         decided_by as "decidedBy", posting::text as "postingId"
    from engine.review_case where workflow_id = any($1)`;

const STEPS = `
  select id::text as id, workflow_id as "workflowId", step, decision, proposal::text as proposal, keep, operator
    from engine.decision where workflow_id = any($1) order by id`;

/** Reads what belongs to these workflows. `inboxIds`: the callbacks that their histories name. */
export async function readRecords(
  db: pg.ClientBase,
  workflowIds: readonly string[],
  orderNumbers: readonly string[],
  inboxIds: readonly string[],
): Promise<Records> {
  const all = async <T extends pg.QueryResultRow>(sql: string, values: readonly string[]) =>
    (await db.query<T>(sql, [values])).rows;
  const deposits = await all<DepositRecord>(DEPOSITS, orderNumbers);
  const callbacks = await all<CallbackRecord>(
    `select ${CALLBACK_COLUMNS} from engine.callback c where c.id = any($1::bigint[])`,
    inboxIds,
  );
  const postings = await all<PostingRecord>(POSTINGS, workflowIds);
  const cases = await all<CaseRecord>(CASES, workflowIds);
  const steps = await all<StepRecord>(STEPS, workflowIds);
  return {
    deposits: new Map(deposits.map((row) => [row.externalOrderNumber, row])),
    callbacks: new Map(callbacks.map((row) => [row.id, row])),
    postings: byWorkflow(postings),
    cases: new Map(cases.map((row) => [row.workflowId, row])),
    steps: byWorkflow(steps),
  };
}

function byWorkflow<T extends { readonly workflowId: string }>(rows: readonly T[]): Map<string, T[]> {
  const grouped = new Map<string, T[]>();
  for (const row of rows) grouped.set(row.workflowId, [...(grouped.get(row.workflowId) ?? []), row]);
  return grouped;
}
