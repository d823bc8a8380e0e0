import type { Queryable } from '../database.ts';

/** Notes that a key has signed with this stamp. False: it has done so before, however many ask at once. */
export async function takeStamp(on: Queryable, accessKey: string, stamp: string): Promise<boolean> {
  const { rowCount } = await on.query(
    'INSERT INTO sandbox.used_stamp (access_key, stamp) VALUES ($1, $2) ON CONFLICT DO NOTHING',
    [accessKey, stamp],
  );
  return rowCount === 1;
}
