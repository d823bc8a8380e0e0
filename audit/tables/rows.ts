import type pg from 'pg';
import type { Decision } from '../../domain/decision.ts';
import { providerOf, type CallbackData, type DepositSettings, type Order } from '../../domain/order.ts';
import type { DecisionRow } from '../../database/queries/decisions.ts';

/** The rows of some workflows, read for the comparisons. Decimals canonical, ids and times as text. */
export interface DepositRecord extends Order {
  readonly provider: string;
  readonly settings: DepositSettings;
  readonly state: string;
  readonly late: boolean;
  readonly boundCallback: string | null;
  readonly postingId: string | null;
  /** The case that credited an unbound payment of this deposit, and so ended it. */
  readonly settledBy: string | null;
  /** Its workflow was signaled about that. */
  readonly told: boolean;
  readonly advertisementCode: string | null;
  /** sha256 of the checkout link, lower-case hex; null: there is none. */
  readonly redirectHash: string | null;
  readonly refusal: string | null;
  readonly createdAt: string;
  readonly placedAt: string | null;
  readonly expiresAt: string | null;
  readonly listeningUntil: string | null;
  readonly closedAt: string | null;
}

export interface CallbackRecord {
  readonly id: string;
  /** Null in older rows. */
  readonly uid: string | null;
  readonly externalOrderNumber: string;
  readonly deposit: string | null;
  readonly transactionCode: string | null;
  readonly data: CallbackData | null;
  readonly contentHash: Buffer;
  readonly raw: Buffer;
  readonly receipt: string;
  readonly receivedAt: string;
  readonly acked: boolean;
  readonly outcome: string | null;
  /** A stamp was bound to exactly this content. */
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
  /** The first posting of its chain; its own id if it is the first. */
  readonly root: string;
  /** The credit of the deposit beside which two operators put it. */
  readonly beside: string | null;
  /** The part of the amount that stays in suspense, because only the ordered amount was credited. */
  readonly rest: string | null;
  readonly workflowId: string;
  readonly actor: string | null;
  readonly reason: string | null;
  readonly postedAt: string;
}

export interface CaseRecord {
  readonly workflowId: string;
  /** The workflow that holds it, when it is not the case's own. */
  readonly heldBy: string | null;
  readonly inboxId: string;
  readonly reason: string;
  readonly detail: string;
  /** The operator who opened it as a doubt of the posting `doubted`; null: the engine opened the case. */
  readonly openedBy: string | null;
  readonly doubted: string | null;
  readonly parked: string | null;
  readonly openedAt: string;
  readonly closedAt: string | null;
  readonly decision: Decision | null;
  readonly decidedBy: string | null;
  readonly postingId: string | null;
  /** The waiting proposal that operators see. */
  readonly proposal: string | null;
}

export type StepRecord = Omit<DecisionRow, 'uid' | 'inboxId' | 'at'> & { readonly at: string };

/** The stored result of a confirmed proposal. */
export interface CarriedRecord {
  readonly proposal: string;
  readonly confirmation: string;
  readonly answer: unknown;
  readonly at: string;
}

/** The facts that one operator read in the provider's statement, for an unreadable payment. */
export interface StatedRecord {
  readonly decision: string;
  readonly transactionCode: string;
  readonly transactionAmount: string;
  readonly currencyCode: string;
  readonly paymentPrice: string;
}

/** One call to the provider for an order, with its outcome. */
export interface AttemptRecord {
  readonly externalOrderNumber: string;
  readonly n: number;
  readonly outcome: string | null;
  /** The kind of the answer: `placed`, `unknown`, …, also of a late one. */
  readonly answered: string | null;
  readonly cause: string | null;
  readonly advertisementCode: string | null;
  /** sha256 of the checkout link in it, lower-case hex. */
  readonly redirectHash: string | null;
}

/** All rows about one batch of workflows, indexed for lookups. */
export interface Records {
  /** Deposits of the histories, and those that decisions name. */
  readonly deposits: ReadonlyMap<string, DepositRecord>;
  readonly callbacks: ReadonlyMap<string, CallbackRecord>;
  readonly postings: ReadonlyMap<string, readonly PostingRecord[]>;
  readonly cases: ReadonlyMap<string, CaseRecord>;
  readonly steps: ReadonlyMap<string, readonly StepRecord[]>;
  /** By the proposal. */
  readonly carried: ReadonlyMap<string, CarriedRecord>;
  /** By the step that stated it. */
  readonly stated: ReadonlyMap<string, StatedRecord>;
  /** Steps that their case refused, with the refusal. */
  readonly refused: ReadonlyMap<string, string>;
  /** By id: postings that rows, steps and postings name, and the first ones of their chains. */
  readonly named: ReadonlyMap<string, PostingRecord>;
  /** By order, in their order. */
  readonly attempts: ReadonlyMap<string, readonly AttemptRecord[]>;
  /** By deposit: its callbacks with an outcome. */
  readonly outcomes: ReadonlyMap<string, readonly { readonly id: string; readonly outcome: string }[]>;
  /** When a restore of this database was last recorded; null: never. */
  readonly restoredAt: string | null;
  /** By transaction code: the workflow whose posting has used it up. */
  readonly codes: ReadonlyMap<string, string>;
}

