import {
  findAnsweredLate,
  findKeptOrders,
  findOpenCases,
  findOpenDeposits,
  findToRaise,
} from '../../../database/queries/due-rows.ts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createPool } from '../../../database/pool.ts';
import { listCases } from '../../../database/queries/cases.ts';
import { listDeposits } from '../../../database/queries/deposits.ts';
import { settings } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';

/**
 * A list that is read page by page has each row once that was in it from the first page to the last, whatever is added,
 * closed, committed late or dated otherwise meanwhile.
 */

const db = await createTestDatabase();
const api = db.poolFor('app_api');
const HOUR_MS = 3_600_000;

type By = (sql: string, values: readonly unknown[]) => Promise<unknown>;
const hand: By = (sql, values) => byHand(db.owner, sql, values);

let made = 0;
/**
 * Adds this many deposits, each with a message and a case, `agoMs` before now; threes are of one moment. `at`: adds them
 * in a transaction of its own, which the caller ends.
 */
async function add(name: string, count: number, agoMs: number, by: By = hand): Promise<string[]> {
  const first = (made += 1);
  const time = `now() - $3 * interval '1 millisecond' + (i / 3) * interval '1 millisecond'`;
  const values = [first, count, agoMs];
  const series = 'generate_series(1, $2::int) i';
  const n = `'${name}-' || $1::int || '-' || i`;
  await by(
    `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, state, created_at, redirect_url)
     select ${n}, 'w-' || i % 2, 'MtcAmount', 5000, 'CNY', 'en', '', $4, '${name === 'late' ? 'PLACEMENT_UNKNOWN' : 'IN_REVIEW'}', ${time}, 'https://pay.example/1' from ${series}`,
    [...values, settings()],
  );
  const isKept = name === 'kept';
  await by(
    `insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked, received_at)
     select ${n}, ${isKept ? 'null' : n}, ${n} || k, sha256(convert_to(${n} || k, 'UTF8')), '{"transactionAmount": "5000"}', '', 'first', ${!isKept}, ${time}
       from ${series} cross join generate_series(1, ${isKept ? 3 : 1}) k`,
    values,
  );
  await by(
    `insert into engine.review_case (workflow_id, callback, reason, opened_at, wallet)
     select 'deposit:' || c.external_order_number, c.id, case when c.id % 3 = 0 then 'STALE' else 'LATE' end, c.received_at, d.wallet
       from engine.callback c join engine.deposit d using (external_order_number) where c.external_order_number like '${name}-' || $1::int || '-%' and c.acked`,
    [first],
  );
  return Array.from({ length: count }, (_, i) => `${name}-${first}-${i + 1}`);
}

interface Read {
  readonly ids: readonly string[];
  readonly end: unknown;
}
type Reads = Readonly<Record<string, (after: never, limit: number) => Promise<Read>>>;

const cases =
  (filter: Pick<Parameters<typeof listCases>[1], 'state' | 'reason' | 'wallets'>) =>
  async (after: never, limit: number) => {
    const { items, end } = await listCases(api, { ...filter, ...(after === null ? {} : { after }), limit });
    return { ids: items.map(({ externalOrderNumber }) => externalOrderNumber), end };
  };
const deposits =
  (filter: Pick<Parameters<typeof listDeposits>[1], 'state' | 'wallets'>) => async (after: never, limit: number) => {
    const { items, end } = await listDeposits(api, { ...filter, ...(after === null ? {} : { after }), limit });
    return { ids: items.map(({ externalOrderNumber }) => externalOrderNumber), end };
  };
