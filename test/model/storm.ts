import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { recordReview, decide, parkCase } from '../../activities/deciding.ts';
import { close } from '../../activities/closing.ts';
import { type Message, route, routeRepeat } from '../../intake/route-callback.ts';
import { markRaised, openOwnCase, paymentOf } from '../../database/queries/callbacks.ts';
import { listEvents, publishEvents } from '../../database/queries/events.ts';
import { findCase, findNewestCredit, openDoubt, noteProposal } from '../../database/queries/cases.ts';
import { createPool, inTransaction } from '../../database/pool.ts';
import { allowedDecisions, entersWallet } from '../../domain/decision.ts';
import type { CallbackData, Order, Payment } from '../../domain/order.ts';
import { createCreditor, creditAll, type CreditItem } from '../../ledger/credit.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { createRandom, type Random } from '../attack/random.ts';
import { itemFor, payments } from '../ledger/payments.ts';
import { order, orderNumber, paid, settings } from '../support/builders.ts';
import { eventFaults } from '../support/events.ts';
import { byHand, type TestDatabase } from '../support/database.ts';
import { log } from './world.ts';
import { seal, sealTrust } from '../support/seals.ts';
import { insertDecision, proofFor } from '../support/operators.ts';

export interface StormReport {
  /** Transactions of credits, decisions, callbacks and their related work, as PostgreSQL counts them. */
  readonly transactions: number;
  /** SQLSTATE 40P01 as callers got it, and as PostgreSQL counted it. */
  readonly deadlocks: number;
  readonly deadlocksCounted: number;
  readonly did: Readonly<Record<string, number>>;
  /** Broken invariants of the books afterwards. */
  readonly faults: readonly string[];
  readonly seconds: number;
}

const CONNECTIONS = { api: 4, worker: 5, decisions: 3 } as const;
const AT_ONCE = 12;
const DEPOSITS = 16;
const WALLETS = 4;
/** Codes that more than one deposit claims. */
const SHARED_CODES = 3;
const PEOPLE = ['alice', 'bob', 'carol'];

interface Asked {
  readonly order: Order;
  heard: Payment | null;
}

/** Concurrent commands on few deposits and wallets, until this many are done. */
export async function runStorm(
  db: TestDatabase,
  options: { readonly count: number; readonly seed: number },
): Promise<StormReport> {
  const started = performance.now();
  const random = createRandom(options.seed);
  const pool = (role: 'app_api' | 'app_worker' | 'app_decisions', max: number) =>
    createPool({ url: db.urlFor(role), applicationName: 'storm', max, onIdleError: () => undefined });
  const [api, worker, decisions] = [
    pool('app_api', CONNECTIONS.api),
    pool('app_worker', CONNECTIONS.worker),
    pool('app_decisions', CONNECTIONS.decisions),
  ];
  const did: Record<string, number> = {};
  const done = (what: string) => (did[what] = (did[what] ?? 0) + 1);
  const shared = Array.from({ length: SHARED_CODES }, () => `S${randomBytes(6).toString('hex')}`);
  const asked: Asked[] = [];
  for (let i = 0; i < DEPOSITS; i += 1) asked.push(await place(db.owner, i));
  const storm = { api, worker, decisions, owner: db.owner, asked, shared, done };
  const before = await counters(db.owner);
  let deadlocks = 0;
  let left = options.count;
  const actor = async () => {
    while (left-- > 0) {
      try {
        await act(storm, random);
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === '40P01') deadlocks += 1;
        else if (code !== '55P03') throw error;
        done(`again ${code}`);
      }
    }
  };
  const reader = readAlong(api, worker);
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, actor)).finally(reader.stop);
    const after = await counters(db.owner);
    return {
      transactions: after.transactions - before.transactions,
      deadlocks,
      deadlocksCounted: after.deadlocks - before.deadlocks,
      did,
      faults: [...(await faultsOf(db.owner)), ...(await reader.faults()), ...(await eventFaults(db.owner))],
      seconds: (performance.now() - started) / 1000,
    };
  } finally {
    await Promise.all([api, worker, decisions].map((one) => one.end()));
  }
}

