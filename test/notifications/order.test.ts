import { expect, test } from 'vitest';
import { DELIVERIES } from '../../audit/tables/checks/delivery-checks.ts';
import { claimDeliveries, type ClaimedDelivery } from '../../database/queries/notifications/deliveries.ts';
import { deleteEndpoint } from '../../database/queries/notifications/endpoints.ts';
import { reserved } from '../ledger/payments.ts';
import { createTestDatabase } from '../support/database.ts';
import { createRandom } from '../attack/random.ts';
import { openQueue, pass } from './queue.ts';

/** The order of the events of a deposit, whatever becomes of senders and receivers. */

const RUNS = Number(process.env['NOTIFY_RUNS'] ?? 40);
const db = await createTestDatabase();
const queue = await openQueue(db);
const STATES = ['EXPIRED', 'UNPAID'] as const;

interface Sent extends ClaimedDelivery {
  readonly subject: string;
  readonly sequence: number;
  isLeased: boolean;
}
const told = (one: ClaimedDelivery): Sent => {
  const [, subject, sequence] = /^evt_(.+)_(\d+)$/.exec(one.name)!;
  return { ...one, subject: subject!, sequence: Number(sequence), isLeased: true };
};

/** One run: kills, timeouts, lost and late answers, and refusals, at random. Returns what broke the promise. */
async function run(seed: number): Promise<string[]> {
  const random = createRandom(seed);
  const pick = (below: number) => random.int(below);
  const faults: string[] = [];
  const endpoints = [
    await queue.endpoint(),
    ...(pick(2) === 0 ? [] : [await queue.endpoint({ types: ['deposit.expired', 'deposit.unpaid'] })]),
  ];
  const subjects = await Promise.all(Array.from({ length: 3 }, () => reserved(db.owner)));
  const stage = new Map(subjects.map(({ externalOrderNumber }) => [externalOrderNumber, 0]));
  await queue.publish();
  const underWay: Sent[] = [];
  /** `endpoint subject` to the sequences that its receiver has, and those that the queue knows it has. */
  const received = new Map<string, Set<number>>();
  const acked = new Map<string, Set<number>>();
  const add = (to: Map<string, Set<number>>, { endpoint, subject, sequence }: Sent) =>
    to.set(`${endpoint} ${subject}`, (to.get(`${endpoint} ${subject}`) ?? new Set()).add(sequence));

  const claim = async (atMost: number) => {
    const taken = (await claimDeliveries(queue.notifier, atMost)).map(told);
    for (const one of taken) {
      if (underWay.some((other) => other.isLeased && other.endpoint === one.endpoint && other.subject === one.subject))
        faults.push(`seed ${seed}: ${one.name} is sent to ${one.endpoint} twice at once`);
      const { rows } = await db.owner.query<{ sequence: number }>(
        `select sequence from engine.delivery where endpoint = $1 and subject = $2 and sequence < $3 and outcome is distinct from 'given_up'`,
        [one.endpoint, one.subject, one.sequence],
      );
      for (const { sequence } of rows) {
        if (acked.get(`${one.endpoint} ${one.subject}`)?.has(sequence) !== true)
          faults.push(`seed ${seed}: ${one.name} is sent to ${one.endpoint}, and ${sequence} is not over`);
      }
    }
    underWay.push(...taken);
    return taken;
  };
  const finish = async (result: 'received' | 'refused' | 'cut' | 'killed') => {
    const [one] = underWay.splice(pick(underWay.length), 1);
    if (one === undefined) return;
    if (result !== 'refused') add(received, one);
    if (result === 'killed') return;
    // Before the answer is recorded: what another sender then takes may be the next.
    if (result === 'received') add(acked, one);
    await queue.settle(
      [one],
      result === 'received' ? { status: 204 } : result === 'refused' ? { status: 500 } : { fault: 'answer_cut' },
    );
  };

  for (let step = 0; step < 30; step += 1) {
    const what = random.int(100) / 100;
    if (what < 0.15) {
      const { externalOrderNumber: n } = subjects[pick(3)]!;
      const next = STATES[stage.get(n)!];
      if (next === undefined) continue;
      stage.set(n, stage.get(n)! + 1);
      await db.owner.query(
        `update engine.deposit set state = $2, closed_at = case when $2 = 'UNPAID' then clock_timestamp() end where external_order_number = $1`,
        [n, next],
      );
      await queue.publish();
    } else if (what < 0.5) await claim(1 + pick(5));
    else if (what < 0.65) await finish('received');
    else if (what < 0.75) await finish('refused');
    else if (what < 0.82) await finish('cut');
    else if (what < 0.9) await finish('killed');
    else {
      await pass(db.owner, ['31 seconds', '6 minutes', '20 hours'][pick(3)]!);
      for (const one of underWay) one.isLeased = false;
    }
  }
  // The receivers are well again, and the late answers arrive.
  while (underWay.length > 0) await finish('received');
  for (let quiet = 0; quiet < 2; ) {
    await pass(db.owner, '25 hours');
    const taken = await claim(64);
    quiet = taken.length === 0 ? quiet + 1 : 0;
    while (underWay.length > 0) await finish('received');
  }

  const { rows: owed } = await db.owner.query<{
    endpoint: string;
    subject: string;
    sequence: number;
    outcome: string | null;
    counted: number;
  }>(
    `select d.endpoint::text, d.subject, d.sequence, d.outcome,
            (select count(*)::int from engine.delivery_attempt t where t.subject = d.subject and t.endpoint = d.endpoint and t.sequence = d.sequence and t.counts
                and (t.status is not null or t.fault is not null)) as counted
       from engine.delivery d where d.endpoint = any($1)`,
    [endpoints.map((id) => id.slice(3))],
  );
  for (const { endpoint, subject, sequence, outcome, counted } of owed) {
    const has = received.get(`${endpoint} ${subject}`)?.has(sequence) === true;
    if (outcome === null || (outcome === 'delivered' && !has) || (outcome === 'given_up' && counted < 10))
      faults.push(
        `seed ${seed}: ${endpoint} ${subject} ${sequence} is ${outcome}, received: ${has}, attempts: ${counted}`,
      );
  }
  const { rows: lines } = await db.owner.query('select from engine.delivery_line where endpoint = any($1)', [
    endpoints.map((id) => id.slice(3)),
  ]);
  if (lines.length > 0) faults.push(`seed ${seed}: ${lines.length} lines are left`);
  const wanted = subjects.length + [...stage.values()].reduce((sum, n) => sum + n, 0);
  if (owed.filter(({ endpoint }) => endpoint === endpoints[0]!.slice(3)).length !== wanted)
    faults.push(`seed ${seed}: of ${wanted} events ${owed.length} are owed`);
  for (const id of endpoints) await deleteEndpoint(queue.api, queue.proof, id);
  return faults;
}

test('no event of a deposit is sent before the one before it is over, and none is lost', async () => {
  for (let seed = 1; seed <= RUNS; seed += 1) expect(await run(seed)).toEqual([]);
  for (const { sql } of DELIVERIES) expect((await db.poolFor('auditor').query(sql)).rows).toEqual([]);
}, 600_000);
