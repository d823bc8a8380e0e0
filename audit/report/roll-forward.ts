import type pg from 'pg';
import { formatUnits } from '../../domain/money.ts';
import { rowsOf } from '../tables/cursor.ts';
import type { AccountMovement } from './report.ts';
import type { Cell } from './chained-lines.ts';
import { unitsOf } from './sums.ts';

/**
 * Opening balance, movements and closing balance of the accounts in a period: summed from the entries, by the audit's
 * own SQL on tables alone. A posting belongs to the period in which its block was sealed
 * (docs/guides/audit.md#the-period). A posting without a block belongs to the period of the time in its row.
 */

/** RFC 3339; `to` itself is not in it. Null: from the first posting, up to the moment of the audit. */
export interface Period {
  readonly from: string | null;
  readonly to: string | null;
}

/** The block of each posting; `n` null: none. The first block, if the posting is in several. */
export const SEALED = `(select m.id, min(m.n) as n from (select unnest(members) as id, n from ledger.block) m group by m.id)`;

/** The period as parameters of SQL; unlimited where a limit is not set. */
export const limitsOf = ({ from, to }: Period): [string, string] => [from ?? '-infinity', to ?? 'infinity'];

/** Liabilities and income increase with credits, which are negative in the ledger; assets increase with debits. */
const GROWS = `(e.amount * case when a.kind in ('liability', 'income') then -1 else 1 end)`;

const MOVEMENTS = `
  coalesce(sum(x.grown) filter (where x.at < $1), 0) as opening,
  coalesce(sum(x.grown) filter (where x.at >= $1 and x.at < $2 and x.grown > 0), 0) as came,
  coalesce(sum(-x.grown) filter (where x.at >= $1 and x.at < $2 and x.grown < 0), 0) as went,
  coalesce(sum(x.grown) filter (where x.at < $2), 0) as closing`;

/** Every entry with its account and its time. An entry without a posting counts from the beginning. */
const ENTRIES = `
  select a.id, a.code, a.kind, a.asset, ${GROWS} as grown, coalesce(b.at, t.posted_at, '-infinity') as at
    from ledger.account a
    left join ledger.entry e on e.account_id = a.id
    left join ledger.transaction t on t.id = e.transaction_id
    left join ${SEALED} s on s.id = t.id
    left join ledger.block b on b.n = s.n`;

const NAME = `case when x.code like 'wallet:%' then 'wallets' else x.code end`;
const text = (name: string) => `trim_scale(${name})::text as ${name}`;

const ACCOUNTS = `
  with moved as (select ${NAME} as account, x.kind, x.asset, ${MOVEMENTS} from (${ENTRIES}) x group by 1, x.kind, x.asset),
       kept as (
    select ${NAME} as account, x.kind, x.asset, sum(x.amount * case when x.kind in ('liability', 'income') then -1 else 1 end) as kept
      from (select a.code, a.kind, a.asset, coalesce(b.amount, 0) as amount
              from ledger.account a left join ledger.balance b on b.account_id = a.id) x group by 1, x.kind, x.asset)
  select account, kind, asset, ${['opening', 'came', 'went', 'closing', 'kept'].map(text).join(', ')}
    from moved join kept using (account, kind, asset)
   order by array_position(array['asset', 'liability', 'income', 'expense'], kind), (account = 'wallets') desc, account collate "C", asset`;

/** The movements of each account except wallets, which are one line together. In the order of a trial balance. */
export async function accountMovements(db: pg.ClientBase, period: Period): Promise<AccountMovement[]> {
  const { rows } = await db.query<AccountMovement>(ACCOUNTS, limitsOf(period));
  // The stored balance is the present one, so it cannot be compared at the end of an earlier period.
  return rows.map((row) => (period.to === null ? row : { ...row, kept: null }));
}

/** Debits less credits of each asset at the end of the period; empty when the books balance. */
export function differences(accounts: readonly AccountMovement[]): { asset: string; difference: string }[] {
  const sums = new Map<string, bigint>();
  for (const { asset, kind, closing } of accounts) {
    const sign = kind === 'liability' || kind === 'income' ? -1n : 1n;
    sums.set(asset, (sums.get(asset) ?? 0n) + sign * unitsOf(closing));
  }
  return [...sums].map(([asset, sum]) => ({ asset, difference: formatUnits(sum) }));
}

const WALLETS = `
  select substr(x.code, 8) as wallet, x.asset, ${MOVEMENTS} from (${ENTRIES}) x where x.code like 'wallet:%'
   group by x.id, x.code, x.asset order by x.code collate "C", x.asset`;

interface WalletRow {
  readonly wallet: string;
  readonly asset: string;
  readonly opening: string;
  readonly came: string;
  readonly went: string;
  readonly closing: string;
}

export const WALLET_COLUMNS = ['wallet', 'asset', 'opening', 'in', 'out', 'closing'] as const;

/** The line of each wallet, ordered by its name. */
export async function eachWallet(
  db: pg.ClientBase,
  period: Period,
  take: (cells: readonly Cell[]) => void,
): Promise<void> {
  const sql = `select wallet, asset, ${['opening', 'came', 'went', 'closing'].map(text).join(', ')} from (${WALLETS}) w`;
  for await (const rows of rowsOf<WalletRow>(db, 'wallet_movements', sql, limitsOf(period))) {
    for (const { wallet, asset, opening, came, went, closing } of rows) {
      const amounts = { opening, in: came, out: went, closing };
      take([
        { name: 'wallet', text: wallet },
        { name: 'asset', text: asset },
        ...Object.entries(amounts).map(([name, amount]) => ({ name, text: amount, isNumber: true })),
      ]);
    }
  }
}