/** Publishes events and reads them page by page, while they are written. `faults`: what the reader lost or got twice. */
function readAlong(api: pg.Pool, worker: pg.Pool) {
  const read: string[] = [];
  const stopped = new AbortController();
  let after = '0';
  const page = async (limit: number) => {
    const { items, end, more } = await listEvents(api, { wallets: null, after, limit });
    read.push(...items.map((item) => (item as { id: string }).id));
    after = end ?? after;
    return more;
  };
  const reading = (async () => {
    for (let turn = 0; !stopped.signal.aborted; turn += 1) {
      await Promise.all([
        publishEvents(worker),
        turn % 3 === 0 ? publishEvents(worker) : undefined,
        page(1 + (turn % 7)),
      ]);
    }
  })();
  return {
    stop: () => stopped.abort(),
    async faults(): Promise<string[]> {
      await reading;
      while ((await publishEvents(worker)) > 0);
      while (await page(200));
      const { rows } = await api.query<{ name: string }>('select name from engine.event_body order by position');
      const same = rows.length === read.length && rows.every(({ name }, at) => name === read[at]);
      return same ? [] : [`a reader got ${read.length} events, ${new Set(read).size} of them once, of ${rows.length}`];
    },
  };
}

async function counters(owner: pg.Pool): Promise<{ transactions: number; deadlocks: number }> {
  // Each backend reports its statistics about once a second.
  await new Promise((resolve) => void setTimeout(resolve, 1_200));
  const { rows } = await owner.query<{ transactions: number; deadlocks: number }>(
    `select (xact_commit + xact_rollback)::int as transactions, deadlocks::int from pg_stat_database where datname = current_database()`,
  );
  return rows[0]!;
}

async function place(owner: pg.Pool, i: number): Promise<Asked> {
  const one = order({ externalOrderNumber: orderNumber(), wallet: `storm-${i % WALLETS}` });
  await byHand(
    owner,
    `with d as (insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language,
                                            fingerprint, settings, state, expires_at, listening_until)
                values ($1, $2, 'MtcAmount', 5000, 'CNY', 'en', '', $3, 'PLACING', clock_timestamp() + interval '1 hour', clock_timestamp()) returning 1)
     insert into engine.placement_attempt (external_order_number, n, deadline) select $1, 1, clock_timestamp() from d`,
    [one.externalOrderNumber, one.wallet, settings()],
  );
  await owner.query(`update engine.deposit set state = 'AWAITING_PAYMENT' where external_order_number = $1`, [
    one.externalOrderNumber,
  ]);
  return { order: one, heard: null };
}

interface Storm {
  readonly api: pg.Pool;
  readonly worker: pg.Pool;
  readonly decisions: pg.Pool;
  readonly owner: pg.Pool;
  readonly asked: Asked[];
  readonly shared: readonly string[];
  readonly done: (what: string) => void;
}

async function act(storm: Storm, random: Random): Promise<void> {
  const dice = random.int(100);
  if (dice < 4) {
    const at = random.int(storm.asked.length);
    storm.asked[at] = await place(storm.owner, at);
  } else if (dice < 30) await receive(storm, random);
  else if (dice < 55) await creditSome(storm, random);
  else if (dice < 88) await decideOne(storm, random);
  else if (dice < 97) await doubt(storm, random);
  else await close(storm.worker, random.pick(storm.asked).order.externalOrderNumber, 'UNPAID', null);
}

/** A payment of a deposit, or a repeated one: first, second, or with a code that another deposit claims as well. */
async function receive({ api, worker, asked, shared, done }: Storm, random: Random): Promise<void> {
  const one = random.pick(asked);
  const code = random.int(4) === 0 ? random.pick(shared) : `${one.order.externalOrderNumber}-${random.int(4)}`;
  const data: CallbackData = paid(one.order, { transactionCode: code });
  const message = messageOf(data);
  const routed =
    (await routeRepeat(api, message)) ?? (await inTransaction(api, (client) => route(client, message, seal)));
  const { signal: raise } = routed;
  done(`callback ${raise === null ? 'repeated' : raise.receipt}`);
  if (raise === null) return;
  if (raise.receipt === 'first') {
    one.heard ??= paymentOf(raise);
    // Its workflow is gone, says the relay, while the workflow gives it to people.
    if (random.int(4) > 0) return;
    const { externalOrderNumber } = one.order;
    const about = { externalOrderNumber, inboxId: raise.id, workflowId: `deposit:${externalOrderNumber}` };
    await Promise.all([
      openOwnCase(api, raise.id),
      recordReview(
        { pool: worker, sealTrust, log },
        { ...about, payment: one.heard, reason: 'AMOUNT_MISMATCH', late: false },
      ),
    ]);
    return done('two cases at once');
  }
  const { workflowId } = (await openOwnCase(api, raise.id))!;
  await parkCase({ pool: worker, sealTrust, log }, workflowId);
  await markRaised(api, raise.id, true);
}

