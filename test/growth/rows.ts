import type pg from 'pg';
import { withClient } from '../../database/pool.ts';

/**
 * Writes the rows of so many deposits over a year, as the engine would have left them.
 * - 99.5 % are credited, one in a hundred has a second callback that two operators sent back, a few are open.
 * - No history is stored: `archive_object` has a short text for each.
 * - Numbers are for their count and order; nothing adds up.
 * - `lean`: long values outside of indexes are short, except in open rows and second callbacks.
 */
export async function generateRows(
  url: string,
  { deposits, lean }: { readonly deposits: number; readonly lean: boolean },
  tell: (line: string) => void,
): Promise<void> {
  await atLeisure(url, async (client) => {
    const timed = async (what: string, sql: string) => {
      const startedMs = performance.now();
      // Literals, so that each plan fits: the numbers of rows and of wallets.
      await client.query(
        sql
          .replaceAll('$LEAN', `${lean}`)
          .replaceAll('$N', `${deposits}`)
          .replaceAll('$W', `${Math.ceil(deposits / 20)}`),
      );
      tell(`${what}: ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
    };
    for (const sql of FOR_LOADING) await client.query(sql);
    await timed('functions', FUNCTIONS);
    // In the order of their re-creation: keys before their foreign keys.
    const { rows: later } = await client.query<{ name: string; drop: string; sql: string }>(LATER);
    for (const { drop } of later.toReversed()) await client.query(drop);
    for (const [table, sql] of STATEMENTS) await timed(table, sql);
    for (const { name, sql } of later) await timed(name, sql);
    await client.query(VALIDATED);
    await client.query(FIX_IDS);
    await timed('vacuum analyze', 'vacuum analyze');
    for (const sql of AS_BEFORE) await client.query(sql);
  });
}

/** For an otherwise idle server whose data are thrown away. */
const FOR_LOADING = [
  'alter system set autovacuum = off',
  'alter system set fsync = off',
  'alter system set full_page_writes = off',
  'alter system set max_wal_size = 4096',
  'select pg_reload_conf()',
  `set session_replication_role = replica; set synchronous_commit = off; set work_mem = '64MB'; set maintenance_work_mem = '512MB'; set jit = off`,
];
const AS_BEFORE = ['alter system reset all', 'select pg_reload_conf()'];

/** Keys, foreign keys and other indexes: built after the rows, which is ten times quicker. */
const LATER = `
select name, drop, sql from (
  select 1 as n, conname::text as name, format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop,
         format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as sql
    from pg_constraint where contype in ('p', 'u') and connamespace in ('engine'::regnamespace, 'ledger'::regnamespace)
  union all
  select 3, conname::text, format('alter table %s drop constraint %I', conrelid::regclass, conname),
         format('alter table %s add constraint %I %s not valid', conrelid::regclass, conname, replace(pg_get_constraintdef(oid), ' NOT VALID', ''))
    from pg_constraint where contype = 'f' and connamespace in ('engine'::regnamespace, 'ledger'::regnamespace)
  union all
  select 2, indexrelid::regclass::text, format('drop index %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
    from pg_index join pg_class c on c.oid = indrelid
   where relnamespace in ('engine'::regnamespace, 'ledger'::regnamespace)
     and not exists (select from pg_constraint k where k.conindid = indexrelid and k.contype in ('p', 'u'))) x
 order by n, name`;
/** Foreign keys were valid when their rows were written. */
const VALIDATED = `update pg_constraint set convalidated = true where contype = 'f'`;

/** A connection without the limits of the engine's pools. */
export const atLeisure = (url: string, work: (client: pg.Client) => Promise<void>): Promise<void> =>
  withClient({ connectionString: url }, work);

const FUNCTIONS = `
create function pg_temp.n(i bigint) returns text language sql immutable as $$ select 'o-' || substr(md5(i::text), 1, 20) $$;
create function pg_temp.code(i bigint) returns text language sql immutable as $$ select 'AT' || upper(substr(md5('c' || i), 1, 14)) $$;
create function pg_temp.hash(of text, i bigint) returns bytea language sql immutable as $$ select sha256(convert_to(of || i, 'UTF8')) $$;
-- The last one was made just now, the first one a year ago.
create function pg_temp.at(i bigint, n bigint) returns timestamptz language sql stable as $$
  select now() - (n - i) * (interval '365 days' / n) - interval '5 minutes' $$;
create function pg_temp.ms(i bigint, n bigint) returns bigint language sql stable as $$
  select (extract(epoch from pg_temp.at(i, n)) * 1000)::bigint $$;
create function pg_temp.state(i bigint, n bigint) returns text language sql immutable as $$
  select case when i > n - least(50, greatest(10, n / 500)) then case i % 10 when 0 then 'PLACEMENT_UNKNOWN' when 1 then 'EXPIRED' else 'AWAITING_PAYMENT' end
              when i % 200 = 7 then 'UNPAID' else 'CREDITED' end $$;
create function pg_temp.data(i bigint, n text) returns jsonb language sql stable as $$
  select case when $LEAN and i <= $N then jsonb_build_object('transactionCode', pg_temp.code(i)) else jsonb_build_object('externalOrderNumber', n, 'transactionCode', pg_temp.code(i), 'transactionAmount', '5000', 'currencyCode', 'CNY',
    'paymentPrice', '36000', 'transactionCreateTime', '2026-03-01T12:00:00', 'paymentFinishedTime', '2026-03-01T12:05:00') end $$;
create function pg_temp.raw(i bigint, n text, ms bigint) returns bytea language sql stable as $$
  select case when $LEAN then '' else convert_to('{"signature":"[signature]","timestamp":' || ms || ',"data":' || pg_temp.data(i, n) || '}', 'UTF8') end $$;
create function pg_temp.link(i bigint) returns text language sql immutable as $$
  select 'https://checkout.example/pay/' || case when $LEAN then i::text else md5('r' || i) || md5('s' || i) end $$;
create function pg_temp.answer(i bigint, n bigint) returns jsonb language sql stable as $$
  select case when $LEAN then jsonb_build_object('kind', 'placed')
              else jsonb_build_object('kind', 'placed', 'redirectUrl', pg_temp.link(i), 'advertisementCode', 'AD' || substr(md5('a' || i), 1, 12),
                                      'providerTimeMs', pg_temp.ms(i, n)) end $$;
create function pg_temp.notice(i bigint, n bigint) returns jsonb language sql stable as $$
  select case when $LEAN then '{}'
              else jsonb_build_object('state', 'CREDITED', 'late', false, 'amount', '5000', 'transactionCode', pg_temp.code(i), 'postingId', i::text,
                                      'paidPrice', '36000', 'creditedAt', pg_temp.at(i, n)) end $$;
`;

const SETTINGS = JSON.stringify({
  rateBands: { CNY: { from: '6.5', to: '8' }, HKD: { from: '7', to: '8.6' }, TWD: { from: '28', to: '36' } },
  feeBand: '0',
  latePolicy: 'credit',
  paymentWindowMs: 1_800_000,
  listeningWindowMs: 262_800_000,
  reviewLimit: '0',
});
const PAID = `pg_temp.state(i, $N) = 'CREDITED'`;
const ALL = 'generate_series(1::bigint, $N) i';
/** One in a hundred, by its own number. */
const SECONDS = 'generate_series(1::bigint, $N / 100) k cross join lateral (select k * 100 as i, $N + k as row) x';

const STATEMENTS: readonly (readonly [table: string, sql: string])[] = [
  [
    'deposit',
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, state, redirect_url,
       advertisement_code, bound_callback, posting_id, created_at, placed_at, expires_at, listening_until, closed_at, events)
     select pg_temp.n(i), 'w-' || i % $W, 'MtcAmount', 5000, 'CNY', 'en', pg_temp.hash('f', i),
            case when $LEAN and pg_temp.state(i, $N) in ('CREDITED', 'UNPAID') then '{}' else '${SETTINGS}'::jsonb end, pg_temp.state(i, $N),
            pg_temp.link(i), 'AD' || substr(md5('a' || i), 1, 12),
            case when ${PAID} then i end, case when ${PAID} then i end, pg_temp.at(i, $N), pg_temp.at(i, $N) + interval '1 second',
            pg_temp.at(i, $N) + interval '30 minutes', pg_temp.at(i, $N) + interval '73.5 hours',
            case when pg_temp.state(i, $N) in ('CREDITED', 'UNPAID') then pg_temp.at(i, $N) + interval '5 minutes' end,
            case pg_temp.state(i, $N) when 'UNPAID' then 3 when 'CREDITED' then 2 when 'EXPIRED' then 2 else 1 end + case when i % 100 = 0 then 2 else 0 end
       from ${ALL}`,
  ],
  [
    'placement_attempt',
    `insert into engine.placement_attempt select pg_temp.n(i), 1, pg_temp.at(i, $N), pg_temp.at(i, $N) + interval '25 seconds',
            case when pg_temp.state(i, $N) = 'PLACEMENT_UNKNOWN' then 'unknown' else 'placed' end,
            pg_temp.answer(i, $N) from ${ALL}`,
  ],
  ['own_stamp', `insert into engine.own_stamp select 'key1', pg_temp.ms(i, $N) from ${ALL} on conflict do nothing`],
  [
    'callback',
    `insert into engine.callback (id, external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, review_reason, received_at, last_at, acked, raised_at, outcome)
       overriding system value
     select i, pg_temp.n(i), pg_temp.n(i), pg_temp.code(i), pg_temp.hash('x', i), pg_temp.data(i, pg_temp.n(i)), pg_temp.raw(i, pg_temp.n(i), pg_temp.ms(i, $N)),
            'first', null, pg_temp.at(i, $N) + interval '5 minutes', pg_temp.at(i, $N) + interval '5 minutes', true, pg_temp.at(i, $N) + interval '5 minutes', 'posting:' || i
       from ${ALL} where ${PAID}
     union all
     select row, pg_temp.n(i), pg_temp.n(i), pg_temp.code(row), pg_temp.hash('x', row), pg_temp.data(row, pg_temp.n(i)), pg_temp.raw(row, pg_temp.n(i), pg_temp.ms(i, $N)),
            'other_content', 'SECOND_CODE', pg_temp.at(i, $N) + interval '9 minutes', pg_temp.at(i, $N) + interval '9 minutes', true, pg_temp.at(i, $N) + interval '9 minutes',
            'review:review:' || row || '-00000000'
       from ${SECONDS}`,
  ],
  [
    'callback_attempt',
    `insert into engine.callback_attempt select id, 1, received_at, 'key1', (extract(epoch from received_at) * 1000)::bigint from engine.callback`,
  ],
  [
    'callback_stamp',
    `insert into engine.callback_stamp select 'key1', (extract(epoch from received_at) * 1000)::bigint, external_order_number, content_hash from engine.callback`,
  ],
  [
    'account',
    `insert into ledger.account (id, code, kind) overriding system value select 1000 + w, 'wallet:w-' || w, 'liability' from generate_series(0, $W - 1) w`,
  ],
  [
    'transaction',
    `insert into ledger.transaction (id, key, kind, deposit, provider, provider_code, debit_code, credit_code, amount, fee, fiat, fiat_amount, unit_price, workflow_id, posted_at, origin, actor, reason)
       overriding system value
     select i, 'deposit:' || pg_temp.n(i) || ':credit', 'credit', pg_temp.n(i), 'mtpay', pg_temp.code(i), 'clearing:mtpay', 'wallet:w-' || i % $W, 5000, 0, 'CNY', 36000, 7.2,
            'deposit:' || pg_temp.n(i), pg_temp.at(i, $N) + interval '5 minutes', null::bigint, null, null
       from ${ALL} where ${PAID}
     union all
     select row, 'suspense:mtpay:' || pg_temp.code(row), 'suspense', pg_temp.n(i), 'mtpay', pg_temp.code(row), 'clearing:mtpay', 'suspense:mtpay', 5000, 0, 'CNY', 36000, 7.2,
            'review:' || row || '-00000000', pg_temp.at(i, $N) + interval '9 minutes', null, null, null from ${SECONDS}
     union all
     select $N + row, 'after:' || row, 'reversal', pg_temp.n(i), 'mtpay', null, 'clearing:mtpay', 'suspense:mtpay', -5000, 0, 'CNY', 36000, 7.2,
            'review:' || row || '-00000000', pg_temp.at(i, $N) + interval '2 hours', row, 'alice+bob', 'not ours' from ${SECONDS}`,
  ],
  [
    'entry',
    `insert into ledger.entry select t.id, l.line, a.id, l.amount from ledger.transaction t cross join lateral ledger.legs(t) l join ledger.account a on a.code = l.code`,
  ],
  ['balance', `insert into ledger.balance select account_id, sum(amount), count(*) from ledger.entry group by 1`],
  [
    'block',
    `insert into ledger.block select id, pg_temp.hash('b', id - 1), pg_temp.hash('b', id), array[id], posted_at from ledger.transaction`,
  ],
  ['slot', `insert into ledger.slot select deposit, key from ledger.transaction where kind = 'credit'`],
  ['lineage', `insert into ledger.lineage select id, origin from ledger.transaction where origin is not null`],
  [
    'review_case',
    `insert into engine.review_case (workflow_id, callback, wallet, reason, parked, opened_at, closed_at, decision, decided_by, posting)
     select 'review:' || row || '-00000000', row, 'w-' || i % $W, 'SECOND_CODE', row, pg_temp.at(i, $N) + interval '9 minutes', pg_temp.at(i, $N) + interval '2 hours', 'reject', 'alice+bob', $N + row
       from ${SECONDS}`,
  ],
  [
    'decision',
    `insert into engine.decision (id, callback, step, decision, reason, operator, at, workflow_id, proposal) overriding system value
     select 2 * k - 1, row, 'propose', 'reject', 'compared with the statement', 'alice', pg_temp.at(i, $N) + interval '1 hour', 'review:' || row || '-00000000', null::bigint from ${SECONDS}
     union all
     select 2 * k, row, 'confirm', null, null, 'bob', pg_temp.at(i, $N) + interval '2 hours', 'review:' || row || '-00000000', 2 * k - 1 from ${SECONDS}`,
  ],
  [
    'carried',
    `insert into engine.carried select 2 * k - 1, 2 * k, 'decided', $N + row, '{"kind": "decided", "decision": "reject"}', pg_temp.at(i, $N) + interval '2 hours' from ${SECONDS}`,
  ],
  [
    'event',
    `insert into engine.event (id, subject, sequence, type, wallet, posting, case_id, epoch, at, data, position, published_at) overriding system value
     select e.id, e.subject, e.sequence, e.type, 'w-' || e.i % $W, e.posting, e.case_id, 1, e.at, pg_temp.notice(e.i, $N), e.id, e.at from (
       select i, 5 * i as id, pg_temp.n(i) as subject, 1 as sequence,
              case when pg_temp.state(i, $N) = 'PLACEMENT_UNKNOWN' then 'deposit.unknown' else 'deposit.placed' end as type, null::bigint as posting,
              null as case_id, pg_temp.at(i, $N) + interval '1 second' as at
         from ${ALL}
       union all
       select i, 5 * i + 1, pg_temp.n(i), 2, 'deposit.credited', i, null, pg_temp.at(i, $N) + interval '5 minutes' from ${ALL} where ${PAID}
       union all
       select i, 5 * i + 1, pg_temp.n(i), 2, 'deposit.expired', null, null, pg_temp.at(i, $N) + interval '30 minutes'
         from ${ALL} where pg_temp.state(i, $N) in ('EXPIRED', 'UNPAID')
       union all
       select i, 5 * i + 2, pg_temp.n(i), 3, 'deposit.unpaid', null, null, pg_temp.at(i, $N) + interval '73.5 hours'
         from ${ALL} where pg_temp.state(i, $N) = 'UNPAID'
       union all
       select i, 5 * i + t.k + 2, pg_temp.n(i), t.k + 2, t.type, null, 'review:' || row || '-00000000', pg_temp.at(i, $N) + t.after
         from ${SECONDS} cross join (values (1, 'case.opened', interval '9 minutes'), (2, 'case.decided', interval '2 hours')) t(k, type, after)) e`,
  ],
  [
    'archive',
    `insert into engine.archive
     select i, pg_temp.hash('p', i), pg_temp.hash('q', i), w, r, t, 'COMPLETED', c, 40, pg_temp.hash('h', i), pg_temp.hash('bundle', 0), '@temporalio/worker@1.24.0', '0.1.0', c + interval '1 minute'
       from (select row_number() over (order by c) as i, w, r, t, c from (
         select 'deposit:' || pg_temp.n(i) as w, 'run-' || md5('run' || i) as r, 'deposit' as t, pg_temp.at(i, $N) + interval '5 minutes' as c from ${ALL} where pg_temp.state(i, $N) in ('CREDITED', 'UNPAID')
         union all
         select 'review:' || row || '-00000000', 'run-' || md5('run' || row), 'review', pg_temp.at(i, $N) + interval '2 hours' from ${SECONDS}) x) y`,
  ],
  [
    'archive_object',
    `insert into engine.archive_object select history_hash, 'history', decode(repeat(md5(n::text), 2), 'hex'), archived_at from engine.archive`,
  ],
];

/** Ids that were assigned by hand are not assigned again. */
const FIX_IDS = `
select setval(pg_get_serial_sequence('engine.callback', 'id'), (select coalesce(max(id), 0) + 1 from engine.callback)),
       setval(pg_get_serial_sequence('engine.event', 'id'), (select coalesce(max(id), 0) + 1 from engine.event)),
       setval(pg_get_serial_sequence('engine.decision', 'id'), (select coalesce(max(id), 0) + 1 from engine.decision)),
       setval(pg_get_serial_sequence('ledger.transaction', 'id'), (select coalesce(max(id), 0) + 1 from ledger.transaction)),
       setval(pg_get_serial_sequence('ledger.account', 'id'), (select coalesce(max(id), 0) + 1 from ledger.account))`;
