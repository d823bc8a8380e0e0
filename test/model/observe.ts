import type pg from 'pg';
import { at, inWallet, type Reference } from './reference.ts';
import { DEPOSITS, hashOf, type Names } from './world.ts';

/** The tables' content for one sequence, in one statement and so in one snapshot. */
export interface Seen {
  readonly deposits: readonly {
    readonly n: string;
    readonly state: string;
    readonly bound: string | null;
    readonly posting: string | null;
    readonly slot: string | null;
    readonly standing: readonly string[] | null;
    readonly sum: string;
    readonly machine: number;
    readonly beside: number;
  }[];
  /** Inbox rows by the hex of their content. */
  readonly callbacks: Readonly<Record<string, string>> | null;
  readonly chains:
    | readonly {
        readonly code: string;
        readonly ids: readonly string[];
        readonly place: string;
        readonly amount: string;
        readonly owner: string;
      }[]
    | null;
  readonly cases:
    | readonly { readonly id: string; readonly callback: string; readonly proposal: string | null }[]
    | null;
  readonly wallets: Readonly<Record<string, string>> | null;
  readonly stranded: number;
}

/** Prepared once for each connection: planning it takes longer than running it. */
const SEEN = {
  name: 'seen',
  text: `
with d as (
  select d.*, s.* from engine.deposit d
    cross join lateral (
      select jsonb_agg(t.id::text order by t.id) as standing, coalesce(sum(t.amount - t.fee), 0)::text as sum,
             count(*) filter (where t.beside is not null and t.actor like '%+%') as beside
        from ledger.standing(d.external_order_number) t) s
   where d.external_order_number = any($1)),
chain as (
  select r.provider_code as code, t.id, t.ids, ledger.place(p) as place, trim_scale(r.amount)::text as amount,
         coalesce((select o.callback from engine.review_case o where o.workflow_id = r.workflow_id),
                  (select d.bound_callback from d where r.workflow_id = 'deposit:' || d.external_order_number))::text as owner
    from ledger.transaction r
    cross join lateral (
      select coalesce(max(l.transaction_id), r.id) as id,
             jsonb_build_array(r.id::text) || coalesce(jsonb_agg(l.transaction_id::text order by l.transaction_id), '[]') as ids
        from ledger.lineage l where l.root = r.id) t
    join ledger.transaction p on p.id = t.id
   where r.provider = 'mtpay' and r.provider_code = any($2)),
c as (select c.id, encode(c.content_hash, 'hex') as hash from engine.callback c where c.external_order_number = any($1)),
v as (select v.* from engine.review_case v join c on c.id = v.callback)
select
  (select jsonb_agg(jsonb_build_object('n', d.external_order_number, 'state', d.state, 'bound', d.bound_callback::text, 'posting', d.posting_id::text,
     'slot', (select t.id::text from ledger.slot s join ledger.transaction t on t.key = s.key where s.deposit = d.external_order_number),
     'machine', (select count(*) from ledger.transaction t where t.deposit = d.external_order_number and t.kind = 'credit'),
     'standing', d.standing, 'sum', d.sum, 'beside', d.beside) order by d.external_order_number) from d) as deposits,
  (select jsonb_object_agg(c.hash, c.id::text) from c) as callbacks,
  (select jsonb_agg(jsonb_build_object('code', chain.code, 'place', chain.place, 'ids', chain.ids, 'amount', chain.amount, 'owner', chain.owner)) from chain) as chains,
  (select jsonb_agg(jsonb_build_object('id', v.workflow_id, 'callback', v.callback::text, 'proposal', v.proposal::text) order by v.workflow_id)
     from v where v.closed_at is null) as cases,
  (select jsonb_object_agg(a.code, trim_scale(-b.amount)::text) from ledger.account a join ledger.balance b on b.account_id = a.id where a.code = any($3)) as wallets,
  (select count(*)::int from chain
    where chain.place like 'suspense:%'
      and not exists (select from v where v.closed_at is null and v.callback::text = chain.owner)) as stranded`,
};

export async function observe(db: pg.Pool | pg.ClientBase, names: Names): Promise<Seen> {
  const values = [names.orders, Object.values(names.codes), names.wallets.map((wallet) => `wallet:${wallet}`)];
  const { rows } = await db.query<Seen>({ ...SEEN, values });
  return rows[0]!;
}

