import type pg from 'pg';
import { type CallbackRow, findCallback, type NewCallback, type Stamp } from '../../../database/queries/callbacks.ts';
import type { CallbackData } from '../../../domain/order.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { sealed } from '../seals.ts';
import type { Seal } from '../../../config/keys/inbox-seal.ts';

/** Writes the inbox as its owner, for rows that no message becomes: the checks of `engine.receive` do not run. */

export interface InboxRow extends Omit<NewCallback, 'seal'> {
  readonly deposit: string | null;
  readonly acked: boolean;
  readonly seal: Seal | null;
}

/** Not bound to a deposit; with the stamp of its message, if it has one. */
export async function insertCallback(
  owner: pg.Pool | pg.ClientBase,
  row: InboxRow,
  stamp: Stamp | null = null,
): Promise<CallbackRow> {
  const { rows } = await owner.query<{ id: string }>(
    `with c as (
       insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, review_reason, acked, seal, seal_key, sealed_ms)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $12, $13, $14) returning *)
     , attempted as (
       insert into engine.callback_attempt (callback, n, key_id, timestamp_ms) select c.id, 1, $10, $11 from c where $10::text is not null)
     , stamped as (
       insert into engine.callback_stamp (key_id, timestamp_ms, external_order_number, content_hash)
       select $10, $11, c.external_order_number, c.content_hash from c where $10::text is not null and c.deposit is not null
       on conflict do nothing)
     select id from c`,
    [
      row.externalOrderNumber,
      row.deposit,
      row.data?.transactionCode ?? null,
      row.contentHash,
      row.data,
      row.raw,
      row.receipt,
      row.reviewReason,
      row.acked,
      stamp?.keyId ?? null,
      stamp?.timestampMs ?? null,
      row.seal?.signature ?? null,
      row.seal?.key ?? null,
      row.seal?.sealedMs ?? null,
    ],
  );
  return (await findCallback(owner, rows[0]!.id))!;
}

/** The callback for an order's payment, as the API writes it: by default the first of its deposit. */
export const insertReceived = (
  owner: pg.Pool | pg.ClientBase,
  data: CallbackData,
  change: Partial<Omit<InboxRow, 'seal'>> = {},
): Promise<CallbackRow> =>
  insertCallback(
    owner,
    sealed({
      externalOrderNumber: data.externalOrderNumber,
      deposit: data.externalOrderNumber,
      contentHash: contentHash(data),
      data,
      raw: Buffer.from('{}'),
      receipt: 'first',
      reviewReason: null,
      acked: true,
      ...change,
    }),
  );

/** The same, bound to its deposit. */
export async function insertBound(owner: pg.Pool | pg.ClientBase, data: CallbackData): Promise<CallbackRow> {
  const row = await insertReceived(owner, data);
  await bindCallback(owner, data.externalOrderNumber, row.id);
  return row;
}

export async function bindCallback(
  owner: pg.Pool | pg.ClientBase,
  externalOrderNumber: string,
  id: string,
): Promise<void> {
  await owner.query('update engine.deposit set bound_callback = $2 where external_order_number = $1', [
    externalOrderNumber,
    id,
  ]);
}

/** Stores the case of a callback as its outcome. */
export async function markReviewed(owner: pg.Pool | pg.ClientBase, id: string, workflowId: string): Promise<void> {
  await owner.query('update engine.callback set outcome = $2 where id = $1 and outcome is null', [
    id,
    `review:${workflowId}`,
  ]);
}
