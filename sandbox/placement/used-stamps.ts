import type { Queryable } from '../database.ts';

/** Records that a key signed with this stamp. False: the stamp is already recorded. Safe for concurrent calls. */
export async function takeStamp(on: Queryable, accessKey: string, stamp: string): Promise<boolean> {
  const { rowCount } = await on.query(
    'INSERT INTO sandbox.used_stamp (access_key, stamp) VALUES ($1, $2) ON CONFLICT DO NOTHING',
    [accessKey, stamp],
  );
  return rowCount === 1;
}
