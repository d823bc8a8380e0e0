import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { suspenseWithoutCase } from '../../database/queries/due-rows.ts';
import { prune, pruneInBatches } from '../../database/queries/prune.ts';
import {
  claimDeliveries,
  findLateDeliveriesMs,
  forgetAnswers,
  listDeliveries,
} from '../../database/queries/notifications/deliveries.ts';
import { listEndpoints, redeliver } from '../../database/queries/notifications/endpoints.ts';
import { createPool } from '../../database/pool.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { arrives, operator, placed } from '../api/decisions.ts';
import { archiveAll, doBusiness } from '../audit/book.ts';
import { openQueue, pass } from '../notifications/queue.ts';
import { order, paid } from '../support/builders.ts';
import { callbackAddress, callbackBody } from '../support/messages/callbacks.ts';
import { createTestDatabase, required } from '../support/database.ts';
import { launchEngine } from '../support/engine.ts';
import { until } from '../support/until.ts';
import { atLeisure, generateRows } from './rows.ts';
import {
  collectPlans,
  partialIndexes,
  type SeenPlan,
  smallTables,
  tellPlans,
  unusedIndexes,
  wholeReads,
} from './watch-plans.ts';

/**
 * No query of the engine reads a growing table as a whole. Checks the executed plan of every statement in a run with
 * every kind of deposit, those inside functions and triggers too. `npm run growth:plans` is the same on a database with many
 * rows, with its sizes and times.
 */
