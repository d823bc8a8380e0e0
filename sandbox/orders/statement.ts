import type pg from 'pg';
import { z } from 'zod';

/** An existing UTC day. */
export const statementDay = z.iso.date('must be a UTC day, YYYY-MM-DD');

/** One line of the merchant's statement: a transaction that ended on that day. Amounts are decimal texts. */
export interface StatementLine {
  readonly externalOrderNumber: string;
  readonly transactionCode: string;
  readonly advertisementCode: string;
  readonly currencyCode: string;
  /** Fiat per MTC. */
  readonly unitPrice: string;
  /** Fiat the payer paid, including the payer's fee. */
  readonly paymentPrice: string;
  /** The part of it that is the payer's fee. */
  readonly feePrice: string;
  /** MTC bought. */
  readonly mtcAmount: string;
  /** The part of it deducted as the merchant's fee. */
  readonly feeMtc: string;
  /** MTC that the merchant's account at MTPay received: bought minus fee. */
  readonly receivedAmount: string;
  /** The `transactionAmount` of the callback. */
  readonly transactionAmount: string;
  readonly createdAt: string;
  readonly finishedAt: string;
}

type Row = Omit<StatementLine, 'createdAt' | 'finishedAt'> & { readonly createdAt: Date; readonly finishedAt: Date };

/** Reads all transactions that ended on a UTC day (`YYYY-MM-DD`), ordered by their end, delivered or not. */
export async function statementOf(pool: pg.Pool, day: string): Promise<StatementLine[]> {
  const { rows } = await pool.query<Row>(
    `SELECT o.external_order_number AS "externalOrderNumber", t.transaction_code AS "transactionCode",
       o.advertisement_code AS "advertisementCode", o.currency_code AS "currencyCode", o.unit_price AS "unitPrice",
       t.payment_price AS "paymentPrice", o.fee_price AS "feePrice", o.mtc_amount AS "mtcAmount",
       o.fee_mtc AS "feeMtc", o.mtc_amount - o.fee_mtc AS "receivedAmount",
       t.transaction_amount AS "transactionAmount", t.created_at AS "createdAt", t.finished_at AS "finishedAt"
     FROM sandbox.transaction t JOIN sandbox.buy_order o ON o.id = t.order_id
     WHERE t.finished_at >= ($1 || 'T00:00:00Z')::timestamptz
       AND t.finished_at < ($1 || 'T00:00:00Z')::timestamptz + interval '24 hours'
     ORDER BY t.finished_at, t.transaction_code`,
    [day],
  );
  return rows.map((row) => ({
    ...row,
    createdAt: row.createdAt.toISOString(),
    finishedAt: row.finishedAt.toISOString(),
  }));
}

const COLUMNS = [
  'externalOrderNumber',
  'transactionCode',
  'advertisementCode',
  'currencyCode',
  'unitPrice',
  'paymentPrice',
  'feePrice',
  'mtcAmount',
  'feeMtc',
  'receivedAmount',
  'transactionAmount',
  'createdAt',
  'finishedAt',
] as const satisfies readonly (keyof StatementLine)[];

/**
 * The statement as CSV (RFC 4180): a header, CRLF, quotes where needed. An order number is the merchant's text. Even if
 * a spreadsheet would read it as a formula, it stays unchanged, because it is compared with the merchant's books.
 */
export function statementCsv(lines: readonly StatementLine[]): string {
  const cell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [COLUMNS, ...lines.map((line) => COLUMNS.map((name) => cell(line[name])))]
    .map((cells) => `${cells.join(',')}\r\n`)
    .join('');
}
