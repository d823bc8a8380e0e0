import type pg from 'pg';
import { readFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { openSession } from '../../../audit/tables/session.ts';
import type { Ground } from '../../attack/ground/world.ts';
import type { AdversaryBook } from '../scene/book.ts';
import { archiveAll } from '../../audit/book.ts';
import { isNamedIn } from './images.ts';
import { TAKEN_UP } from './legal.ts';
import { look, prepare } from './look.ts';
import { readSubject, type Scene, type Situation, type Subject } from '../scene/scene.ts';
import { situationsOf } from '../statements/statement.ts';
import { type Outcome, strike } from './trial.ts';

/** Inputs of the machine: a static look cannot show its reaction to them. */
const INPUTS = new Set([
  'engine.callback',
  'engine.callback_attempt',
  'engine.callback_stamp',
  'engine.own_stamp',
  'engine.deposit',
  'engine.decision',
  'engine.stated_facts',
  'engine.refused_step',
  'engine.carried',
  'engine.review_case',
  'engine.api_key',
  'engine.placement_attempt',
]);

export interface LiveOutcome {
  readonly outcome: Outcome;
  readonly verdict: 'refused' | 'found' | 'legal' | 'unseen';
  readonly why: string;
}

/** One of every kind of effect on the machine's inputs. */
export function survivorsOf(outcomes: readonly Outcome[], atMost: number): readonly Outcome[] {
  const kinds = new Map<string, Outcome>();
  for (const outcome of outcomes) {
    if (!['found', 'legal', 'unseen'].includes(outcome.verdict)) continue;
    const { attempt, changes } = outcome;
    if (!changes.some(({ table }) => INPUTS.has(table))) continue;
    const kind = JSON.stringify([
      attempt.steps.map(({ role, by }) => [role, by]),
      [...new Set(changes.map(({ table, kind: how, columns }) => `${how} ${table} ${columns.join()}`))].toSorted(),
      attempt.steps.length > 1 ? attempt.name : '',
    ]);
    if (!kinds.has(kind)) kinds.set(kind, outcome);
  }
  return [...kinds.values()].slice(0, atMost);
}

interface Victim {
  readonly outcome: Outcome;
  readonly scene: Scene;
  readonly own: readonly Subject[];
  refusal: string | null;
}

/**
 * Runs all of them at once, each against deposits of its own, on the engine that wrote the book. Lets the engine run
 * until it is quiet, and checks everything. The customers of waiting deposits pay meanwhile.
 */
export async function runLive(
  book: AdversaryBook,
  survivors: readonly Outcome[],
  ground: Ground,
): Promise<readonly LiveOutcome[]> {
  const { engine, stage } = book;
  const { owner } = engine.db;
  await engine.startApi();
  await engine.startWorker();
  const victims = await prepareVictims(book, survivors);
  await engine.stopWorker();
  for (const victim of victims) {
    const { refusal, done } = await strike(engine.db.url, victim.outcome.attempt, victim.scene);
    // Statements before the refused one stay in effect.
    victim.refusal = done === 0 ? refusal : null;
  }
  await engine.startWorker();
  for (const { own } of victims)
    for (const { situation, order, wallet } of own)
      if (situation === 'waiting' && wallet !== null)
        await stage
          .pays({
            externalOrderNumber: order,
            wallet,
            buyCoinMode: 'MtcAmount',
            mtcAmount: '5000',
            totalPrice: null,
            currencyCode: 'CNY',
          })
          // A deposit that an adversary has ended takes no payment any more: the provider keeps retrying.
          .catch(() => undefined);
  await untilQuiet(owner);
  await archiveAll(engine).catch(() => undefined);
  const code = await readFile(ground.workflowBundle, 'utf8');
  const prepared = await prepare(engine.db.url, engine.client, code, book.prepared.links);
  const session = await openSession({ url: engine.db.url }, null);
  const findings = await look(session, prepared, 'later');
  await session.end();
  const thefts = await misplaced(owner, stage.paid);
  return Promise.all(
    victims.map(async ({ outcome, own, refusal }): Promise<LiveOutcome> => {
      if (refusal !== null) return { outcome, verdict: 'refused', why: refusal };
      const names = await namesOf(
        owner,
        own.map(({ order }) => order),
      );
      const naming = findings.find(({ where, detail }) => names.some((name) => isNamedIn(`${where} ${detail}`, name)));
      const stolen = thefts.filter(({ order }) => own.some((subject) => subject.order === order));
      if (naming !== undefined)
        return { outcome, verdict: 'found', why: `${naming.kind} ${naming.where}: ${naming.detail}` };
      if (stolen.length > 0)
        return { outcome, verdict: 'unseen', why: `money without a payment: ${JSON.stringify(stolen)}` };
      const steps = outcome.attempt.steps;
      const taken = TAKEN_UP.find(({ role, by }) => steps.some((step) => step.role === role && step.by === by));
      const reason = outcome.verdict === 'legal' ? outcome.why : taken?.reason;
      return reason === undefined
        ? { outcome, verdict: 'unseen', why: 'the machine took it up, and it is listed nowhere' }
        : { outcome, verdict: 'legal', why: reason };
    }),
  );
}

async function prepareVictims(
  { engine, stage, scene }: AdversaryBook,
  survivors: readonly Outcome[],
): Promise<Victim[]> {
  const needs = survivors.map(({ attempt }) => situationsOf(attempt, scene));
  const all = needs.flat();
  const orders = await stage.makeAll(all);
  const subjects = await Promise.all(all.map((situation, i) => readSubject(engine.db.owner, situation, orders[i]!)));
  return survivors.map((outcome, i) => {
    const own = subjects.splice(0, needs[i]!.length);
    const fresh = Object.fromEntries(own.map((subject): [Situation, Subject] => [subject.situation, subject]));
    return { outcome, scene: { ...scene, ...fresh }, own, refusal: null };
  });
}

/** All current objects of these orders, by their names in findings. */
async function namesOf(owner: pg.Pool, orders: readonly string[]): Promise<readonly string[]> {
  const { rows } = await owner.query<{ name: string }>(
    `select n as name from unnest($1::text[]) n union all select 'deposit:' || n from unnest($1::text[]) n
     union all select 'callback ' || c.id from engine.callback c where c.external_order_number = any($1)
     union all select v.workflow_id from engine.review_case v join engine.callback c on c.id = v.callback where c.external_order_number = any($1)
     union all select 'decision ' || s.id from engine.decision s join engine.callback c on c.id = s.callback where c.external_order_number = any($1)
     union all select 'posting ' || t.id from ledger.transaction t where t.deposit = any($1)`,
    [orders],
  );
  return rows.map(({ name }) => name);
}

/** Money in wallets without a payment, or with a payment for another wallet. */
async function misplaced(
  owner: pg.Pool,
  paid: AdversaryBook['stage']['paid'],
): Promise<readonly { readonly order: string | null; readonly posting: string }[]> {
  const { rows } = await owner.query<{ posting: string; order: string | null; wallet: string; code: string | null }>(
    `select t.id::text as posting, t.deposit as order, substr(t.credit_code, 8) as wallet, ledger.code(t.id) as code
       from ledger.transaction t where t.amount > 0 and t.credit_code like 'wallet:%'`,
  );
  return rows.filter(({ code, wallet }) => !paid.some((one) => one.code === code && one.wallet === wallet));
}

/** Nothing has changed for three seconds; waits for a minute and a half at most. */
async function untilQuiet(owner: pg.Pool): Promise<void> {
  const ends = performance.now() + 90_000;
  let [last, since] = ['', performance.now()];
  while (performance.now() < ends) {
    const { rows } = await owner.query<{ hash: string }>(
      `select concat(
         (select md5(string_agg(concat_ws(',', external_order_number, state, bound_callback, posting_id, closed_at, told_at), '|' order by external_order_number)) from engine.deposit),
         (select md5(string_agg(concat_ws(',', id, acked, outcome), '|' order by id)) from engine.callback),
         (select md5(string_agg(concat_ws(',', workflow_id, held_by, closed_at, proposal, parked), '|' order by workflow_id)) from engine.review_case),
         (select count(*) from ledger.transaction), (select count(*) from engine.placement_attempt)) as hash`,
    );
    const [{ hash }] = rows as [{ hash: string }];
    if (hash !== last) [last, since] = [hash, performance.now()];
    else if (performance.now() - since > 3_000) return;
    await wait(200);
  }
}
