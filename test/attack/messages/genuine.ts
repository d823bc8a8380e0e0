import { setTimeout as sleep } from 'node:timers/promises';
import { callbackBody } from '../../support/messages/callbacks.ts';
import { until } from '../../support/until.ts';
import { postings, type Roster } from '../ground/evidence.ts';
import type { Random } from '../random.ts';
import { createVictim, settle, SHAPES, type Victim } from '../ground/victims.ts';
import type { Wire } from '../ground/wire.ts';
import type { World } from '../ground/world.ts';

export interface GenuineReport {
  deposits: number;
  credited: number;
  /** Callbacks by kind, all of which have to be acknowledged. */
  readonly sent: Record<string, number>;
  /** Got a 503 because the stamp was one of ours, and were acknowledged later. */
  delayed: number;
  /** One line for each that was not acknowledged or not credited exactly once. */
  readonly rejected: string[];
}

/** Honest traffic beside the attack: deposits that are paid, and all the repeats that a provider may send. */
export interface Genuine {
  readonly report: GenuineReport;
  /** Ends it at once. */
  stop(): Promise<void>;
  /** Ends it, pays what has expired meanwhile, and compares every deposit with its postings. */
  finish(): Promise<void>;
}

/** Between two deposits: the attack is the load, not this. */
const PAUSE_MS = 250;
const LATE = 3;

/** Messages of the same content, in the possible spellings of a provider. */
const REPEATS: Readonly<Record<string, (world: World, victim: Victim) => string>> = {
  'the same bytes again': (_, { callback }) => callback!.body,
  'signed afresh': (world, { data }) => callbackBody(world.engine, data),
  'amounts in another spelling': (world, { data }) =>
    callbackBody(world.engine, {
      ...data,
      transactionAmount: `${data.transactionAmount}.00`,
      paymentPrice: `${data.paymentPrice}.0`,
    }),
  'fields in another order': (world, { data }) =>
    callbackBody(world.engine, Object.fromEntries(Object.entries(data).toReversed())),
  'fields we do not know': (world, { data }) =>
    callbackBody(world.engine, { ...data, fee: 'none', settledBy: 'merchant' }),
};

export async function startGenuine(world: World, wire: Wire, roster: Roster, random: Random): Promise<Genuine> {
  const report: GenuineReport = { deposits: 0, credited: 0, sent: {}, delayed: 0, rejected: [] };
  const all: Victim[] = [];
  const count = (kind: string) => (report.sent[kind] = (report.sent[kind] ?? 0) + 1);
  const create = async (at: number) => {
    const victim = await createVictim(world, SHAPES[at % SHAPES.length]!);
    roster.created += 1;
    report.deposits += 1;
    return victim;
  };

  /** Sends as the provider does until it is acknowledged; a stamp that was ours by chance is refused once. */
  async function repeat(victim: Victim, kind: string): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      count(kind);
      const { status, body } = await wire.sendAlone({ path: victim.path, body: REPEATS[kind]!(world, victim) });
      if (status === 200 && body === 'SUCCESS') return;
      if (status === 503 && tries < 3) report.delayed += 1;
      else if (status !== 0 || tries === 3) {
        report.rejected.push(`${victim.order.externalOrderNumber}, ${kind}: ${status}`);
        return;
      }
    }
  }

  async function pay(victim: Victim, kind: string): Promise<void> {
    const settled = await settle(world, victim);
    count(kind);
    all.push(settled);
    // Times are the provider's own text and part of the content: taken from its callback.
    const { data } = JSON.parse(settled.callback!.body) as { data: Victim['data'] };
    const told = {
      ...settled,
      data: {
        ...settled.data,
        transactionCreateTime: data.transactionCreateTime,
        paymentFinishedTime: data.paymentFinishedTime,
      },
    };
    await repeat(told, random.pick(Object.keys(REPEATS)));
    await repeat(told, random.pick(Object.keys(REPEATS)));
  }

  const late = await Promise.all(Array.from({ length: LATE }, (_, at) => create(at)));
  const stopping = new AbortController();
  const loop = (async () => {
    for (let at = 0; !stopping.signal.aborted; at += 1) {
      await create(at)
        .then((victim) => pay(victim, 'first'))
        .catch((error: Error) => report.rejected.push(error.message));
      await sleep(PAUSE_MS);
    }
  })();

  const stop = async () => {
    stopping.abort();
    await loop;
  };
  return {
    report,
    stop,
    async finish() {
      await stop();
      for (const victim of late) {
        await world.engine.untilState(victim.order.externalOrderNumber, 'EXPIRED');
        await pay(victim, 'late').catch((error: Error) => report.rejected.push(error.message));
      }
      for (const { order, data } of all) {
        const posted = await postings(world, order.externalOrderNumber);
        if (posted.length === 1 && posted[0] === data.transactionAmount) report.credited += 1;
        else report.rejected.push(`${order.externalOrderNumber}: posted ${JSON.stringify(posted)}`);
      }
      await payOpen();
    },
  };

  /** The deposits that were attacked all the time and never paid are like any others: now their payments come. */
  async function payOpen(): Promise<void> {
    for (const victim of roster.open) {
      const n = victim.order.externalOrderNumber;
      await world.engine.pay(n);
      await until(`${n} to be credited`, async () => (await postings(world, n)).length > 0).catch((error: Error) =>
        report.rejected.push(error.message),
      );
      const posted = await postings(world, n);
      if (posted.length !== 1 || posted[0] !== victim.data.transactionAmount)
        report.rejected.push(`${n}, attacked before it was paid: posted ${JSON.stringify(posted)}`);
      count('first, after the attack');
    }
  }
}
