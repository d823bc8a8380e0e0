import type pg from 'pg';
import { EVENTS } from '../../audit/tables/checks/event-checks.ts';

/** Findings of the audit about events. */
export async function eventFindings(db: pg.Pool | pg.ClientBase): Promise<string[]> {
  const found: string[] = [];
  for (const { sql } of EVENTS) {
    const { rows } = await db.query<{ place: string; detail: string }>(sql);
    found.push(...rows.map(({ place, detail }) => `${place} ${detail}`));
  }
  return found;
}

/** The same, and wallets that their events do not add up to: of books in which nothing happened before there were events. */
export async function eventFaults(db: pg.Pool | pg.ClientBase): Promise<string[]> {
  const { rows } = await db.query<{ fault: string }>(
    `select w.wallet || ' has ' || w.has || ', and its events say ' || w.told as fault from (
       select substr(a.code, 8) as wallet, -b.amount as has, coalesce((
         select sum((e.data->>'amount')::numeric * case e.type when 'deposit.reversed' then -1 else 1 end)
           from engine.event e where e.wallet = substr(a.code, 8)), 0) as told
         from ledger.account a join ledger.balance b on b.account_id = a.id where a.code like 'wallet:%') w
      where w.told <> w.has`,
  );
  return [...(await eventFindings(db)), ...rows.map(({ fault }) => fault)];
}
