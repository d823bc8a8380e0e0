import type pg from 'pg';
import { type EventAnswer, encodeEventCursor, listEventsOperation } from '../../contract/events.ts';
import { listEvents, presentEpoch } from '../../database/queries/events.ts';
import { RequestRefused } from '../../intake/refusal.ts';
import { bind, type Bound } from '../http/operation-route.ts';

/** The list of everything that merchants are told (docs/reference/events.md). */
export const bindEvents = ({ pool }: { readonly pool: pg.Pool }): Bound =>
  bind(listEventsOperation, async ({ query: { cursor, ...filter }, caller }, respond) => {
    const epoch = await presentEpoch(pool);
    if (cursor !== undefined && cursor.epoch !== epoch) {
      throw new RequestRefused('epoch_changed', `this cursor is of epoch ${cursor.epoch}, and now is ${epoch}`);
    }
    const after = cursor?.position ?? '0';
    const { items, end, more } = await listEvents(pool, { ...filter, after, wallets: caller.wallets });
    return respond(200, {
      items: items as EventAnswer[],
      nextCursor: encodeEventCursor({ epoch, position: end ?? after }),
      more,
      epoch,
    });
  });
