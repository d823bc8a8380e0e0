import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { carryOutDecision } from '../../ledger/decide.ts';
import { type CaseRow, findCase, findNewestCredit, noteProposal } from '../../database/queries/cases.ts';
import type { StatedFacts } from '../../database/queries/decisions.ts';
import { allowedDecisions, type Decision, entersWallet, type Standing } from '../../domain/decision.ts';
import { isFinal, type DepositState } from '../../domain/deposit.ts';
import { Driver, type Tally } from './driver.ts';
import { expected, found, indexOf, observe, type Picture, type Seen } from './observe.ts';
import type { Play } from './plays.ts';
import { at, depositIn, inWallet, type Reference, standingOf } from './reference.ts';
import { within } from './seams.ts';
import { newNames, newReference, placeOrder, type Site } from './world.ts';
import { insertDecision } from '../support/operators.ts';

/** The state that fast-check carries from command to command. */
export interface Holder {
  ref: Reference;
  seen: Seen | null;
  readonly tally: Tally;
  /** Situations of cases whose decisions were already tried in this sequence. */
  readonly tried: Set<string>;
}

export class Mismatch extends Error {}

/** Every possible interleaving of the stretches of these commands, and its resulting state. */
function* outcomes(
  ref: Reference,
  plays: readonly Play[],
  schedule: readonly number[] = [],
): Generator<{ ref: Reference; answers: string[] }> {
  const now = structuredClone(ref);
  const runs = plays.map((play) => play(now));
  const answers: string[] = [];
  for (const who of schedule) {
    const turn = runs[who]!.next();
    if (turn.done === true) answers[who] = turn.value;
  }
  const waiting = runs.map((_, i) => i).filter((i) => answers[i] === undefined);
  if (waiting.length === 0) yield { ref: now, answers };
  else for (const who of waiting) yield* outcomes(ref, plays, [...schedule, who]);
}

/** Finds the interleaving that explains the tables, and checks the invariants. */
export async function settle(
  holder: Holder,
  driver: Driver,
  text: string,
  plays: readonly Play[],
  answers: readonly string[],
): Promise<void> {
  const seen = await observe(driver.site.owner, driver.names);
  let first: { ref: Reference; answers: string[] } | null = null;
  for (const outcome of outcomes(holder.ref, plays)) {
    first ??= outcome;
    if (!isDeepStrictEqual(outcome.answers, answers)) continue;
    const index = indexOf(driver.names, outcome.ref, seen);
    if (!isDeepStrictEqual(expected(outcome.ref), found(driver.names, seen, index))) continue;
    driver.index = index;
    checkBooks(outcome.ref, seen);
    checkRows(holder, seen, plays.length < 2);
    holder.ref = outcome.ref;
    holder.seen = seen;
    await tryDecisions(holder, driver, seen);
    return;
  }
  const index = indexOf(driver.names, first!.ref, seen);
  throw new Mismatch(`${text}\n${difference(first!, answers, found(driver.names, seen, index))}`);
}

function difference(first: { ref: Reference; answers: string[] }, answers: readonly string[], is: Picture): string {
  const lines = (picture: Picture, told: readonly string[]) => [
    `answers: ${told.join(' | ')}`,
    ...Object.entries(picture).flatMap(([part, rows]) =>
      Object.entries(rows as Record<string, unknown>).map(([key, value]) => `${part} ${key}: ${String(value)}`),
    ),
  ];
  const [wanted, got] = [lines(expected(first.ref), first.answers), lines(is, answers)];
  const only = (some: readonly string[], others: readonly string[]) => some.filter((line) => !others.includes(line));
  return [
    ...only(wanted, got).map((line) => `  expected  ${line}`),
    ...only(got, wanted).map((line) => `  found     ${line}`),
  ].join('\n');
}

function rule(holds: boolean, name: string, detail: string): void {
  if (!holds) throw new Mismatch(`${name}: ${detail}`);
}

/** The invariants of the books, independent of the model. */
function checkBooks(ref: Reference, seen: Seen): void {
  for (const row of seen.deposits ?? []) {
    const standing = row.standing ?? [];
    rule(row.machine <= 1, 'M2 one machine credit', `${row.n} has ${row.machine}`);
    rule(
      standing.length <= 1 + row.beside,
      'M3 one payment, and what two people put beside it',
      `${row.n}: ${standing.join(', ')}`,
    );
    rule(
      row.slot === (standing.at(-1) ?? null),
      'M4 the slot is the newest credit',
      `${row.n}: slot ${row.slot}, stands ${standing.join(', ')}`,
    );
    const order = Number(row.n.at(-1));
    const sum = Object.values(ref.money)
      .filter((money) => inWallet(at(money)) && depositIn(at(money)) === order)
      .reduce((total, money) => total + money.amount, 0);
    rule(Number(row.sum) === sum, 'M5 what merchants read is in the books', `${row.n}: ${row.sum}, and not ${sum}`);
  }
  rule(seen.stranded === 0, 'M6 nothing in suspense without an open case', `${seen.stranded} payments`);
}

/**
 * The row follows the books: binding and final state never change, and a credit was in the wallet when it was shown.
 */
