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
  readonly advertisementCode: string | null;
  readonly refusal: string | null;
  readonly createdAt: string;
  readonly placedAt: string | null;
  readonly expiresAt: string | null;
  readonly listeningUntil: string | null;
  readonly closedAt: string | null;
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
  readonly fee: string;
  readonly fiat: string | null;
  readonly fiatAmount: string | null;
  readonly unitPrice: string | null;
  readonly origin: string | null;
  readonly workflowId: string;
  readonly actor: string | null;
  readonly reason: string | null;
  readonly postedAt: string;
}

export interface CaseRecord {
  readonly workflowId: string;
  readonly inboxId: string;
  readonly reason: string;
  readonly detail: string;
  /** Who doubts a credit, and which; null: the engine opened it. */
  readonly openedBy: string | null;
  readonly doubted: string | null;
  readonly parked: string | null;
  readonly openedAt: string;
  readonly closedAt: string | null;
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
  readonly toDeposit: string | null;
  readonly operator: string;
  readonly reason: string | null;
  readonly at: string;
}

/** Everything about one batch of workflows, by what it is looked up by. */
export interface Records {
  /** Those of the histories, and those that decisions name. */
  readonly deposits: ReadonlyMap<string, DepositRecord>;
  readonly callbacks: ReadonlyMap<string, CallbackRecord>;
  readonly postings: ReadonlyMap<string, readonly PostingRecord[]>;
  readonly cases: ReadonlyMap<string, CaseRecord>;
  readonly steps: ReadonlyMap<string, readonly StepRecord[]>;
  /** By transaction code: the workflow whose posting has used it up. */
  readonly codes: ReadonlyMap<string, string>;
}

const time = (column: string) => `to_char(${column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const DEPOSITS = `
  select external_order_number as "externalOrderNumber", wallet, buy_coin_mode as "buyCoinMode",
         trim_scale(mtc_amount)::text as "mtcAmount", trim_scale(total_price)::text as "totalPrice",
         currency_code as "currencyCode", settings, state, late, bound_callback::text as "boundCallback",
         posting_id::text as "postingId", advertisement_code as "advertisementCode", refusal, ${time('created_at')} as "createdAt",
         ${time('placed_at')} as "placedAt", ${time('expires_at')} as "expiresAt", ${time('listening_until')} as "listeningUntil",
         ${time('closed_at')} as "closedAt"
    from engine.deposit where external_order_number = any($1)`;

export const CALLBACK_COLUMNS = `
         c.id::text as id, c.external_order_number as "externalOrderNumber", c.deposit, c.data, c.content_hash as "contentHash", c.raw,
         c.receipt, ${time('c.received_at')} as "receivedAt", c.acked, c.outcome,
         exists (select from engine.callback_stamp s where s.external_order_number = c.external_order_number
                    and s.content_hash = c.content_hash) as stamped`;

const POSTINGS = `
  select id::text as id, key, kind, deposit, provider_code as "transactionCode", debit_code as debit, credit_code as credit,
         trim_scale(amount)::text as amount, trim_scale(fee)::text as fee, fiat, trim_scale(fiat_amount)::text as "fiatAmount",
         trim_scale(unit_price)::text as "unitPrice", origin::text as origin, workflow_id as "workflowId", actor, reason,
         ${time('posted_at')} as "postedAt"
    from ledger.transaction where workflow_id = any($1) order by id`;

const CASES = `
  select workflow_id as "workflowId", callback::text as "inboxId", reason, detail, opened_by as "openedBy",
         doubted::text as doubted, parked::text as parked, ${time('opened_at')} as "openedAt", ${time('closed_at')} as "closedAt",
         decision, decided_by as "decidedBy", posting::text as "postingId"
    from engine.review_case where workflow_id = any($1)`;

const STEPS = `
  select id::text as id, workflow_id as "workflowId", step, decision, proposal::text as proposal, keep,
         to_deposit as "toDeposit", operator, reason, ${time('at')} as at
    from engine.decision where workflow_id = any($1) order by id`;

const CODES = `
  select provider_code as code, min(workflow_id) as "workflowId" from ledger.transaction
   where provider = 'mtpay' and provider_code = any($1) group by provider_code`;

/**
 * Reads what belongs to these workflows. `inboxIds`: the callbacks that their histories name. What a history names and no
 * table can hold, because somebody else wrote it, is not asked for.
 */
export async function readRecords(
  db: pg.ClientBase,
  workflowIds: readonly string[],
  orderNumbers: readonly string[],
  inboxIds: readonly string[],
): Promise<Records> {
  const all = async <T extends pg.QueryResultRow>(sql: string, values: readonly unknown[]) =>
    (await db.query<T>(sql, [values])).rows;
  const workflows = workflowIds.filter(isText);
  const callbacks = await all<CallbackRecord>(
    `select ${CALLBACK_COLUMNS} from engine.callback c where c.id = any($1::bigint[])`,
    inboxIds.filter((id) => isText(id) && /^\d{1,18}$/.test(id)),
  );
  const postings = await all<PostingRecord>(POSTINGS, workflows);
  const cases = await all<CaseRecord>(CASES, workflows);
  const steps = await all<StepRecord>(STEPS, workflows);
  const named = steps.flatMap(({ toDeposit }) => (toDeposit === null ? [] : [toDeposit]));
  const deposits = await all<DepositRecord>(DEPOSITS, [...new Set([...orderNumbers.filter(isText), ...named])]);
  const codes = callbacks.flatMap(({ data }) => (isText(data?.transactionCode) ? [data.transactionCode] : []));
  return {
    deposits: new Map(deposits.map((row) => [row.externalOrderNumber, row])),
    callbacks: new Map(callbacks.map((row) => [row.id, row])),
    postings: byWorkflow(postings),
    cases: new Map(cases.map((row) => [row.workflowId, row])),
    steps: byWorkflow(steps),
    codes: new Map(
      (await all<{ code: string; workflowId: string }>(CODES, codes)).map((row) => [row.code, row.workflowId]),
    ),
  };
}

/** PostgreSQL's texts hold no NUL. */
const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0');

function byWorkflow<T extends { readonly workflowId: string }>(rows: readonly T[]): Map<string, T[]> {
  const grouped = new Map<string, T[]>();
  for (const row of rows) grouped.set(row.workflowId, [...(grouped.get(row.workflowId) ?? []), row]);
  return grouped;
}
