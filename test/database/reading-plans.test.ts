import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { listDeposits, viewDeposit } from '../../database/deposits.ts';
import { listOtherCallbacks } from '../../database/other-payments.ts';
import { readWallet } from '../../ledger/read.ts';
import { createTestDatabase } from '../support/database.ts';

/** What callers of the API read grows with the deposit, and not with the tables: every look-up is by an index. */
const db = await createTestDatabase();
const api = db.poolFor('app_api');

interface Node {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly Node[];
}

/** The plan of everything that `read` asks, were no table small enough to be read as a whole. */
async function plansOf(read: (db: pg.Pool) => Promise<unknown>): Promise<Node[]> {
  const asked: [string, unknown[]][] = [];
  const listening = {
    query: (text: string, values: unknown[]) => {
      asked.push([text, values]);
      return Promise.resolve({ rows: [] });
    },
  };
  await read(listening as unknown as pg.Pool);
  const client = await api.connect();
  try {
    await client.query('set enable_seqscan = off');
    const plans: Node[] = [];
    for (const [text, values] of asked) {
      const { rows } = await client.query<{ 'QUERY PLAN': { Plan: Node }[] }>(`explain (format json) ${text}`, values);
      plans.push(rows[0]!['QUERY PLAN'][0]!.Plan);
    }
    return plans;
  } finally {
    client.release(true);
  }
}

const nodes = (plan: Node): Node[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)];

/** Scans that look at every row: without a condition on their index, or without an index. */
const whole = (plan: Node, except: readonly string[]): string[] =>
  nodes(plan)
    .filter(
      (node) =>
        node['Node Type'].endsWith('Scan') && !['Subquery Scan', 'Bitmap Heap Scan'].includes(node['Node Type']),
    )
    .filter((node) => node['Index Cond'] === undefined && !except.includes(node['Relation Name'] ?? ''))
    .map((node) => `${node['Node Type']} of ${node['Relation Name']}`);

describe('is looked up by an index', () => {
  it.each([
    // A page of deposits is the index by age itself, read from its end.
    ['a list of deposits', (pool: pg.Pool) => listDeposits(pool, { limit: 50, wallets: null }), ['deposit']],
    ['a deposit', (pool: pg.Pool) => viewDeposit(pool, 'o-1'), []],
    ['a wallet', (pool: pg.Pool) => readWallet(pool, 'w-1'), []],
    [
      'the other callbacks of an order',
      (pool: pg.Pool) => listOtherCallbacks(pool, { externalOrderNumber: 'o-1', inboxId: '1' }),
      [],
    ],
  ] as const)('%s', async (_, read, except) => {
    const plans = await plansOf(read);
    expect(plans.length).toBeGreaterThan(0);
    expect(plans.flatMap((plan) => whole(plan, except))).toEqual([]);
  });
});
