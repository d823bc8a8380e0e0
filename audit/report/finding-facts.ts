import type pg from 'pg';
import type { FindingAbout } from './report.ts';
import { SEALED } from './roll-forward.ts';

/** The payment of each finding, as the tables say of the named place; these facts are not verified. */

/**
 * The posting of each place, if it has one. For a callback, a case or a deposit it is the newest posting of its money.
 */
const FACTS = `
  with place as (
    select w.place, ${['posting', 'callback', 'decision', 'block', 'archive row', 'transaction']
      .map((what) => `substring(w.place from '^${what} (.+)$') as ${what.replace(' ', '_')}`)
      .join(', ')}, substring(w.place from '^account wallet:(.+)$') as wallet
      from unnest($1::text[]) as w(place)),
  named as (
    select p.place, p.wallet, p.posting, p.callback, p.block, p.transaction,
           coalesce(s.workflow_id, a.workflow_id, case when p.place ~ '^(deposit|review):' then p.place end) as workflow
      from place p
      left join engine.decision s on s.id::text = p.decision
      left join engine.archive a on a.n::text = p.archive_row),
  paid as (
    select n.place, n.wallet, c.id as callback, coalesce(c.deposit, c.external_order_number, substring(n.workflow from '^deposit:([^:]+)')) as deposit,
           coalesce(n.posting::bigint, o.id, q.id, m.id, y.id) as posting, c.data->>'transactionAmount' as claimed, c.received_at
      from named n
      left join engine.review_case v on v.workflow_id = n.workflow
      left join engine.callback c on c.id = coalesce(n.callback::bigint, v.callback)
      left join lateral (select t.id from ledger.transaction t where t.provider_code = coalesce(n.transaction, c.transaction_code) order by t.id desc limit 1) o on true
      left join lateral (select t.id from ledger.transaction t where t.workflow_id = n.workflow order by t.id desc limit 1) q on o.id is null
      left join lateral (select min(i) as id from ledger.block b cross join lateral unnest(b.members) i where b.n = n.block::bigint having count(*) = 1) m on true
      left join lateral (select t.id from ledger.transaction t where t.deposit = substring(n.workflow from '^deposit:([^:]+)') and t.kind = 'credit' limit 1) y on o.id is null)
  select p.place, coalesce(t.deposit, d.external_order_number, p.deposit) as deposit,
         coalesce(p.wallet, substring(t.credit_code from '^wallet:(.+)$'), substring(t.debit_code from '^wallet:(.+)$'), d.wallet) as wallet,
         coalesce(t.credit_code like 'wallet:%' and t.amount > 0, false) as "isPaid",
         coalesce(trim_scale(t.amount)::text, p.claimed) as amount,
         to_char(coalesce(b.at, t.posted_at, p.received_at, d.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
    from paid p
    left join ledger.transaction t on t.id = p.posting
    left join ${SEALED} s on s.id = t.id
    left join ledger.block b on b.n = s.n
    left join engine.deposit d on d.external_order_number = coalesce(t.deposit, p.deposit)`;

type Row = FindingAbout & { readonly place: string };

/** The payments by place; places without a payment are omitted. */
export async function aboutPlaces(db: pg.ClientBase, places: readonly string[]): Promise<Map<string, FindingAbout>> {
  const known = places.filter((place) => KNOWN.test(place));
  if (known.length === 0) return new Map();
  const { rows } = await db.query<Row>(FACTS, [known]);
  const told = rows.filter(({ deposit, wallet, amount }) => (deposit ?? wallet ?? amount) !== null);
  return new Map(told.map(({ place, ...about }) => [place, about]));
}

/** Other texts in place of a number would fail the statement. */
const KNOWN =
  /^((posting|callback|decision|block|archive row) \d{1,18}|transaction \S+|(deposit|review):\S+|account wallet:\S+)$/;
