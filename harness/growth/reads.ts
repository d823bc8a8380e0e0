import type pg from 'pg';
import { archiveHead, archiveRows } from '../../archive/chain.ts';
import { archiveBacklog, claimClosed } from '../../archive/queue.ts';
import { checkCatalogue } from '../../audit/tables/catalogue.ts';
import { readRecords } from '../../audit/tables/rows.ts';
import { openSession } from '../../audit/tables/session.ts';
import { NO_EXCEPTIONS } from '../../audit/exceptions.ts';
import { createPool } from '../../database/pool.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import {
  findAnsweredLate,
  findKeptOrders,
  findLongestWithoutEffect,
  findNotCarriedOut,
  findNotPlaced,
  findOpenCases,
  findOpenDeposits,
  findToRaise,
  findToTell,
  findWithoutCase,
  findWithoutEffect,
  findWithoutWallet,
  suspenseWithoutCase,
  WAITING,
} from '../../database/queries/due-rows.ts';
import { RELAY_TIMES, WITHOUT_EFFECT_MS } from '../../intake/relay/relay.ts';
import { UNKNOWN_ORDER_MS } from '../../intake/route-callback.ts';
import type { BenchEngine } from '../bench/ground/engine.ts';
import type { DepositLoad } from '../bench/load/deposits.ts';
import { must, post } from '../bench/load/post.ts';
import type { Group } from './figures.ts';

/** One call whose time must not depend on the deposits in the database. */
export interface Read {
  readonly group: Group;
  /** `i`: of a round; several deposits take turns. */
  readonly one: (i: number) => Promise<unknown>;
  /** Requests in a round, where they are slow. */
  readonly requests?: number;
}

export interface Reads {
  readonly all: Readonly<Record<string, Read>>;
  readonly worker: pg.Pool;
  close(): Promise<void>;
}

/** Deposits that the requests of a round take turns on. */
const SAMPLES = 30;
const [PAGE, LARGE_PAGE] = [
  [null, 100],
  [null, 500],
] as const;
const LAG_MS = 60_000;
const HOUR_MS = 3_600_000;
const HISTORIES = 50;
/** Requests in a round of what takes long. */
const FEW = 5;

