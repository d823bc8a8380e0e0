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

/** Balance and newest postings from the customer's side: money that we owe is positive. An unknown wallet has "0". */
export async function readWallet(db: pg.Pool, wallet: string, limit = 100): Promise<Wallet> {
  const balance = await db.query<{ amount: string }>(
    `select trim_scale(-b.amount)::text as amount from ledger.balance b join ledger.account a on a.id = b.account_id where a.code = $1`,
    [`wallet:${wallet}`],
  );
  const postings = await db.query<{
    id: string;
    kind: string;
    deposit: string | null;
    provider_code: string | null;
    amount: string;
    posted_at: Date;
  }>(
    `select t.id, t.kind, t.deposit, r.provider_code, trim_scale(-e.amount)::text as amount, t.posted_at
       from ledger.entry e join ledger.account a on a.id = e.account_id join ledger.transaction t on t.id = e.transaction_id
       left join ledger.lineage l on l.transaction_id = t.id join ledger.transaction r on r.id = coalesce(l.root, t.id)
      where a.code = $1 order by e.transaction_id desc limit $2`,
    [`wallet:${wallet}`, limit],
  );
  return {
    wallet,
    balance: balance.rows[0]?.amount ?? '0',
    postings: postings.rows.map((row) => ({
      postingId: row.id,
      kind: row.kind,
      externalOrderNumber: row.deposit,
      transactionCode: row.provider_code,
      amount: row.amount,
      postedAt: row.posted_at.toISOString(),
    })),
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
