import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { archiveAll, copiesOf, findingsOf } from '../audit/book.ts';
import { faultsOf } from '../model/storm.ts';
import { required } from '../support/database.ts';
import { startEngine } from '../support/engine.ts';
import { type Act, type Traffic, trafficOf } from '../support/traffic.ts';
import { until } from '../support/until.ts';

/**
 * All operations over HTTP on few deposits, first one after the other, then concurrently. The API never responds with
 * 500, the books are right, merchants read the books' state, no case is stuck, and the audit explains all of it.
 */
const engine = await startEngine();
const { audit } = await copiesOf(engine, await readFile(required('TEST_WORKFLOW_BUNDLE'), 'utf8'));
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
const STEPS = Number(process.env['STEPS'] ?? 40);
const ACTIONS = 150;
const AT_ONCE = 14;

const one = async <T>(sql: string, ...values: unknown[]): Promise<T> =>
  (await engine.db.owner.query(sql, values)).rows[0] as T;
const strange = ({ what, answer, may }: Act): string[] =>
  may.includes(answer.status) ? [] : [`${what}: ${answer.status} ${answer.text.slice(0, 300)}`];

/** The books agree with the merchants' view. */
async function holds({ orders }: Traffic, trail: () => string): Promise<void> {
  expect(await faultsOf(engine.db.owner), trail()).toEqual([]);
  for (const { externalOrderNumber: n } of orders)
    await until(
      `the books and what is read of ${n} to agree`,
      async () => {
        const { creditedAmount, standing } = await engine.deposit(n);
        const { sum, count } = await one<{ sum: string; count: number }>(
          `select trim_scale(coalesce(sum(amount - fee - coalesce(rest, 0)), 0))::text as sum, count(*)::int as count from ledger.standing($1)`,
          n,
        );
        const says = count === 0 ? ['none'] : count === 1 ? ['credited', 'partly'] : ['more'];
        return (creditedAmount ?? '0') === sum && says.includes(standing);
      },
      undefined,
      () => `\n${trail()}`,
    );
}

/** Decides every open case: none is stuck. */
async function decideAll({ people }: Traffic): Promise<string[]> {
  const [alice, bob] = people as [Traffic['people'][number], Traffic['people'][number]];
  const refused: string[] = [];
  for (const found of (await alice.list('?limit=200')).items) {
    await until(`${found.id} to have no proposal`, async () => {
      const { proposal, state } = await alice.case(found.id);
      return state === 'closed' || proposal === null || (await alice.withdraw(found.id, proposal.id)).status === 200;
    });
    const { state, standing } = await alice.case(found.id);
    if (state === 'closed') continue;
    const decision = standing === 'withdrawn' ? 'reverse' : 'reject';
    const proposed = await alice.propose(found.id, { decision, reason: 'after it all' });
    const answer = proposed.status === 200 ? await bob.confirm(found.id, proposed.body.proposal.id) : proposed;
    if (answer.status !== 200) refused.push(`${found.id} ${standing} ${decision}: ${answer.status} ${answer.text}`);
  }
  return refused;
}

const decidedSince = (before: string) =>
  one<{ n: number }>(
    `select count(*)::int as n from engine.carried where outcome <> 'refused' and proposal > $1`,
    before,
  );
const lastStep = async () => (await one<{ id: string }>('select coalesce(max(id), 0) as id from engine.decision')).id;

test(`a walk of ${STEPS} steps: after each the books are right, and merchants read them (seed ${seed})`, async () => {
  const traffic = await trafficOf(engine, 'walk', seed);
  const before = await lastStep();
  const trail: string[] = [];
  const told = () => `seed ${seed}\n${trail.join('\n')}`;
  for (let i = 0; i < STEPS; i += 1) {
    const done = await traffic.act();
    if (done === null) continue;
    trail.push(`${i} ${done.what}: ${done.answer.status} ${done.answer.body?.code ?? ''}`);
    expect(strange(done), told()).toEqual([]);
    await holds(traffic, told);
  }
  expect((await decidedSince(before)).n, told()).toBeGreaterThan(0);
});

test(`${ACTIONS} things, ${AT_ONCE} at a time, on few deposits: nothing is answered 500, and no case is wedged (seed ${seed})`, async () => {
  const traffic = await trafficOf(engine, 'storm', seed + 1);
  const deadlocks = () =>
    one<{ n: number }>('select deadlocks::int as n from pg_stat_database where datname = current_database()');
  const [before, first] = [await deadlocks(), await lastStep()];
  const faults: string[] = [];
  let left = ACTIONS;
  const actor = async () => {
    while (left-- > 0) {
      const done = await traffic.act();
      if (done !== null) faults.push(...strange(done));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, actor));
  expect(faults, `seed ${seed}`).toEqual([]);
  await holds(traffic, () => `seed ${seed}`);
  expect(await decideAll(traffic), `seed ${seed}`).toEqual([]);
  await holds(traffic, () => `seed ${seed}`);
  expect(await deadlocks()).toEqual(before);
  expect((await decidedSince(first)).n).toBeGreaterThan(0);
});

test('the audit explains all of it', async () => {
  await archiveAll(engine);
  expect(findingsOf(await audit())).toEqual([]);
});