let stamps = Date.now() * 100;
const messageOf = (data: CallbackData): Message => ({
  externalOrderNumber: data.externalOrderNumber,
  timestampMs: stamps++,
  kept: () => Buffer.from('{}'),
  reading: { readable: true, data, contentHash: contentHash(data) },
  keyId: 'key',
  aheadMs: 0,
  stampedMs: Date.now(),
  receivedMs: Date.now(),
});

const itemOf = ({ order: of, heard }: Asked): CreditItem => {
  const { inboxId, ...payment } = heard!;
  return itemFor(of, inboxId, { ...payment, externalOrderNumber: of.externalOrderNumber } as unknown as CallbackData);
};

/** A batch in any order, with retries of earlier credits; refused ones get a case. */
async function creditSome({ worker, asked, done }: Storm, random: Random): Promise<void> {
  const some = asked
    .filter(({ heard }) => heard !== null)
    .toSorted(() => random.int(3) - 1)
    .slice(0, 1 + random.int(6));
  if (some.length === 0) return;
  const answers = await creditAll(worker, some.map(itemOf));
  for (const [i, { outcome }] of answers.entries()) {
    done(`credit ${outcome}`);
    if (outcome !== 'conflict') continue;
    const { order: of, heard } = some[i]!;
    const workflowId = `deposit:${of.externalOrderNumber}`;
    const about = { externalOrderNumber: of.externalOrderNumber, inboxId: heard!.inboxId, workflowId, payment: heard! };
    await recordReview({ pool: worker, sealTrust, log }, { ...about, reason: 'OTHER_PAYMENT_CREDITED', late: false });
  }
}

/** Any open case, any allowed decision, sometimes for another deposit, mostly beside the wallet's newest credit. */
async function decideOne({ api, worker, decisions, asked, done }: Storm, random: Random): Promise<void> {
  const { rows } = await api.query<{ id: string }>(
    'select workflow_id as id from engine.review_case where closed_at is null order by random() limit 1',
  );
  const found = rows[0] === undefined ? null : await findCase(api, rows[0].id);
  if (found === null || found.closedAt !== null) return;
  const decision = random.pick(allowedDecisions(found.standing));
  const other = random.int(3) === 0 || found.standing === 'withdrawn' || found.deposit === null;
  const toDeposit = decision === 'credit' && other ? random.pick(asked).order.externalOrderNumber : null;
  const to = decision === 'credit' ? (toDeposit ?? found.deposit) : found.backTo;
  const beside = entersWallet(found.standing, decision) && to !== null ? await findNewestCredit(api, to) : null;
  const keep = decision === 'reverse' && found.standing === 'credited' && random.int(2) === 0;
  const about = { workflowId: found.workflowId };
  const by = random.int(3);
  try {
    const body = { decision, keep, toDeposit, beside, reason: 'in the storm' };
    const proposal = await insertDecision(api, { ...about, step: 'propose', operator: PEOPLE[by]!, ...body });
    await noteProposal(worker, found.workflowId, proposal.id);
    const step = {
      ...about,
      step: 'confirm',
      operator: PEOPLE[(by + 1) % 3]!,
      proposal: proposal.id,
      reason: null,
    } as const;
    const confirmation = await insertDecision(api, step);
    const item = { workflowId: found.workflowId, proposalId: proposal.id, confirmationId: confirmation.id };
    const [answer] = await Promise.all([
      decide({ pool: decisions, sealTrust, log }, item),
      // A concurrent repeat, as after a timeout; or a withdrawal.
      random.int(6) === 0 ? decide({ pool: decisions, sealTrust, log }, item) : undefined,
      random.int(6) === 0
        ? insertDecision(api, {
            ...about,
            step: 'withdraw',
            operator: 'carol',
            proposal: proposal.id,
            reason: 'in the storm',
          }).catch(onlyRefused)
        : undefined,
    ]);
    done(`decision ${answer.kind === 'refused' ? answer.refusal : answer.kind}`);
  } catch (error) {
    onlyRefused(error);
    done('step refused');
  }
}