/** `urlFor`: the address of the database for a login. `made`: deposits that the engine has credited here. */
export async function readsOf(
  engine: BenchEngine,
  load: DepositLoad,
  urlFor: (login: string) => string,
  made: readonly string[],
): Promise<Reads> {
  const pool = (role: 'app_api' | 'app_worker') =>
    createPool({ url: urlFor(role), role, applicationName: 'growth', max: 2 });
  const [api, worker] = [pool('app_api'), pool('app_worker')];
  const session = await openSession({ url: urlFor('auditor') }, null);
  await session.query('commit');
  /** As an audit reads: in a snapshot. It ends at once, so that it keeps no old rows. */
  const audit = (one: () => Promise<unknown>): Read => ({
    group: 'audit',
    requests: FEW,
    async one() {
      await session.query('begin isolation level repeatable read read only');
      await one();
      await session.query('commit');
    },
  });
  const { deposits, cases, key, limited } = await engine.admin(async (client) => {
    const { rows: found } = await client.query<{ n: string; wallet: string }>(
      `select d.external_order_number as n, d.wallet from generate_series(0, $1 - 1) i
        cross join lateral (select external_order_number, wallet from engine.deposit
                             where external_order_number > 'o-' || substr(md5('sample' || i), 1, 20) and state = 'CREDITED'
                             order by external_order_number limit 1) d`,
      [SAMPLES],
    );
    const { rows: some } = await client.query<{ id: string }>(
      'select workflow_id as id from engine.review_case order by workflow_id limit $1',
      [SAMPLES],
    );
    const wallets = found.slice(0, 3).map(({ wallet }) => wallet);
    const keyFor = (name: string, more: object) =>
      createApiKey(client, { name, scopes: ['deposits:read', 'reviews:decide', 'events:read'], ...more });
    return {
      deposits: found,
      cases: some,
      key: {
        people: await keyFor('people', {}),
        evidence: await createApiKey(client, { name: 'evidence', scopes: ['audit:read'] }),
      },
      limited: await keyFor('limited', { wallets }),
    };
  });
  const of = <T>(list: readonly T[], i: number): T => list[i % list.length]!;
  const get = (path: string | ((i: number) => string), by: string = engine.apiKey): Read => ({
    group: 'endpoints',
    one: (i) =>
      must(
        post(
          `${engine.apiUrl}${typeof path === 'string' ? path : path(i)}`,
          '',
          { authorization: `Bearer ${by}` },
          'GET',
        ),
        200,
      ),
  });
  const relay = (one: () => Promise<unknown>): Read => ({ group: 'relay', one });
  const { freshMs, againMs, unstartedMs } = RELAY_TIMES;
  const head = await archiveHead(session);
  const numbers = Array.from({ length: HISTORIES }, (_, i) => Math.floor(head.n / 2) + i + 1);
  return {
    worker,
    all: {
      'a deposit': get((i) => `/v1/deposits/${of(deposits, i).n}`),
      deposits: get('/v1/deposits?limit=50'),
      'deposits of a state': get('/v1/deposits?state=CREDITED&limit=50'),
      'deposits of a rare state': get('/v1/deposits?state=PLACEMENT_UNKNOWN&limit=50'),
      'a wallet’s deposits': get((i) => `/v1/deposits?wallet=${of(deposits, i).wallet}`),
      'a wallet’s deposits of a state': get((i) => `/v1/deposits?wallet=${of(deposits, i).wallet}&state=UNPAID`),
      'deposits, for a key of three wallets': get('/v1/deposits?limit=50', limited),
      'deposits of a state, for a key of three wallets': get('/v1/deposits?state=UNPAID&limit=50', limited),
      'a wallet': get((i) => `/v1/wallets/${of(deposits, i).wallet}`),
      'open cases': get('/v1/reviews?limit=50', key.people),
      // Ten are in the smallest database.
      'closed cases': get('/v1/reviews?state=closed&limit=10', key.people),
      'closed cases of a reason': get('/v1/reviews?state=closed&reason=SECOND_CODE&limit=10', key.people),
      'closed cases, for a key of three wallets': get('/v1/reviews?state=closed&limit=10', limited),
      'a case': get((i) => `/v1/reviews/${encodeURIComponent(of(cases, i).id)}`, key.people),
      'evidence of a deposit': get((i) => `/v1/deposits/${of(made, i)}/evidence`, key.evidence),
      events: get('/v1/events?limit=50', key.people),
      'events of a deposit': get((i) => `/v1/events?deposit=${of(deposits, i).n}`, key.people),
      'events of a rare type': get('/v1/events?type=case.opened&limit=10', key.people),
      'events since an hour': get(
        () => `/v1/events?since=${new Date(Date.now() - HOUR_MS).toISOString()}&limit=10`,
        key.people,
      ),
      'events, for a key of three wallets': get('/v1/events?limit=10', limited),
      readiness: get('/readyz'),
      'a create that is repeated': { group: 'deposits', one: (i) => load.create(of(made, i)) },
      'a deposit, from create to credit': {
        group: 'deposits',
        requests: FEW,
        one: () => load.whole(load.fresh(1)[0]!),
      },
      'payments to raise': relay(() => findToRaise(api, { freshMs, againMs, atMostMs: HOUR_MS }, ...PAGE)),
      reservations: relay(() => findOpenDeposits(api, ['PLACING'], unstartedMs, ...PAGE)),
      'open deposits': relay(() => findOpenDeposits(api, WAITING, 2 * LAG_MS, ...LARGE_PAGE)),
      'late answers': relay(() => findAnsweredLate(api, ...PAGE)),
      'settled deposits': relay(() => findToTell(api, ...PAGE)),
      'stored messages of unknown orders': relay(() => findKeptOrders(api, UNKNOWN_ORDER_MS, ...PAGE)),
      'open cases for the relay': relay(() => findOpenCases(api, LAG_MS, ...LARGE_PAGE)),
      'deposits without a case': relay(() => findWithoutCase(api, ...PAGE)),
      'cases without a wallet': relay(() => findWithoutWallet(api, ...PAGE)),
      'payments without effect': relay(() => findWithoutEffect(api, WITHOUT_EFFECT_MS)),
      'the oldest payment without effect': relay(() => findLongestWithoutEffect(api, WITHOUT_EFFECT_MS)),
      'orders that were not placed': relay(() => findNotPlaced(api, WITHOUT_EFFECT_MS)),
      'decisions without effect': relay(() => findNotCarriedOut(api, WITHOUT_EFFECT_MS)),
      'money in suspense': relay(() => suspenseWithoutCase(api)),
      'closed workflows to archive': { group: 'archive', one: () => claimClosed(worker, 100) },
      'the archive’s backlog': { group: 'archive', one: () => archiveBacklog(worker) },
      'the head of the archive': audit(() => archiveHead(session)),
      'the catalogue': audit(() => checkCatalogue(session, NO_EXCEPTIONS)),
      'the rows of 50 histories': audit(async () => {
        const runs = await archiveRows(session, numbers);
        const ids = runs.map(({ workflowId }) => workflowId);
        const orders = ids.map((id) => id.replace(/^deposit:/, ''));
        await readRecords(session, ids, orders, []);
      }),
    },
    async close() {
      await session.end();
      await Promise.all([api.end(), worker.end()]);
    },
  };
}
