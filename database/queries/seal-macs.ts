import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { SealKey } from '../../config/keys/inbox-seal.ts';
import { raiseAlarm } from '../../telemetry/alarms.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Db } from '../pool.ts';

/** SQLSTATE: a row for the inbox without the MAC of a registered key. */
export const NO_MAC = 'P0E61';

/** HMAC's block: the key, padded to 64 bytes, each xor this byte. */
const pad = (key: Buffer, byte: number): Buffer => {
  const block = Buffer.alloc(64, byte);
  for (const [at, one] of key.entries()) block[at] = one ^ byte;
  return block;
};

/**
 * Registers, as the schema's owner, a key by which the database verifies who writes into the inbox. `demand`: from now
 * on the database refuses rows without a MAC, and credits no row that no registered key vouches for. False: it only
 * notes such rows, unless a MAC was demanded before. Returns true when the key was not registered before.
 */
export async function registerSealKey(owner: Db, { id, macKey }: SealKey, demand = true): Promise<boolean> {
  const { rowCount } = await owner.query(
    'insert into engine.seal_mac (key, inner_pad, outer_pad) values ($1, $2, $3) on conflict do nothing',
    [id, pad(macKey, 0x36), pad(macKey, 0x5c)],
  );
  if (demand) await demandMacs(owner);
  return rowCount === 1;
}

/** Transactions that were open before have not ended. */
export class DemandHeldUp extends Error {}

const DEMAND_TRIES = 20;
/** Shorter than the engine itself waits for a lock, because everybody waits behind this one. */
const DEMAND_LOCK_MS = 1_000;
const DEMAND_PAUSE_MS = 250;

/**
 * Makes the demand when all transactions have ended that have written or credited without it: their work is seen, and
 * none of it comes later. Throws {@link DemandHeldUp}: the demand was not made, and a retry may help.
 */
export async function demandMacs(owner: Db): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await owner.query(`do $$ begin
        if exists (select from engine.seal_demand) then return; end if;
        perform set_config('lock_timeout', '${DEMAND_LOCK_MS}ms', true);
        lock table engine.seal_demand in access exclusive mode;
        insert into engine.seal_demand (one) values (true) on conflict do nothing;
      end $$`);
      return;
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code !== '55P03' && code !== '40P01') throw error;
      if (tries === DEMAND_TRIES) throw new DemandHeldUp(await whoHoldsUp(owner));
    }
    await sleep(DEMAND_PAUSE_MS);
  }
}

async function whoHoldsUp(owner: Db): Promise<string> {
  const { rows } = await owner.query<{ who: string }>(
    `select format('pid %s, %s, in a transaction since %s', a.pid, a.usename, a.xact_start) as who
       from pg_locks l join pg_stat_activity a using (pid)
      where l.relation = 'engine.seal_demand'::regclass and l.granted and l.pid <> pg_backend_pid()`,
  );
  return rows.map(({ who }) => who).join('; ');
}

/** Counts the messages without an outcome that no registered key vouches for, although that is demanded. */
export async function countUnvouched(owner: Db): Promise<number> {
  const { rows } = await owner.query<{ n: number }>(
    `select count(*)::int as n from engine.callback c where c.outcome is null and exists (select from engine.seal_demand)
        and not exists (select from engine.seal_mac m where m.key = c.vouched_by)`,
  );
  return rows[0]!.n;
}

/** Whether a credit is held up because no registered key vouches for its inbox row. */
export async function waitsForVoucher(db: Db, inboxId: string): Promise<boolean> {
  const { rows } = await db.query<{ waits: boolean }>('select engine.waits_for_voucher($1) as waits', [inboxId]);
  return rows[0]!.waits;
}

/** Whether the API's login can still write into the inbox past every check, by grants that a contract file removes. */
export async function canWriteInboxItself(db: Db): Promise<boolean> {
  const { rows } = await db.query<{ can: boolean }>(
    `select has_table_privilege('app_api', 'engine.callback', 'insert') or has_any_column_privilege('app_api', 'engine.callback', 'insert') as can`,
  );
  return rows[0]!.can;
}

/**
 * Whether a key may be registered without asking an operator if an API from before MACs is at work. True: no row can be
 * from one; or another key is registered, so that it writes none anyway.
 */
export async function mayRegisterSealKey(owner: Db): Promise<boolean> {
  const { rows } = await owner.query<{ may: boolean }>(
    'select exists (select from engine.seal_mac) or not exists (select from engine.callback) as may',
  );
  return rows[0]!.may;
}

/** The names of the registered keys, oldest first. */
export async function registeredSealKeys(db: Db): Promise<string[]> {
  const { rows } = await db.query<{ key: string }>('select key from engine.seal_mac order by at, key');
  return rows.map(({ key }) => key);
}

/**
 * Called at a start, with the name of the own key. Raises an alarm when others are registered and this one is not, and
 * warns when none is. A database that is away is no reason for either.
 */
export async function warnOfSealKey(pool: pg.Pool, log: Log, key: string): Promise<void> {
  const registered = await registeredSealKeys(pool).catch(() => [key]);
  if (registered.includes(key)) return;
  if (registered.length > 0) raiseAlarm(log, 'seal_key_not_registered', { key });
  else
    log.warn(
      { key },
      'no key of the seals is registered: the database takes rows for the inbox from whoever has the login',
    );
}
