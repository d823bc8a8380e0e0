const MINUTE_MS = 60_000;
const EIGHT_MINUTES_PAST = Array.from({ length: 11 }, (_, hour) => (hour + 1) * 60 + 8);

/** The sixteen entries of the documents' table "Retry interval", 00:01:00 to 11:08:00, in milliseconds. */
export const RETRY_TABLE_MS: readonly number[] = [1, 2, 3, 8, 38, ...EIGHT_MINUTES_PAST].map((m) => m * MINUTE_MS);

/** One first delivery and as many retries: 17 attempts in all. */
export const RETRIES = RETRY_TABLE_MS.length;

/**
 * The documents do not define the table's meaning. `gaps`: each entry is the time since the previous attempt (in sum
 * 68 h 20 min). `offsets`: each entry is the time since the first attempt (the last at 11 h 08 min).
 */
export type RetryReading = 'gaps' | 'offsets';

/**
 * Returns when retry `retry` (1 to 16) is due, in milliseconds after the attempt named by `since`. The speed divides
 * the wait. Null after the last entry: the documents call that "Callback Failed".
 */
export function retryDue(
  retry: number,
  reading: RetryReading,
  speed: number,
): { readonly since: 'previous' | 'first'; readonly waitMs: number } | null {
  const entryMs = RETRY_TABLE_MS[retry - 1];
  if (entryMs === undefined) return null;
  return { since: reading === 'gaps' ? 'previous' : 'first', waitMs: entryMs / speed };
}
