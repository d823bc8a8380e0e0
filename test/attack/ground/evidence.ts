import type { World } from './world.ts';
import type { Victim } from './victims.ts';

/** The honest parties; any other row can only come from an attacker. */
export interface Roster {
  /** Deposits nobody has paid. */
  readonly open: Victim[];
  /** Deposits that were paid and credited before the attack. */
  readonly settled: Victim[];
  /** Untouched repeats of paid ones, sent as positive controls. */
  controls: number;
  /** All deposits that were ever created. */
  created: number;
}

const EVIDENCE = `
  select (select count(*) from engine.callback where receipt <> 'first')::int as "inbox rows for people",
         (select count(*) from engine.callback where external_order_number = any($1))::int as "inbox rows of unpaid deposits",
         (select count(*) from engine.callback_stamp where external_order_number = any($1))::int as "stamps of unpaid deposits",
         (select coalesce(sum(attempts), 0) from engine.callback where external_order_number = any($2))::int
           - $3::int as "repeats of paid deposits",
         (select count(*) from engine.callback_stamp where external_order_number = any($2))::int
           - $4::int as "stamps of paid deposits",
         (select count(*) from engine.own_stamp where reflected_at is not null and timestamp_ms = any($5))::int as "reflected stamps",
         (select count(*) from engine.deposit where external_order_number = any($1)
             and (bound_callback is not null or posting_id is not null))::int as "unpaid deposits with a payment",
         (select count(*) from ledger.transaction where deposit = any($1))::int as "postings of unpaid deposits",
         (select count(*) - count(distinct deposit) from ledger.transaction where kind = 'credit')::int as "second credits",
         (select count(*) from ledger.transaction where kind not in ('credit', 'suspense'))::int as "postings only people can make"`;

/** Rows of the database that no honest party has caused, by name; empty when there are none. */
export async function findTraces(world: World, roster: Roster): Promise<Record<string, number>> {
  const numbers = (victims: readonly Victim[]) => victims.map((victim) => victim.order.externalOrderNumber);
  const { rows } = await world.engine.db.owner.query<Record<string, number>>(EVIDENCE, [
    numbers(roster.open),
    numbers(roster.settled),
    roster.settled.length + roster.controls,
    roster.settled.length,
    [...roster.open, ...roster.settled].map((victim) => victim.outbound.timestampMs),
  ]);
  return Object.fromEntries(Object.entries(rows[0]!).filter(([, found]) => found !== 0));
}

/** The ledger's own audit: the names of the faults it finds. */
export async function auditFaults(world: World): Promise<string[]> {
  const { rows } = await world.engine.db.owner.query<{ fault: string }>(
    'select * from ledger.audit() where found <> 0',
  );
  return rows.map((row) => row.fault);
}

/** The machine's credits for one deposit: amounts in MTC, oldest first. */
export const postings = (world: World, externalOrderNumber: string): Promise<string[]> =>
  amounts(world, externalOrderNumber, 'credit');

/** Payments of one deposit in suspense that wait for operators: amounts in MTC, oldest first. */
export const parkings = (world: World, externalOrderNumber: string): Promise<string[]> =>
  amounts(world, externalOrderNumber, 'suspense');

async function amounts(world: World, externalOrderNumber: string, kind: 'credit' | 'suspense'): Promise<string[]> {
  const { rows } = await world.engine.db.owner.query<{ amount: string }>(
    'select trim_scale(amount)::text as amount from ledger.transaction where deposit = $1 and kind = $2 order by id',
    [externalOrderNumber, kind],
  );
  return rows.map((row) => row.amount);
}

export interface InboxLine {
  readonly receipt: string;
  readonly reason: string | null;
  readonly acked: boolean;
  readonly outcome: string | null;
}

/** The inbox rows of one order, oldest first. */
export async function inboxOf(world: World, externalOrderNumber: string): Promise<InboxLine[]> {
  const { rows } = await world.engine.db.owner.query<InboxLine>(
    `select receipt, review_reason as reason, acked, outcome from engine.callback
      where external_order_number = $1 order by id`,
    [externalOrderNumber],
  );
  return rows;
}

/** Deposits beyond those that we created ourselves; only while none is being created. */
export async function strangeDeposits(world: World, { created }: Roster): Promise<number> {
  const { rows } = await world.engine.db.owner.query<{ n: number }>('select count(*)::int as n from engine.deposit');
  return rows[0]!.n - created;
}
