import type pg from 'pg';
import { expect, test } from 'vitest';
import { pruneInBatches } from '../../database/queries/prune.ts';

/** A database in which a statement for more than `can` rows times out; it has `left` of them. */
function slowDisk(can: number, left: number) {
  const asked: number[] = [];
  const query = (_sql: string, [, atMost]: [number, number]) => {
    asked.push(atMost);
    if (atMost > can) return Promise.reject(Object.assign(new Error('statement timeout'), { code: '57014' }));
    const pruned = Math.min(atMost, left);
    left -= pruned;
    return Promise.resolve({ rows: [{ what: 'callback_stamp', pruned }] });
  };
  return { db: { query } as unknown as pg.Pool, asked, left: () => left };
}

test('a batch that takes longer than a statement may is tried with fewer rows, and everything goes in the end', async () => {
  const disk = slowDisk(600, 3_000);
  const batch = pruneInBatches(disk.db, 1);
  let more = true;
  for (let n = 0; more && n < 100; n += 1) ({ more } = await batch());
  expect(disk.left()).toBe(0);
  expect(disk.asked.slice(0, 2)).toEqual([2_000, 500]);
});

test('where not even a few rows go in time, and where it is no question of time, it is an error', async () => {
  await expect(pruneInBatches(slowDisk(10, 100).db, 1)()).rejects.toThrow('statement timeout');
  const away = { query: () => Promise.reject(new Error('away')) } as unknown as pg.Pool;
  await expect(pruneInBatches(away, 1)()).rejects.toThrow('away');
});