const time = (column: string) => `to_char(${column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const DEPOSITS = `
  select external_order_number as "externalOrderNumber", wallet, buy_coin_mode as "buyCoinMode",
         trim_scale(mtc_amount)::text as "mtcAmount", trim_scale(total_price)::text as "totalPrice",
         currency_code as "currencyCode", provider, settings, state, late, bound_callback::text as "boundCallback",
         posting_id::text as "postingId", settled_by as "settledBy", told_at is not null as told, advertisement_code as "advertisementCode",
         encode(sha256(convert_to(redirect_url, 'UTF8')), 'hex') as "redirectHash", refusal, ${time('created_at')} as "createdAt",
         ${time('placed_at')} as "placedAt", ${time('expires_at')} as "expiresAt", ${time('listening_until')} as "listeningUntil",
         ${time('closed_at')} as "closedAt"
    from engine.deposit where external_order_number = any($1)`;

export const CALLBACK_COLUMNS = `
         c.id::text as id, c.uid::text as uid, c.external_order_number as "externalOrderNumber", c.deposit, c.transaction_code as "transactionCode", c.data, c.content_hash as "contentHash", c.raw,
         c.receipt, ${time('c.received_at')} as "receivedAt", c.acked, c.outcome,
         (exists (select from engine.callback_stamp s where s.external_order_number = c.external_order_number
                     and s.content_hash = c.content_hash)
          -- An old one may have been pruned, and is then said by the attempt alone (docs/internals/growth.md#what-prunes).
          or exists (select from engine.callback_attempt a where a.callback = c.id
                        and a.timestamp_ms < (extract(epoch from clock_timestamp() - interval '7 days') * 1000)::bigint)) as stamped`;

const POSTING = `
  select id::text as id, key, kind, deposit, provider_code as "transactionCode", debit_code as debit, credit_code as credit,
         trim_scale(amount)::text as amount, trim_scale(fee)::text as fee, fiat, trim_scale(fiat_amount)::text as "fiatAmount",
         trim_scale(unit_price)::text as "unitPrice", origin::text as origin, beside::text as beside, trim_scale(rest)::text as rest,
         workflow_id as "workflowId", actor, reason, ${time('posted_at')} as "postedAt",
         coalesce((select l.root from ledger.lineage l where l.transaction_id = t.id), t.id)::text as root
    from ledger.transaction t`;

const POSTINGS = `${POSTING} where workflow_id = any($1) order by id`;

const NAMED = `
  with named as (select id, origin from ledger.transaction where id = any($1::bigint[]))
  ${POSTING} where id in (
    select n.id from named n union select n.origin from named n
    union select l.root from named n join ledger.lineage l on l.transaction_id = n.id)`;

const CARRIED = `
  select k.proposal::text as proposal, k.confirmation::text as confirmation, k.answer, ${time('k.at')} as at
    from engine.carried k where k.proposal = any($1::bigint[])`;

const STATED = `
  select decision::text as decision, transaction_code as "transactionCode", trim_scale(amount)::text as "transactionAmount",
         currency_code as "currencyCode", trim_scale(payment_price)::text as "paymentPrice"
    from engine.stated_facts where decision = any($1::bigint[])`;

const REFUSED = `select decision::text as id, refusal from engine.refused_step where decision = any($1::bigint[])`;

const CASES = `
  select workflow_id as "workflowId", held_by as "heldBy", callback::text as "inboxId", reason, detail, opened_by as "openedBy",
         doubted::text as doubted, parked::text as parked, ${time('opened_at')} as "openedAt", ${time('closed_at')} as "closedAt",
         decision, decided_by as "decidedBy", posting::text as "postingId", proposal::text as proposal
    from engine.review_case where workflow_id = any($1)`;

const STEPS = `
  select id::text as id, workflow_id as "workflowId", step, decision, proposal::text as proposal, keep,
         to_deposit as "toDeposit", beside::text as beside, only_ordered as "onlyOrdered", operator, reason, ${time('at')} as at
    from engine.decision where workflow_id = any($1) order by id`;

const CODES = `
  select provider_code as code, min(workflow_id) as "workflowId" from ledger.transaction
   where provider = '${providerOf()}' and provider_code = any($1) group by provider_code`;

const ATTEMPTS = `
  select external_order_number as "externalOrderNumber", n, outcome, answer->>'kind' as answered, answer->>'cause' as cause,
         answer->>'advertisementCode' as "advertisementCode", encode(sha256(convert_to(answer->>'redirectUrl', 'UTF8')), 'hex') as "redirectHash"
    from engine.placement_attempt where external_order_number = any($1) order by external_order_number, n`;

const RESTORED = `select ${time('max(r.at)')} as at from engine.restored r`;

const OUTCOMES = `
  select deposit, id::text as id, outcome from engine.callback where deposit = any($1) and outcome is not null order by id`;

/**
 * Reads the rows of these deposits and cases. `inboxIds`: the callbacks that their histories name. Ids from a forged
 * history that no table can hold are omitted.
 */
export async function readRecords(
  db: pg.ClientBase,
  workflowIds: readonly string[],
  orderNumbers: readonly string[],
  inboxIds: readonly string[],
): Promise<Records> {
  const all = async <T extends pg.QueryResultRow>(sql: string, values: readonly unknown[]) =>
    values.length === 0 ? [] : (await db.query<T>(sql, [[...new Set(values)]])).rows;
  const workflows = workflowIds.filter(isText);
  const postings = await all<PostingRecord>(POSTINGS, workflows);
  const cases = await all<CaseRecord>(CASES, workflows);
  const steps = await all<StepRecord>(STEPS, workflows);
  const toDeposits = steps.flatMap(({ toDeposit }) => toDeposit ?? []);
  const deposits = await all<DepositRecord>(DEPOSITS, [...orderNumbers.filter(isText), ...toDeposits]);
  const callbacks = await all<CallbackRecord>(
    `select ${CALLBACK_COLUMNS} from engine.callback c where c.id = any($1::bigint[])`,
    [
      ...inboxIds.filter((id) => isText(id) && /^\d{1,18}$/.test(id)),
      ...deposits.flatMap(({ boundCallback }) => boundCallback ?? []),
    ],
  );
  const codes = callbacks.flatMap(({ data }) => (isText(data?.transactionCode) ? [data.transactionCode] : []));
  const orders = orderNumbers.filter(isText);
  const attempts = await all<AttemptRecord>(ATTEMPTS, orders);
  const outcomes = await all<{ deposit: string; id: string; outcome: string }>(OUTCOMES, orders);
  const restored = await db.query<{ at: string | null }>(RESTORED);
  const stepIds = steps.map(({ id }) => id);
  const named = [
    ...deposits.map(({ postingId }) => postingId),
    ...cases.flatMap(({ doubted, parked }) => [doubted, parked]),
    ...postings.flatMap(({ root, origin }) => [root, origin]),
  ];
  const [carried, stated] = [await all<CarriedRecord>(CARRIED, stepIds), await all<StatedRecord>(STATED, stepIds)];
  return {
    deposits: new Map(deposits.map((row) => [row.externalOrderNumber, row])),
    callbacks: new Map(callbacks.map((row) => [row.id, row])),
    attempts: grouped(attempts, ({ externalOrderNumber }) => externalOrderNumber),
    outcomes: grouped(outcomes, ({ deposit }) => deposit),
    restoredAt: restored.rows[0]?.at ?? null,
    postings: byWorkflow(postings),
    cases: new Map(cases.map((row) => [row.workflowId, row])),
    steps: byWorkflow(steps),
    carried: new Map(carried.map((row) => [row.proposal, row])),
    stated: new Map(stated.map((row) => [row.decision, row])),
    refused: new Map(
      (await all<{ id: string; refusal: string }>(REFUSED, stepIds)).map((row) => [row.id, row.refusal]),
    ),
    named: new Map(
      (
        await all<PostingRecord>(
          NAMED,
          named.filter((id) => id !== null),
        )
      ).map((row) => [row.id, row]),
    ),
    codes: new Map(
      (await all<{ code: string; workflowId: string }>(CODES, codes)).map((row) => [row.code, row.workflowId]),
    ),
  };
}

/** Whether PostgreSQL can store the text: it allows no NUL. */
const isText = (value: unknown): value is string => typeof value === 'string' && !value.includes('\0');

const byWorkflow = <T extends { readonly workflowId: string }>(rows: readonly T[]) =>
  grouped(rows, ({ workflowId }) => workflowId);

function grouped<T>(rows: readonly T[], keyOf: (row: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const group = groups.get(keyOf(row));
    if (group === undefined) groups.set(keyOf(row), [row]);
    else group.push(row);
  }
  return groups;
}
