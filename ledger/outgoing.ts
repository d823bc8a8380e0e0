/**
 * SQL for the id of the notification that a posting credited a deposit; `t` is a row with `id` and `posted_at`. The
 * time is part of the id, because ids of postings are assigned again after a restore while merchants remember the old
 * notifications.
 */
export const CREDITED_ID = (t: string): string =>
  `'deposit.credited:' || ${t}.id || ':' || (extract(epoch from ${t}.posted_at) * 1000000)::bigint`;