/** One shape for expected and actual state, so that a difference is readable. */
export interface Picture {
  readonly deposits: Readonly<Record<string, string>>;
  readonly money: Readonly<Record<string, string>>;
  readonly openCases: readonly string[];
  readonly wallets: Readonly<Record<string, number>>;
}

export function expected(ref: Reference): Picture {
  const wallets = [0, 1].map((wallet) =>
    Object.values(ref.money)
      .filter((money) => inWallet(at(money)) && DEPOSITS[Number(at(money).slice(7))]!.wallet === wallet)
      .reduce((sum, money) => sum + money.amount, 0),
  );
  const deposits = ref.deposits.flatMap((deposit, i) =>
    deposit.known
      ? [[String(i), describe(deposit.state, deposit.bound, deposit.posting, deposit.standing)] as const]
      : [],
  );
  const money = Object.entries(ref.money).map(([code, one]) => {
    const where = at(one);
    const place = inWallet(where) ? `wallet ${DEPOSITS[Number(where.slice(7))]!.wallet}` : where;
    return [code, `${one.amount} of ${one.owner}, ${one.path.length} postings, at ${place}`] as const;
  });
  return {
    deposits: Object.fromEntries(deposits),
    money: Object.fromEntries(money),
    openCases: Object.entries(ref.cases)
      .flatMap(([label, found]) => (found.open ? [label] : []))
      .toSorted(),
    wallets: Object.fromEntries(wallets.map((sum, i) => [String(i), sum])),
  };
}

const describe = (state: string, bound: string | null, posting: string | null, standing: readonly string[]): string =>
  `${state}, bound ${bound}, shows ${posting}, stands ${standing.join(' ') || 'nothing'}`;

/** Row ids of labels and postings, and back. */
export interface Index {
  readonly inbox: Readonly<Record<string, string>>;
  readonly labels: ReadonlyMap<string, string>;
  readonly tokens: ReadonlyMap<string, string>;
  readonly postings: ReadonlyMap<string, string>;
}

export function indexOf(names: Names, ref: Reference, seen: Seen): Index {
  const inbox: Record<string, string> = {};
  for (const [label, { order, code, amount }] of Object.entries(ref.callbacks)) {
    const id = seen.callbacks?.[hashOf(names, label, order, code, amount).toString('hex')];
    if (id !== undefined) inbox[label] = id;
  }
  const codes = new Map(Object.entries(names.codes).map(([code, real]) => [real, code]));
  const tokens = (seen.chains ?? []).flatMap(({ code, ids }) =>
    ids.map((id, i) => [id, `${codes.get(code)}#${i + 1}`] as const),
  );
  return {
    inbox,
    labels: new Map(Object.entries(inbox).map(([label, id]) => [id, label])),
    tokens: new Map(tokens),
    postings: new Map(tokens.map(([id, token]) => [token, id])),
  };
}

export function found(names: Names, seen: Seen, index: Index): Picture {
  const codes = new Map(Object.entries(names.codes).map(([code, real]) => [real, code]));
  const named = (id: string | null, by: ReadonlyMap<string, string>) =>
    id === null ? null : (by.get(id) ?? `row ${id}`);
  const place = (account: string) => {
    if (account.startsWith('wallet:')) return `wallet ${names.wallets.indexOf(account.slice(7))}`;
    return account.startsWith('suspense:') ? 'suspense' : 'provider';
  };
  return {
    deposits: Object.fromEntries(
      (seen.deposits ?? []).map((row) => [
        String(names.orders.indexOf(row.n)),
        describe(
          row.state,
          named(row.bound, index.labels),
          named(row.posting, index.tokens),
          (row.standing ?? []).map((id) => named(id, index.tokens)!),
        ),
      ]),
    ),
    money: Object.fromEntries(
      (seen.chains ?? []).map(
        (chain) =>
          [
            codes.get(chain.code)!,
            `${chain.amount} of ${named(chain.owner, index.labels)}, ${chain.ids.length} postings, at ${place(chain.place)}`,
          ] as const,
      ),
    ),
    openCases: (seen.cases ?? []).map((one) => named(one.callback, index.labels)!).toSorted(),
    wallets: Object.fromEntries(
      names.wallets.map((wallet, i) => [String(i), Number(seen.wallets?.[`wallet:${wallet}`] ?? 0)]),
    ),
  };
}
