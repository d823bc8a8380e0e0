import { expect, test } from 'vitest';
import { RETRIES, RETRY_TABLE_MS, retryDue } from '../../../sandbox/wire/retry-schedule.ts';

const seconds = (text: string): number => {
  const [hours, minutes, rest] = text.split(':').map(Number);
  return hours! * 3600 + minutes! * 60 + rest!;
};
// Copied from the documents, "Retry interval".
const DOCUMENTED = `00:01:00 00:02:00 00:03:00 00:08:00 00:38:00 01:08:00 02:08:00 03:08:00 04:08:00 05:08:00 06:08:00
  07:08:00 08:08:00 09:08:00 10:08:00 11:08:00`;

test('the table is the documents’ table: sixteen retries after the first delivery', () => {
  expect(RETRY_TABLE_MS.map((ms) => ms / 1000)).toEqual(DOCUMENTED.split(/\s+/).map(seconds));
  expect(RETRIES).toBe(16);
});

test('read as gaps the table ends after 68 h 20 min, read as offsets after 11 h 08 min', () => {
  const waits = RETRY_TABLE_MS.map((_, index) => retryDue(index + 1, 'gaps', 1)!.waitMs);
  expect(waits.reduce((sum, ms) => sum + ms, 0)).toBe((68 * 60 + 20) * 60_000);
  expect(retryDue(16, 'offsets', 1)).toEqual({ since: 'first', waitMs: (11 * 60 + 8) * 60_000 });
});

test('the speed divides every wait, and there is no seventeenth retry', () => {
  expect(retryDue(1, 'gaps', 60)).toEqual({ since: 'previous', waitMs: 1000 });
  expect(retryDue(17, 'gaps', 1)).toBeNull();
});