function onlyRefused(error: unknown): void {
  if (!/^P0E3[1-4]$/.test((error as { code?: string }).code ?? '')) throw error;
}

async function doubt({ api, asked, done }: Storm, random: Random): Promise<void> {
  const { rows } = await api.query<{ id: string }>(
    'select workflow_id as id from engine.review_case where closed_at is not null order by random() limit 1',
  );
  const by =
    rows[0] === undefined || random.int(2) === 0
      ? { externalOrderNumber: random.pick(asked).order.externalOrderNumber }
      : { case: rows[0].id };
  const doubted = await openDoubt(api, proofFor('alice'), by, 'in the storm').catch(noDoubt);
  if (doubted !== null) done(doubted.opened ? 'doubted' : 'open already');
}

/** The money does not exist, or it was moved just now. */
function noDoubt(error: unknown): null {
  if (!/^P0E3[67]$/.test((error as { code?: string }).code ?? '')) throw error;
  return null;
}

/** Returns the broken invariants of the books, for any order of events. */
export async function faultsOf(owner: pg.Pool): Promise<string[]> {
  const { rows } = await owner.query<{ fault: string; found: number }>(
    `select fault, found::int as found from ledger.audit() where found > 0
     union all
     select 'more than one machine credit', count(*)::int from (
       select from ledger.transaction where kind = 'credit' group by deposit having count(*) > 1) x having count(*) > 0
     union all
     select 'payments in wallets that nobody put beside another', count(*)::int from (
       select from engine.deposit d cross join lateral ledger.standing(d.external_order_number) s
        group by d.external_order_number having count(*) > 1 + count(*) filter (where s.beside is not null and s.actor like '%+%')) x having count(*) > 0
     union all
     select 'money in suspense without an open case', count(*)::int
       from ledger.suspense_open o
       join ledger.transaction r on r.id = ledger.root(o.id)
      where not exists (select from engine.review_case v where v.closed_at is null and v.callback in (
              select k.callback from engine.review_case k where k.workflow_id = r.workflow_id
              union select d.bound_callback from engine.deposit d where r.workflow_id = 'deposit:' || d.external_order_number)) having count(*) > 0
     union all
     select 'a credited deposit that shows no posting', count(*)::int from engine.deposit where state = 'CREDITED' and posting_id is null having count(*) > 0`,
  );
  return rows.map((row) => `${row.fault}: ${row.found}`);
}

export interface Delay {
  /** Milliseconds that a credit takes, median. */
  readonly free: number;
  /** The same while the row of another deposit in the same batch is locked; and while that of another callback is. */
  readonly besideHeldDeposit: number;
  readonly besideHeldCallback: number;
}

/**
 * How long a credit takes while the row of an unrelated one is locked. The lock is released only after the credit has
 * returned.
 */
export async function measureDelay(db: TestDatabase, rounds: number): Promise<Delay> {
  const worker = db.poolFor('app_worker');
  const credit = createCreditor(worker);
  const timed = async (hold: 'nothing' | 'deposit' | 'callback') => {
    const [one, held] = (await payments(db.owner, 2)) as [
      Awaited<ReturnType<typeof payments>>[number],
      Awaited<ReturnType<typeof payments>>[number],
    ];
    const lock = {
      nothing: 'select $1::text',
      deposit: 'select from engine.deposit where external_order_number = $1 for update',
      callback: 'select from engine.callback where external_order_number = $1 for update',
    }[hold];
    return inTransaction(db.owner, async (client) => {
      await client.query(lock, [held.item.deposit]);
      const started = performance.now();
      const rival = credit(held.item);
      const answer = await credit(one.item);
      const ms = performance.now() - started;
      if (answer.outcome !== 'posted') throw new Error(`the credit beside a held row: ${answer.outcome}`);
      return { ms, rival };
    }).then(async ({ ms, rival }) => {
      await rival;
      return ms;
    });
  };
  const all = { nothing: [] as number[], deposit: [] as number[], callback: [] as number[] };
  for (let i = 0; i < rounds; i += 1)
    for (const hold of ['nothing', 'deposit', 'callback'] as const) all[hold].push(await timed(hold));
  const median = (of: number[]) => of.toSorted((a, b) => a - b)[of.length >> 1]!;
  return {
    free: median(all.nothing),
    besideHeldDeposit: median(all.deposit),
    besideHeldCallback: median(all.callback),
  };
}
