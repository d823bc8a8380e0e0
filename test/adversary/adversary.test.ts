import { expect, test } from 'vitest';
import { required } from '../support/database.ts';
import { runAdversary } from './run.ts';
import { isSameEffect } from './verdict/trial.ts';

test('nothing that a login of the engine may do goes unseen: it is refused, changes nothing, is found by name, or listed', async () => {
  const report = await runAdversary({
    ground: { postgresUrl: required('TEST_POSTGRES_URL'), workflowBundle: required('TEST_WORKFLOW_BUNDLE') },
    seed: 20_261_130,
    each: 40,
    pairs: 15,
    control: 8,
    committed: 90,
    live: 0,
  });
  expect(report.unseen.map(({ attempt, why }) => `${attempt.name}: ${why}`)).toEqual([]);
  // With the checks off that found them: otherwise none would ever be unseen here.
  expect(report.control).toMatchObject({ found: 8, unseenThen: 8 });
  expect(report.committed.others).toEqual([]);
  // The book itself is left in the middle of its work: one payment waits for a worker.
  expect(report.anyway).toEqual([]);
  expect(report.guessedAt).toEqual(['engine.archive_line']);
  const all = Object.values(report.counts).flatMap((of) => Object.entries(of));
  const many = (verdict: string) => all.reduce((sum, [name, n]) => (name === verdict ? sum + n : sum), 0);
  for (const verdict of ['refused', 'changed nothing', 'found', 'legal'])
    expect(many(verdict), verdict).toBeGreaterThan(5);
});

test('an effect is the same a minute later, when only its times are, as far from when each was tried', () => {
  const change = (at: string, state = 'PLACEMENT_UNKNOWN') => ({
    table: 'engine.deposit',
    kind: 'update' as const,
    before: { state: 'PLACING', expires_at: null },
    after: { state, expires_at: at },
    columns: ['state', 'expires_at'],
  });
  const tried = (at: string, ...of: Parameters<typeof change>) => ({ atMs: Date.parse(at), changes: [change(...of)] });
  const first = tried('2026-11-29T10:00:00Z', '2026-11-29 10:15:00.1');
  expect(isSameEffect(first, tried('2026-11-29T10:01:30Z', '2026-11-29 10:16:30.4'))).toBe(true);
  expect(isSameEffect(first, tried('2026-11-29T10:01:30Z', '2026-11-29 10:15:00.1'))).toBe(true);
  expect(isSameEffect(first, tried('2026-11-29T10:01:30Z', '2026-11-29 10:18:30.4'))).toBe(false);
  expect(isSameEffect(first, tried('2026-11-29T10:01:30Z', '2026-11-29 10:16:30.4', 'UNPAID'))).toBe(false);
});
