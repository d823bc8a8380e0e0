import { describe, expect, test } from 'vitest';
import type { Mismatch } from '../../../audit/histories/compare.ts';
import type { FindingKind } from '../../../audit/report/findings.ts';
import { type WorkflowStatus, mayFollow, PATIENCE } from '../../../audit/run/second-look.ts';
import type { PostingRecord } from '../../../audit/tables/rows.ts';

const idle: WorkflowStatus = { runId: '', events: 10, runs: true, activities: [], task: false };
const tasked: WorkflowStatus = { ...idle, task: true };
const busyWith = (...activities: string[]): WorkflowStatus => ({ ...idle, activities });

const finding = (kind: FindingKind) => ({ kind, where: 'deposit:n', detail: '' });
const posting = (kind: string): Mismatch => ({
  finding: finding('posting_unexplained'),
  posting: { kind } as PostingRecord,
});
const row = (kind: FindingKind): Mismatch => ({ finding: finding(kind), posting: null });
const follows = (mismatch: Mismatch, doing: WorkflowStatus, ageMs = 1_000) =>
  mayFollow(mismatch, doing, ageMs, PATIENCE.youngMs);

describe('a posting that no step explains', () => {
  test.each([
    ['credit', tasked, true],
    ['credit', busyWith('credit'), true],
    ['credit', busyWith('decide', 'park', 'recordState'), false],
    ['suspense', tasked, true],
    ['suspense', busyWith('park'), true],
    ['suspense', busyWith('decide'), true],
    ['suspense', busyWith('credit'), false],
    // Decisions are an activity of their own: no workflow task moves money in a wallet.
    ['release', tasked, false],
    ['reversal', tasked, false],
    ['release', busyWith('credit', 'park', 'recordReview'), false],
    ['release', busyWith('decide'), true],
    ['reversal', busyWith('decide'), true],
    ['credit', idle, false],
    ['release', idle, false],
  ] as const)('%s, while %j: excused %s', (kind, doing, excused) => {
    expect(follows(posting(kind), doing)).toBe(excused);
    expect(follows(posting(kind), doing, PATIENCE.youngMs + 1)).toBe(false);
  });
});

test('a row may be ahead of its history only while something is pending, and nothing else may', () => {
  for (const kind of ['deposit_row_differs', 'callback_outcome_differs', 'attempt_differs'] as const) {
    expect([tasked, busyWith('decide'), idle].map((doing) => follows(row(kind), doing))).toEqual([true, true, false]);
  }
  for (const kind of [
    'posting_missing',
    'posting_differs',
    'decided_by_one',
    'replay_differs',
    'link_differs',
  ] as const)
    expect(follows(row(kind), tasked)).toBe(false);
});
