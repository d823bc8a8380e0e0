/**
 * SQL for the id of the word that a posting credited a deposit; `t` is a row with `id` and `posted_at`. Ids of postings
 * are given out again after a restore and merchants remember what they have heard: the time is part of the name.
 */
export const CREDITED_ID = (t: string): string =>
  `'deposit.credited:' || ${t}.id || ':' || (extract(epoch from ${t}.posted_at) * 1000000)::bigint`;
