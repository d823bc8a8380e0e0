import type { Credit } from '../../domain/credits.ts';

/** The postings that put money into wallets for a deposit, as the books have them. */

/** As JSON from the database: times as text. `root` is the posting that brought the money in. */
export interface RawCredit extends Omit<Credit, 'at' | 'reversed'> {
  readonly root: string;
  readonly at: string;
  readonly reversed: (Omit<NonNullable<Credit['reversed']>, 'at'> & { readonly at: string }) | null;
}

/**
 * SQL of a row with `credits`, a JSON array or null; `deposit` is the expression that names the deposit. Each step
 * takes one look-up in an index, so that a list may use it for every row:
 * - the postings by `one_automatic_credit` and `transaction_by_deposit`;
 * - the successor by `origin`, the root by `lineage`.
 */
export const creditsOf = (deposit: string): string => `
  select json_agg(json_build_object(
           'postingId', t.id::text, 'root', r.id::text, 'amount', trim_scale(t.amount - t.fee - coalesce(t.rest, 0))::text, 'rest', trim_scale(t.rest)::text,
           'wallet', substr(t.credit_code, ${'wallet:'.length + 1}), 'transactionCode', r.provider_code,
           'how', case when t.kind = 'credit' then 'machine' else 'people' end, 'at', t.posted_at,
           'reversed', case when s.id is not null then
              json_build_object('postingId', s.id::text, 'at', s.posted_at, 'kept', s.debit_code like 'suspense:%') end)
           order by t.id) as credits
    from (select * from ledger.transaction where deposit = ${deposit} and kind = 'credit'
          union all
          select * from ledger.transaction
           where deposit = ${deposit} and kind in ('release', 'reversal') and amount > 0 and credit_code like 'wallet:%') t
    left join ledger.lineage l on l.transaction_id = t.id
    join ledger.transaction r on r.id = coalesce(l.root, t.id)
    left join ledger.transaction s on s.origin = t.id`;

export const toCredits = (raw: readonly RawCredit[] | null): Credit[] =>
  (raw ?? []).map((credit) => ({
    postingId: credit.postingId,
    amount: credit.amount,
    rest: credit.rest,
    wallet: credit.wallet,
    transactionCode: credit.transactionCode,
    how: credit.how,
    at: new Date(credit.at),
    reversed: credit.reversed === null ? null : { ...credit.reversed, at: new Date(credit.reversed.at) },
  }));