const DEPOSITS = Number(process.env['GROWTH_DEPOSITS'] ?? 0);
const LEAN = process.env['GROWTH_LEAN'] === 'true';
const HOURS = 3_600_000;
/** Pruning, and its statements inside: as wide as its batches. */
const PRUNING = /engine\.prune\(|^with old as|from gone g|^select min\(s\.key_id\)/;
const db = await createTestDatabase();
const partial = await partialIndexes(db.owner);
const say = (line: string) => void (DEPOSITS > 0 && process.stdout.write(`${line}\n`));

/**
 * Indexes that other queries use: an audit, two operators who state facts, a credit that meets an operators' posting.
 */
const ASKED_BY_OTHERS = [
  'engine.callback_by_code',
  'engine.callback_by_deposit',
  'engine.callback_stamp_by_order',
  'engine.carried_by_posting',
  'engine.review_case_by_posting',
];

/** The pages of the documentation whose SQL is about single deposits and open rows, not about whole books. */
const RUNBOOK = [
  ...readFileSync(new URL('../../docs/guides/runbook.md', import.meta.url), 'utf8').matchAll(
    /^ *```sql\n(.*?)^ *```$/gms,
  ),
];

test(
  'every statement finds its rows by an index',
  async () => {
    if (DEPOSITS > 0) {
      await generateRows(db.url, { deposits: DEPOSITS, lean: LEAN }, say);
      await tellSizes(db.owner);
      await tellPruning(db.poolFor('app_worker'));
      await atLeisure(db.url, tellVacuum);
      await atLeisure(db.url, tellIndexes);
    }
    const known = DEPOSITS > 0 ? await someDeposit(db.owner) : null;
    await tellPlans(db.owner, db.url, DEPOSITS === 0);
    const seen = collectPlans();
    const { engine, stop } = await launchEngine(db, required('TEST_WORKFLOW_BUNDLE'), {
      // Generated open rows have no workflows, and are adopted: not all at once.
      relay: { everyMs: 100, freshMs: 0, againMs: 100, unstartedMs: 0, lagMs: DEPOSITS > 0 ? 10_000 : 100 },
    });
    try {
      const queue = await openQueue(db);
      const endpoint = await queue.endpoint();
      const deposits = await doBusiness(engine);
      await sendAll(queue, endpoint);
      await strangeCallbacks();
      for (const n of [...Object.values(deposits), ...(known === null ? [] : [known.n])]) await readAll(n);
      await archiveAll(engine);
      for (const n of [deposits.twice, ...(known === null ? [] : [known.n])]) await readAll(n);
      await askRunbook(known?.n ?? deposits.credited);
      await prune(db.poolFor('app_worker'), 7 * 24 * HOURS, 100);
      await until('two sweeps', () =>
        Promise.resolve(seen.filter(({ text }) => text.includes('acked and ((raised_at is null')).length > 10),
      );
    } finally {
      await stop();
    }
    if (DEPOSITS > 0) tellTimes(seen);
    expect(seen.length).toBeGreaterThan(300);
    expect(wholeReads(seen, partial, DEPOSITS > 0 ? await smallTables(db.owner) : undefined)).toEqual([]);
    // Generated rows do not add up.
    if (DEPOSITS === 0) expect(await suspenseWithoutCase(db.owner)).toBe('0');
    // An unused index costs time at every write. Ended connections report their use of indexes a moment later.
    let unused: readonly string[] = [];
    const asExpected = async () => {
      unused = await unusedIndexes(db.owner);
      return unused.every((name) => ASKED_BY_OTHERS.includes(name));
    };
    if (DEPOSITS === 0)
      await until('every index to be used', asExpected, undefined, () => `; nobody asked ${unused.join(', ')}`);
    const wide = seen.filter(({ text, pages }) => pages > pagesOf(text) && !PRUNING.test(text));
    if (DEPOSITS > 0) expect(wide.map(({ text }) => text)).toEqual([]);

    /** Sends to an endpoint what it is owed, some of it in vain, and reads it as its owner does. */
    async function sendAll(queue: Awaited<ReturnType<typeof openQueue>>, endpoint: string) {
      await queue.publish();
      for (let round = 0; round < 6; round += 1) {
        const taken = await claimDeliveries(queue.notifier, 8);
        await queue.settle(taken, { status: round === 1 ? 500 : 204, answer: 'noted' });
        await pass(db.owner, '1 day');
      }
      const page = { endpoint: endpoint.slice(3), after: '0', limit: 10 };
      for (const delivered of [undefined, true, false]) await listDeliveries(queue.api, { ...page, delivered });
      await redeliver(queue.api, queue.proof, endpoint, '0', '3');
      await queue.settle(await claimDeliveries(queue.notifier, 8), { status: 204 });
      await listEndpoints(queue.api, { name: 'shop', wallets: null });
      await forgetAnswers(queue.notifier, 10);
      await findLateDeliveriesMs(queue.worker);
    }

    /** Callbacks for operators, or without an owner. */
    async function strangeCallbacks() {
      const deposit = await placed(engine);
      await arrives(engine, deposit, { transactionAmount: '-1' });
      const { externalOrderNumber } = deposit;
      await engine.pay(externalOrderNumber);
      await engine.untilState(externalOrderNumber, 'CREDITED');
      const stranger = order();
      const address = callbackAddress(engine, stranger.externalOrderNumber);
      const unknown = () => engine.callback(address, callbackBody(engine, paid(stranger)));
      for (const answer of [await unknown(), await unknown()]) expect(answer.status).toBe(503);
      const hands = await operator(engine, 'carol');
      const { items } = await hands.list('?state=closed&limit=5');
      for (const { id } of items) expect((await hands.case(id)).id).toBe(id);
      const open = (await hands.list('?limit=5')).items[0];
      const proposed = await hands.propose(open.id, { reason: 'compared with the statement', decision: 'reject' });
      expect((await hands.withdraw(open.id, proposed.body.proposal.id)).status).toBe(200);
    }

    /** Every query about a deposit. */
    async function readAll(n: string) {
      const evidence = await createApiKey(engine.db.owner, {
        name: `auditor-${n
          .slice(-8)
          .toLowerCase()
          .replaceAll(/[^a-z0-9]/g, 'x')}`,
        scopes: ['audit:read'],
      }).catch(() => null);
      const deposit = await engine.deposit(n);
      const limited = await createApiKey(engine.db.owner, {
        name: `some-${Math.random().toString(36).slice(2)}`,
        scopes: ['deposits:read', 'reviews:decide', 'events:read'],
        wallets: [deposit.wallet, 'w-1', 'w-none'],
      });
      const every = await createApiKey(engine.db.owner, {
        name: `every-${Math.random().toString(36).slice(2)}`,
        scopes: ['events:read'],
      });
      for (const query of [
        '',
        '&type=case.opened',
        `&deposit=${n}`,
        `&since=${new Date(Date.now() - HOURS).toISOString()}`,
      ])
        for (const key of [every, limited])
          expect((await engine.call('GET', `/v1/events?limit=50${query}`, undefined, { key })).status, query).toBe(200);
      const paths = [
        `/v1/deposits?limit=50`,
        `/v1/deposits?state=CREDITED&limit=50`,
        `/v1/deposits?state=PLACEMENT_UNKNOWN&wallet=${deposit.wallet}`,
        `/v1/deposits?wallet=${deposit.wallet}`,
        `/v1/deposits?state=CREDITED,UNPAID&createdFrom=2026-01-31T09:30:00Z&createdBefore=2026-02-28T09:30:00Z`,
        `/v1/deposits?transactionCode=ATNOBODY&limit=50`,
        `/v1/deposits?orderPrefix=${n.slice(0, 6)}&limit=50`,
        `/v1/deposits?orderPrefix=${n.slice(0, 6)}&state=EXPIRED&createdFrom=2026-01-31T09:30:00Z`,
        `/v1/deposits/${n}?wait=1&state=CREDITING`,
        `/v1/wallets/${deposit.wallet}`,
      ];
      for (const path of paths) expect((await engine.call('GET', path)).status, path).toBe(200);
      for (const path of [
        '/v1/deposits',
        '/v1/deposits?state=CREDITED',
        `/v1/deposits?orderPrefix=${n.slice(0, 6)}`,
        '/v1/events',
        '/v1/events?type=deposit.credited',
        '/v1/reviews?limit=50',
        '/v1/reviews?state=closed',
        '/v1/reviews?reason=SECOND_CODE',
      ])
        expect((await engine.call('GET', path, undefined, { key: limited })).status, path).toBe(200);
      const shop = await createApiKey(engine.db.owner, {
        name: `shop-${Math.random().toString(36).slice(2)}`,
        scopes: ['events:read'],
      });
      for (const query of ['limit=50', 'type=deposit.expired', 'since=2026-01-31T09:30:00Z', `deposit=${n}`])
        expect((await engine.call('GET', `/v1/events?${query}`, undefined, { key: shop })).status, query).toBe(200);
      const { cursor } = (await engine.call('GET', '/v1/deposits?limit=1')).body;
      if (typeof cursor === 'string')
        await engine.call('GET', `/v1/deposits?limit=5&cursor=${encodeURIComponent(cursor)}`);
      if (evidence !== null) {
        const answer = await engine.call('GET', `/v1/deposits/${n}/evidence`, undefined, { key: evidence });
        // A generated deposit has no history that could be read.
        expect([200, 500]).toContain(answer.status);
      }
      const hands = await operator(engine, `o-${Math.random().toString(36).slice(2)}`);
      for (const query of ['?limit=50', '?state=closed&limit=50', '?reason=SECOND_CODE']) await hands.list(query);
    }

    async function askRunbook(n: string) {
      const auditor = createPool({ url: db.urlFor('auditor'), applicationName: 'runbook', max: 1 });
      for (const [, sql = ''] of RUNBOOK) await auditor.query(sql.replaceAll('ORDER-NUMBER', n));
      await auditor.end();
    }
  },
  DEPOSITS > 0 ? 3 * HOURS : 300_000,
);

/** 32 MB: the limit for a statement about one deposit or one page of a list. Pruning is about a batch. */
const MANY_PAGES = 4_000;
/**
 * The comparison of the catalogue, once at the start of a process: it reads system tables, which grow with the schema
 * and not with deposits.
 */
const CATALOGUE_PAGES = 16_000;
const pagesOf = (text: string): number =>
  text.startsWith('with us as (select nspowner as owner from pg_namespace') ? CATALOGUE_PAGES : MANY_PAGES;

async function someDeposit(owner: pg.Pool): Promise<{ readonly n: string }> {
  const { rows } = await owner.query<{ n: string }>(
    `select external_order_number as n from engine.callback where receipt = 'other_content' order by id offset $1 limit 1`,
    [Math.floor(DEPOSITS / 200)],
  );
  return rows[0]!;
}

/** Enough to measure the rate. */
const BATCHES = 500;

/** Reports the rows pruned per second, in the batches of the worker. */
async function tellPruning(worker: pg.Pool): Promise<void> {
  const times: number[] = [];
  const startedMs = performance.now();
  let rows = 0;
  const batch = pruneInBatches(worker, 90 * 24 * HOURS);
  for (let more = true; more && times.length < BATCHES; ) {
    const batchMs = performance.now();
    const n = Object.values((await batch()).done).reduce((sum, pruned) => sum + pruned, 0);
    times.push(performance.now() - batchMs);
    rows += n;
    more = n > 0;
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  say(
    `pruned ${rows} rows in ${times.length} batches, ${Math.round(rows / seconds)}/s; the slowest batch ${Math.round(Math.max(...times))} ms`,
  );
}

/**
 * Autovacuum is due when a fifth of a table's rows has been deleted, and starts within a minute; batches of pruning are
 * an hour apart.
 */
async function tellVacuum(owner: pg.Client): Promise<void> {
  const startedMs = performance.now();
  await owner.query('vacuum engine.callback_stamp, engine.own_stamp');
  say(`vacuumed what was pruned in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
}

/** Reports the time of building the indexes of 009 and 041 on a database that has grown before. */
async function tellIndexes(owner: pg.Client): Promise<void> {
  for (const name of ['engine.callback_stamp_by_order', 'ledger.transaction_by_workflow', 'engine.event_by_type']) {
    const { rows } = await owner.query<{ sql: string }>('select pg_get_indexdef($1::regclass) as sql', [name]);
    await owner.query(`drop index ${name}`);
    const startedMs = performance.now();
    await owner.query(rows[0]!.sql.replace('CREATE INDEX', 'CREATE INDEX CONCURRENTLY'));
    say(`${name} built beside the traffic in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`);
  }
}

async function tellSizes(owner: pg.Pool): Promise<void> {
  const { rows } = await owner.query<{ name: string; n: string; heap: string; indexes: string; each: string }>(
    `select relname as name, reltuples::bigint as n, pg_table_size(oid) as heap, pg_indexes_size(oid) as indexes,
            round(pg_total_relation_size(oid)::numeric / $1) as each
       from pg_class where relkind = 'r' and relnamespace in ('engine'::regnamespace, 'ledger'::regnamespace) and reltuples >= $1 / 200
      order by pg_total_relation_size(oid) desc`,
    [DEPOSITS],
  );
  say('\n| table | rows | table MB | indexes MB | bytes per deposit |\n| - | -: | -: | -: | -: |');
  const mb = (bytes: string) => Math.round(Number(bytes) / 1e6);
  for (const row of rows) say(`| \`${row.name}\` | ${row.n} | ${mb(row.heap)} | ${mb(row.indexes)} | ${row.each} |`);
  say(`| all | | | | ${rows.reduce((sum, row) => sum + Number(row.each), 0)} |\n`);
}

/** Reports the slowest and the widest statements, each text once. */
function tellTimes(seen: readonly SeenPlan[]): void {
  const texts = new Map<string, SeenPlan[]>();
  for (const plan of seen) texts.set(plan.text, [...(texts.get(plan.text) ?? []), plan]);
  const median = (of: readonly number[]) => of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)]!;
  const rows = [...texts].map(([text, plans]) => ({
    text,
    n: plans.length,
    ms: median(plans.map(({ ms }) => ms)),
    worstMs: Math.max(...plans.map(({ ms }) => ms)),
    pages: Math.max(...plans.map(({ pages }) => pages)),
  }));
  say(
    `\n${seen.length} statements with ${rows.length} texts; by pages:\n| pages | median ms | worst ms | times | statement |\n| -: | -: | -: | -: | - |`,
  );
  for (const row of rows.toSorted((a, b) => b.pages - a.pages).slice(0, 40))
    say(`| ${row.pages} | ${row.ms.toFixed(2)} | ${row.worstMs.toFixed(1)} | ${row.n} | ${row.text.slice(0, 150)} |`);
}
