import type pg from 'pg';
import { providerOf } from '../domain/order.ts';

export interface WalletPosting {
  readonly postingId: string;
  readonly kind: string;
  readonly externalOrderNumber: string | null;
  /** The code of the payment that brought the money, whichever posting moved it since. */
  readonly transactionCode: string | null;
  readonly amount: string;
  readonly postedAt: string;
}

export interface Wallet {
  readonly wallet: string;
  readonly balance: string;
  readonly postings: readonly WalletPosting[];
}

interface RawPosting {
  balance: string;
  /** Null, as all that follows: the wallet has no posting. */
  id: string | null;
  kind: string;
  deposit: string | null;
  provider_code: string | null;
  amount: string;
  posted_at: Date;
}

/**
 * Returns balance and newest postings at one moment, from the customer's side: money that we owe is positive. An
 * unknown wallet has "0". The newest are taken before anything is joined, so that the cost does not grow with their
 * number.
 */
export async function readWallet(db: pg.Pool, wallet: string, limit = 100): Promise<Wallet> {
  const { rows } = await db.query<RawPosting>(
    `select trim_scale(-b.amount)::text as balance, t.id, t.kind, t.deposit, r.provider_code, trim_scale(-e.amount)::text as amount, t.posted_at
       from ledger.account a join ledger.balance b on b.account_id = a.id
       left join lateral (select n.transaction_id, n.amount from ledger.entry n
                           where n.account_id = a.id order by n.transaction_id desc limit $2) e on true
       left join ledger.transaction t on t.id = e.transaction_id
       left join ledger.lineage l on l.transaction_id = t.id
       left join ledger.transaction r on r.id = coalesce(l.root, t.id)
      where a.code = $1 order by e.transaction_id desc`,
    [`wallet:${wallet}`, limit],
  );
  return {
    wallet,
    balance: rows[0]?.balance ?? '0',
    postings: rows.flatMap(({ id, ...row }) =>
      id === null
        ? []
        : [
            {
              postingId: id,
              kind: row.kind,
              externalOrderNumber: row.deposit,
              transactionCode: row.provider_code,
              amount: row.amount,
              postedAt: row.posted_at.toISOString(),
            },
          ],
    ),
  };
}

/** The posting that has used up a transaction code of the provider, or null. */
export async function findPosting(db: pg.Pool, transactionCode: string): Promise<string | null> {
  const { rows } = await db.query<{ id: string }>(
    'select id from ledger.transaction where provider = $1 and provider_code = $2',
    [providerOf(), transactionCode],
  );
  return rows[0]?.id ?? null;
}
