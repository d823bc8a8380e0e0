import type { Db } from '../pool.ts';

/** The channel of notifications that events were published; without a payload. */
export const PUBLISHED_CHANNEL = 'event_published';

/** At most so many are published at once, as `engine.publish_events` has it. */
export const PUBLISHED_AT_MOST = 500;

/** Gives the next events their place among all (041-events.sql), and returns how many. 0 also if another process does. */
export async function publishEvents(db: Db, atMost = PUBLISHED_AT_MOST): Promise<number> {
  const { rows } = await db.query<{ published: number }>('select engine.publish_events($1) as published', [atMost]);
  return rows[0]!.published;
}

export interface EventFilter {
  readonly type?: string | undefined;
  readonly deposit?: string | undefined;
  readonly since?: Date | undefined;
  /** Only events of these; null: of every wallet, and of messages without a deposit. */
  readonly wallets: readonly string[] | null;
  /** After this position. */
  readonly after: string;
  readonly limit: number;
}

export interface EventPage {
  /** Bodies, as the view `engine.event_body` has them. */
  readonly items: readonly unknown[];
  /** The position of the last one; null: there is none. */
  readonly end: string | null;
  readonly more: boolean;
}

/** Returns the number of the times that this database was restored, and one more. */
export async function presentEpoch(db: Db): Promise<number> {
  const { rows } = await db.query<{ epoch: number }>('select 1 + count(*)::int as epoch from engine.restored');
  return rows[0]!.epoch;
}

/** Published events, by their position. */
export async function listEvents(db: Db, filter: EventFilter): Promise<EventPage> {
  const { type, deposit, since, wallets, after, limit } = filter;
  const values: unknown[] = [after, limit + 1];
  const given = (value: unknown): string => `$${values.push(value)}`;
  const where = ['e.position > $1'];
  if (type !== undefined) where.push(`e.type = ${given(type)}`);
  if (deposit !== undefined) where.push(`e.subject = ${given(deposit)}`);
  if (since !== undefined) {
    const at = given(since);
    where.push(`e.at >= ${at}`, `e.position > (select engine.position_since(${at}))`);
  }
  const page = (more = '') =>
    `select e.id, e.position from engine.event e where ${where.join(' and ')}${more} order by e.position limit $2`;
  // The next of each wallet before the next of all: a scan by position would pass the events of all other wallets.
  const found =
    wallets === null
      ? page()
      : `select n.id, n.position from (select distinct unnest(${given(wallets)}::text[]) as wallet) w
          cross join lateral (${page(' and e.wallet = w.wallet')}) n order by n.position limit $2`;
  const { rows } = await db.query<{ body: unknown; position: string }>(
    `select b.body, b.position::text from engine.event_body b
      where b.id = any(array(select f.id from (${found}) f)) order by b.position`,
    values,
  );
  const items = rows.slice(0, limit);
  return { items: items.map(({ body }) => body), end: items.at(-1)?.position ?? null, more: rows.length > limit };
}
