import type pg from 'pg';
import { inTransaction, type Queryable } from './database.ts';

/**
 * The kinds of events. A proof compares the engine with this log as an independent source, so kinds are a wire format:
 * new ones may be added, none may be renamed.
 */
export type EventKind =
  | 'sandbox.started'
  | 'sandbox.stopped'
  | 'settings.changed'
  | 'key.created'
  | 'key.disabled'
  | 'key.rotated'
  | 'advertisement.created'
  | 'advertisement.changed'
  | 'fault.added'
  | 'fault.removed'
  | 'fault.applied'
  | 'placement.received'
  | 'placement.answered'
  | 'placement.lost'
  | 'order.made'
  | 'order.paid'
  | 'order.paidTooLate'
  | 'order.cancelled'
  | 'order.expired'
  | 'order.released'
  | 'callback.sending'
  | 'callback.answered'
  | 'callback.failed';

/** Numbers, codes, hashes and states. Never a person's name, a secret, a signature, a link or a callback URL. */
export type EventDetail = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

export interface LoggedEvent {
  readonly id: number;
  readonly at: string;
  readonly kind: EventKind;
  readonly externalOrderNumber: string | null;
  readonly detail: EventDetail;
}

/** Appends one event; in a transaction, it commits together with the change that it describes. */
export async function record(
  on: Queryable,
  kind: EventKind,
  externalOrderNumber: string | null,
  detail: EventDetail = {},
): Promise<void> {
  await on.query('INSERT INTO sandbox.event (kind, external_order_number, detail) VALUES ($1, $2, $3)', [
    kind,
    externalOrderNumber,
    JSON.stringify(detail),
  ]);
}

/**
 * Returns the events after `after`, oldest first. The short table lock waits for running writers, so no event with a
 * smaller id than one already read can appear later. Reading on from the last id misses nothing.
 */
export async function readEvents(pool: pg.Pool, after: number, limit: number): Promise<LoggedEvent[]> {
  return inTransaction(pool, async (client) => {
    await client.query('LOCK TABLE sandbox.event IN SHARE MODE');
    const { rows } = await client.query<Omit<LoggedEvent, 'id' | 'at'> & { id: string; at: Date }>(
      `SELECT id, at, kind, external_order_number AS "externalOrderNumber", detail
       FROM sandbox.event WHERE id > $1 ORDER BY id LIMIT $2`,
      [after, limit],
    );
    return rows.map((row) => ({ ...row, id: Number(row.id), at: row.at.toISOString() }));
  });
}
