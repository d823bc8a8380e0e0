import type pg from 'pg';
import type { SealKey } from '../config/inbox-seal.ts';
import { type Log, raiseAlarm } from '../config/log.ts';

type Db = pg.Pool | pg.ClientBase;

/** SQLSTATE: a row for the inbox without the MAC of a registered key. */
export const NO_MAC = 'P0E61';

/** HMAC's block: the key, padded to 64 bytes, each xor this byte. */
const pad = (key: Buffer, byte: number): Buffer => {
  const block = Buffer.alloc(64, byte);
  for (const [at, one] of key.entries()) block[at] = one ^ byte;
  return block;
};

/**
 * Registers a key by which the database verifies who writes into the inbox, as the schema's owner; from the first one on it
 * refuses rows without a MAC. True: it was not registered before.
 */
export async function registerSealKey(owner: Db, { id, macKey }: SealKey): Promise<boolean> {
  const { rowCount } = await owner.query(
    'insert into engine.seal_mac (key, inner_pad, outer_pad) values ($1, $2, $3) on conflict do nothing',
    [id, pad(macKey, 0x36), pad(macKey, 0x5c)],
  );
  return rowCount === 1;
}

/**
 * Whether this key may be registered without anybody asking whether an API of before MACs is at work: no row could be from
 * one, or another key is registered, so that it writes none anyway.
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
 * At a start, by the name of the own key: an alarm where others are registered and this one is not, a warning where none is.
 * A database that is away is no reason.
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
