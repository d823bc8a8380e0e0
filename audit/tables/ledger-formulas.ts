import { POSTING_LINE } from '../../archive/posting-line.ts';

/**
 * The formulas of the ledger, as the audit's own SQL: functions and views of the audited database may have been
 * replaced. Built-in functions only; hashes are computed in this process (books.ts).
 */

/** The lines of a posting `t`, as `l(line, code, amount)`, without those of amount 0. */
export const LEGS = `(values (1, t.debit_code::text, t.amount::numeric),
             (2, t.credit_code::text, t.fee + coalesce(t.rest, 0) - t.amount),
             (3, 'fees', -t.fee),
             (4, 'suspense:' || t.provider, -t.rest)) l(line, code, amount)`;

/** Every account with its stored balance and the sum of its entries. */
export const TRIAL_BALANCE = `(
  select a.code, a.asset, coalesce(b.amount, 0) as kept, coalesce(e.amount, 0) as summed,
         coalesce(b.entries, 0) as kept_entries, coalesce(e.entries, 0) as entries
    from ledger.account a
    left join ledger.balance b on b.account_id = a.id
    left join (select account_id, sum(amount) as amount, count(*) as entries
                 from ledger.entry group by account_id) e on e.account_id = a.id)`;

/** Postings whose money is still in suspense. */
export const SUSPENSE_OPEN = `(
  select t.id, t.provider, -l.amount as amount
    from ledger.transaction t cross join lateral ${LEGS}
   where l.code = 'suspense:' || t.provider and l.amount < 0
     and not exists (select from ledger.transaction s where s.origin = t.id))`;

/** The newest payment of each deposit that is in a wallet. */
export const NEWEST_STANDING = `(
  select t.deposit, (array_agg(t.key order by t.id desc))[1] as key from ledger.transaction t
   where t.deposit is not null and t.amount > 0 and t.credit_code like 'wallet:%'
     and not exists (select from ledger.transaction n where n.origin = t.id) group by t.deposit)`;

/**
 * Rows of the archive after number $1 (null: from the lowest), at most $2. Each has the line that its hash covers
 * besides the previous hash.
 */
export const ARCHIVE_LINES = `
  select a.n::int as n, workflow_id as "workflowId", prev, hash,
         concat_ws('|', a.n, workflow_id, run_id, workflow_type, status, (extract(epoch from closed_at) * 1000000)::bigint,
           events, encode(history_hash, 'hex'), coalesce(encode(bundle_hash, 'hex'), ''), sdk, version,
           (extract(epoch from archived_at) * 1000000)::bigint) as line
    from engine.archive a where $1::bigint is null or a.n > $1 order by a.n limit $2`;

/** Blocks after number $1, at most $2, each with the lines of its postings that its hash covers; times in microseconds. */
export const BLOCKS = `
  select b.n::text as n, b.prev, b.hash, (extract(epoch from b.at) * 1000000)::bigint::text as "atUs",
         (select string_agg(${POSTING_LINE}, E'\\n' order by t.id)
            from ledger.transaction t where t.id = any(b.members)) as lines
    from ledger.block b where $1::bigint is null or b.n > $1 order by b.n limit $2`;