function checkRows({ seen: before }: Holder, seen: Seen, single: boolean): void {
  for (const row of seen.deposits ?? []) {
    const was = before?.deposits?.find(({ n }) => n === row.n);
    if (was?.bound !== undefined && was.bound !== null)
      rule(row.bound === was.bound, 'M7 what is bound stays bound', row.n);
    const wasFinal = was !== undefined && isFinal(was.state as DepositState);
    if (wasFinal)
      rule(
        row.state === was.state && row.posting === was.posting,
        'M8 what is final stays',
        `${row.n}: ${was.state}, then ${row.state}`,
      );
    if (wasFinal || row.state !== 'CREDITED' || !single) continue;
    rule(
      row.posting !== null && (row.standing ?? []).includes(row.posting),
      'M9 a credit stands when it is shown',
      row.n,
    );
  }
}

const SOME_FACTS: StatedFacts = {
  transactionCode: '',
  amount: '3000',
  currencyCode: 'CNY',
  paymentPrice: '21600',
  statementLine: null,
};

/**
 * Trials are the greater part of a run's time, so not every situation is tried: one in eight of the common ones, one in
 * two of the others. The choice follows from the situation alone, so that a replay tries the same.
 */
function isTried(situation: string, standing: Standing): boolean {
  const often = ['nothing', 'unreadable', 'elsewhere', 'parked'].includes(standing);
  return createHash('sha256').update(situation).digest()[0]! % (often ? 8 : 2) === 0;
}

/**
 * M10: every allowed decision can be carried out. Tried in a transaction that is rolled back, once for each situation.
 */
async function tryDecisions(holder: Holder, driver: Driver, seen: Seen): Promise<void> {
  const picture = expected(holder.ref);
  for (const { id, callback } of seen.cases ?? []) {
    const label = driver.index.labels.get(callback)!;
    const wanted = standingOf(holder.ref, label);
    const situation = JSON.stringify([label, wanted, picture]);
    if (holder.tried.has(situation) || !isTried(situation, wanted)) continue;
    holder.tried.add(situation);
    const client = await driver.site.owner.connect();
    try {
      await client.query('begin');
      const found = (await findCase(client, id))!;
      const { standing } = found;
      rule(standing === wanted, 'M11 a case says where its money is', `${label}: ${standing}, and not ${wanted}`);
      const decisions = allowedDecisions(standing);
      for (const decision of decisions) {
        for (const keep of decision === 'reverse' && standing === 'credited' ? [false, true] : [false]) {
          await client.query('savepoint tried');
          const to = targetOf(driver, found, decision);
          const goesTo = decision === 'credit' ? (to ?? found.deposit) : found.backTo;
          const enters = entersWallet(standing, decision) && goesTo !== null;
          const beside = enters ? await findNewestCredit(client, goesTo) : null;
          const facts =
            decision === 'credit' && standing === 'unreadable'
              ? { ...SOME_FACTS, transactionCode: `T-${id.replaceAll(/\W/g, '-')}` }
              : null;
          const about = { workflowId: id };
          const body = { decision, keep, toDeposit: to, beside, reason: 'tried only' };
          const proposal = await insertDecision(client, {
            ...about,
            operator: 'alice',
            step: 'propose',
            ...body,
            facts,
          });
          await noteProposal(client, id, proposal.id);
          const confirmation = await insertDecision(client, {
            ...about,
            operator: 'bob',
            step: 'confirm',
            proposal: proposal.id,
            reason: null,
            facts,
          });
          const answer = await carryOutDecision(
            within(client),
            {
              workflowId: id,
              proposalId: proposal.id,
              confirmationId: confirmation.id,
            },
            () => Promise.resolve(true),
          );
          holder.tally.count('tried', `${standing}: ${decision}`);
          if (answer.kind === 'refused')
            throw new Mismatch(
              `M10 what may be decided can be: ${standing} ${decision}${keep ? ' and keep' : ''} of ${id}: ${answer.refusal}, ${answer.detail}`,
            );
          await client.query('rollback to savepoint tried');
        }
      }
    } finally {
      await client.query('rollback');
      client.release();
    }
  }
}

const targetOf = (driver: Driver, found: CaseRow, decision: Decision): string | null =>
  decision === 'credit' && (found.deposit === null || found.standing === 'withdrawn') ? driver.names.orders[0]! : null;

/** One sequence from its beginning: two deposits placed, nothing paid. */
export async function begin(site: Site, tally: Tally): Promise<{ model: Holder; real: Driver }> {
  const names = newNames();
  await placeOrder(site.owner, names, [0, 1]);
  return { model: { ref: newReference(), seen: null, tally, tried: new Set() }, real: new Driver(site, names, tally) };
}

export const runSequence = async (
  site: Site,
  tally: Tally,
  commands: Iterable<fc.AsyncCommand<Holder, Driver>>,
): Promise<void> => {
  const started = await begin(site, tally);
  try {
    await fc.asyncModelRun(() => started, commands);
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`${message}\nafter:\n${started.real.told.map((line) => `  ${line}`).join('\n')}`, { cause: error });
  }
};