const READS: Reads = {
  'open cases': cases({ state: 'open', wallets: null }),
  'open cases of wallets': cases({ state: 'open', wallets: ['w-0', 'w-1'] }),
  'closed cases': cases({ state: 'closed', wallets: null }),
  'open cases of a reason': cases({ state: 'open', reason: 'LATE', wallets: null }),
  'closed cases of a reason': cases({ state: 'closed', reason: 'LATE', wallets: null }),
  'deposits of a state': deposits({ state: ['IN_REVIEW'] }),
  'deposits of wallets': deposits({ wallets: ['w-0', 'w-1'] }),
  'open cases for the relay': async (after, limit) => {
    const { rows, end } = await findOpenCases(api, 0, after, limit);
    return { ids: rows.map(({ externalOrderNumber }) => externalOrderNumber), end };
  },
  'payments to raise': async (after, limit) => {
    const { rows, end } = await findToRaise(api, { freshMs: 0, againMs: 0, atMostMs: 0 }, after, limit);
    return { ids: rows.map(({ externalOrderNumber }) => externalOrderNumber), end };
  },
  'stored messages': async (after, limit) => {
    const { rows, end } = await findKeptOrders(api, 0, after, limit);
    return { ids: rows, end };
  },
  'late answers': async (after, limit) => {
    const { rows, end } = await findAnsweredLate(api, after, limit);
    return { ids: rows.map(({ externalOrderNumber }) => externalOrderNumber), end };
  },
  'open deposits': async (after, limit) => {
    const { rows, end } = await findOpenDeposits(api, ['PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT'], 0, after, limit);
    return { ids: rows.map(({ externalOrderNumber }) => externalOrderNumber), end };
  },
};

const close = (ids: readonly string[]) =>
  byHand(
    db.owner,
    `with c as (update engine.review_case set closed_at = now(), decision = 'reject', decided_by = 'a' where workflow_id = any($1)),
          m as (update engine.callback set outcome = 'review:' || external_order_number where 'deposit:' || external_order_number = any($1))
     update engine.deposit set state = 'REJECTED' where 'deposit:' || external_order_number = any($1)`,
    [ids.map((id) => `deposit:${id}`)],
  );

const change = fc.constantFrom('nothing', 'added', 'closed', 'committed late', 'of the future');

test('each list has each row once, whatever happens between its pages', async () => {
  const NAMES = ['open', 'late', 'kept'];
  const late = createPool({ url: db.url, applicationName: 'late', max: 1 });
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(2, 3, 5),
        fc.array(change, { minLength: 4, maxLength: 4 }),
        async (limit, changes) => {
          for (const [name, read] of Object.entries(READS)) {
            const whole = async () => (await read(null as never, 100_000)).ids;
            await hand('delete from engine.review_case', []);
            await hand('delete from engine.callback', []);
            await hand('delete from engine.deposit', []);
            for (const one of NAMES) await add(one, 12, HOUR_MS);
            await close(await add('open', 8, HOUR_MS));
            const before = await whole();
            expect(before.length, name).toBeGreaterThan(2);
            const seen: string[] = [];
            const open = await late.connect();
            await open.query('begin; set local session_replication_role = replica');
            for (const one of NAMES) await add(one, 2, HOUR_MS - 1, (sql, values) => open.query(sql, [...values]));
            let isOpen = true;
            const left = [...changes];
            for (let after: unknown = null, pages = 0; ; pages += 1) {
              const { ids, end } = await read(after as never, limit);
              seen.push(...ids);
              if (end === null) break;
              expect(pages, `${name} ends`).toBeLessThan(1_000);
              after = end;
              switch (left.shift()) {
                case 'added':
                  for (const one of NAMES) await add(one, 3, HOUR_MS + 5);
                  break;
                case 'of the future':
                  for (const one of NAMES) await add(one, 3, -2 * HOUR_MS);
                  break;
                case 'closed':
                  await close(before.filter((_, i) => i % 5 === 4));
                  break;
                case 'committed late':
                  if (isOpen) await open.query('commit');
                  isOpen = false;
                  break;
              }
            }
            if (isOpen) await open.query('rollback');
            open.release();
            const now = new Set(await whole());
            const throughout = before.filter((id) => now.has(id));
            expect(seen.length - new Set(seen).size, `${name}: doubled`).toBe(0);
            expect(
              throughout.filter((id) => !seen.includes(id)),
              `${name}: lost`,
            ).toEqual([]);
          }
        },
      ),
      { numRuns: 4, seed: 1, endOnFailure: true },
    );
  } finally {
    await late.end();
  }
});
