import type pg from 'pg';

/** One line of the merchant's statement: a transaction that ended on that day. */
export interface StatementLine {
  readonly externalOrderNumber: string;
  readonly transactionCode: string;
  readonly transactionAmount: string;
  readonly currencyCode: string;
  readonly paymentPrice: string;
  readonly finishedAt: string;
}

/** All transactions that ended on a UTC day (`YYYY-MM-DD`), in the order they ended, delivered or not. */
export async function statementOf(pool: pg.Pool, day: string): Promise<StatementLine[]> {
  const { rows } = await pool.query<Omit<StatementLine, 'finishedAt'> & { finishedAt: Date }>(
    `SELECT o.external_order_number AS "externalOrderNumber", t.transaction_code AS "transactionCode",
       t.transaction_amount AS "transactionAmount", o.currency_code AS "currencyCode",
       t.payment_price AS "paymentPrice", t.finished_at AS "finishedAt"
     FROM sandbox.transaction t JOIN sandbox.buy_order o ON o.id = t.order_id
     WHERE t.finished_at >= ($1 || 'T00:00:00Z')::timestamptz
       AND t.finished_at < ($1 || 'T00:00:00Z')::timestamptz + interval '24 hours'
     ORDER BY t.finished_at, t.transaction_code`,
    [day],
  );
  return rows.map((row) => ({ ...row, finishedAt: row.finishedAt.toISOString() }));
}
