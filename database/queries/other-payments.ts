import type pg from 'pg';
import type { Decision } from '../../domain/decision.ts';

/** Another callback of an order number, as operators see it beside the one their case is about. */
export interface OtherCallback {
  readonly inboxId: string;
  readonly transactionCode: string | null;
  readonly amount: string | null;
  readonly currencyCode: string | null;
  readonly paymentPrice: string | null;
  readonly receivedAt: Date;
  /** The case about it: the one that is open, or else the one it led to; null: a machine has it. */
  readonly case: string | null;
  /** `open`: not decided; `credited`: by a machine; null: it has no outcome yet. */
  readonly outcome: 'open' | 'credited' | Decision | null;
}

/**
 * Returns them oldest first. One look-up in an index for each: a callback has at most one open case, and its outcome
 * names the first.
 */
export async function listOtherCallbacks(
  db: pg.Pool,
  of: { readonly externalOrderNumber: string; readonly inboxId: string },
): Promise<OtherCallback[]> {
  const { rows } = await db.query<OtherCallback>(
    `select o.id as "inboxId", o.transaction_code as "transactionCode", o.data->>'transactionAmount' as amount,
            o.data->>'currencyCode' as "currencyCode", o.data->>'paymentPrice' as "paymentPrice", o.received_at as "receivedAt",
            v.workflow_id as "case",
            case when v.workflow_id is null then case when o.outcome like 'posting:%' then 'credited' end
                 else coalesce(v.decision, 'open') end as outcome
       from engine.callback o
       left join lateral (
         select v.workflow_id, v.decision from engine.review_case v where v.callback = o.id and v.closed_at is null
         union all
         select v.workflow_id, v.decision from engine.review_case v
          where o.outcome like 'review:%' and v.workflow_id = substr(o.outcome, ${'review:'.length + 1}) and v.closed_at is not null
         limit 1) v on true
      where o.external_order_number = $1 and o.id <> $2 order by o.id`,
    [of.externalOrderNumber, of.inboxId],
  );
  return rows;
}
