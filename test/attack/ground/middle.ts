import { inLanes } from '../../../telemetry/lanes.ts';
import { until } from '../../support/until.ts';
import { inboxOf, parkings, postings } from './evidence.ts';
import { type Caught, createTickets, type Interception, INTERCEPTIONS } from '../messages/interceptions.ts';
import type { Arena, ClassReport } from '../series.ts';
import { compose, createVictim, type Victim } from './victims.ts';

/** Deposits in progress at once: each of them is a workflow. */
const LANES = 6;

/**
 * The third series: an attacker with a token and genuine signatures for it alters messages on their way. No check can
 * refuse those: so none of them may move money, and all of them have to reach operators.
 */
export async function runMiddle(arena: Arena, count: number): Promise<ClassReport[]> {
  const ticket = createTickets(arena.world);
  const each = Math.max(1, Math.floor(count / INTERCEPTIONS.length));
  const reports = INTERCEPTIONS.map(emptyReport);
  const queue = INTERCEPTIONS.flatMap((interception, at) =>
    Array.from({ length: each }, (_, turn) => ({ interception, report: reports[at]!, turn })),
  );
  await inLanes(queue, LANES, ({ interception, report, turn }) =>
    intercept(arena, ticket, interception, report, turn).catch((error: Error) => report.found.push(error.message)),
  );
  return reports;
}

const emptyReport = ({ name, rows }: Interception): ClassReport => ({
  series: 'middle',
  name,
  rows,
  attempts: 0,
  answers: {},
  accepted: 0,
  control: false,
  found: [],
});

async function intercept(
  arena: Arena,
  ticket: Caught['ticket'],
  interception: Interception,
  report: ClassReport,
  turn: number,
): Promise<void> {
  const { world, roster } = arena;
  const shape = interception.shapes[turn % interception.shapes.length]!;
  const create = async () => {
    roster.created += 1;
    return createVictim(world, shape, interception.mtc);
  };
  const fresh = await create();
  const victim = interception.paidBefore === true ? await payBySignature(arena, ticket, fresh) : fresh;
  // The control is the message as it was before it was altered: it credits.
  if (turn === 0) await payBySignature(arena, ticket, await create());
  report.control = true;

  const other = arena.random.pick(roster.settled);
  for (const { body, answer, orElse, path = victim.path } of interception.say({ world, victim, other, ticket })) {
    const reply = await arena.wire.sendAlone({ path, body });
    report.attempts += 1;
    report.answers[reply.status] = (report.answers[reply.status] ?? 0) + 1;
    if (reply.status !== answer && reply.status !== orElse)
      report.found.push(`answered ${reply.status}, not ${answer}`);
  }
  const faults = await faultsOf(arena, interception, victim);
  if (faults.length > 0) report.accepted += 1;
  report.found.push(...faults);
}

/** The provider's own message for a deposit; resolves when it is credited. */
async function payBySignature(arena: Arena, ticket: Caught['ticket'], victim: Victim): Promise<Victim> {
  const n = victim.order.externalOrderNumber;
  const signed = ticket();
  const body = compose(victim.data, signed);
  const { status } = await arena.wire.sendAlone({ path: victim.path, body });
  if (status !== 200) throw new Error(`the untouched original was answered ${status}`);
  await until(`${n} to be credited`, async () => (await postings(arena.world, n)).length > 0);
  return { ...victim, callback: { body, ticket: signed } };
}

/** Returns the faults once every message has an owner. */
async function faultsOf(arena: Arena, interception: Interception, victim: Victim): Promise<string[]> {
  const { world } = arena;
  const n = victim.order.externalOrderNumber;
  const rows = await until(`every message of ${n} to have an owner`, async () => {
    const all = await inboxOf(world, n);
    return all.every((row) => row.outcome !== null || !row.acked) && all;
  });
  const faults: string[] = [];
  const told = rows.map(({ receipt, reason }) => (reason === null ? receipt : `${receipt} ${reason}`));
  const expected = [...(interception.paidBefore === true ? ['first'] : []), ...interception.kept];
  if (told.join() !== expected.join()) faults.push(`kept: ${told.join(', ') || 'nothing'}`);

  const credited = interception.paidBefore === true ? [victim.data.transactionAmount] : [];
  const posted = await postings(world, n);
  if (posted.join() !== credited.join()) faults.push(`posted: ${posted.join(', ') || 'nothing'}`);

  // A case parks its money once it runs; its row has an owner a moment before.
  const { parked = 0 } = interception;
  await until(`the money of ${n} to be parked`, async () => (await parkings(world, n)).length >= parked).catch(
    () => null,
  );
  const waiting = await parkings(world, n);
  const expectedParked = Array.from({ length: parked }, () => victim.data.transactionAmount);
  if (waiting.join() !== expectedParked.join()) faults.push(`parked: ${waiting.join(', ') || 'nothing'}`);

  const deposit = await world.engine.deposit(n);
  if (interception.review !== undefined && deposit.review?.reason !== interception.review) {
    faults.push(`the deposit is ${deposit.state} ${deposit.review?.reason ?? ''}`);
  }
  return faults;
}
