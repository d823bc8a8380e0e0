import { expect, test } from 'vitest';
import type { Command } from '../../archive/recorded-commands.ts';
import { tellDifference } from '../../audit/histories/difference.ts';
import { firstDifference } from '../support/gate/compare.ts';

const credit = (input: unknown): Command => ({
  kind: 'activity',
  name: 'credit',
  local: true,
  input: input === null ? null : [input],
  summary: 'credit AT1',
});
const timer = (durationMs: number): Command => ({ kind: 'timer', durationMs, summary: 'payment window' });
const told = (recorded: Command, ...replayed: Command[]) => {
  const difference = firstDifference([{ eventId: 7, command: recorded }], replayed);
  return difference === null ? null : tellDifference(difference);
};

test('what is the same is no difference, and neither are the texts people see', () => {
  expect(told(timer(1_000), timer(1_000))).toBeNull();
  expect(told(credit({ amount: '1' }), { ...credit({ amount: '1' }), summary: 'otherwise' } as Command)).toBeNull();
  expect(told(timer(1_000), { kind: 'timer', durationMs: 1_000, summary: 'time to pay' })).toBeNull();
});

test('a field more is allowed; a field less and another value are told', () => {
  const recorded = credit({ amount: '1', late: false });
  expect(told(recorded, credit({ amount: '1', late: false, note: 'new' }))).toBeNull();
  expect(told(recorded, credit({ amount: '1' }))).toBe(
    'at event 7 the recording credited the deposit (local activity credit) with late false; this code would do so with late nothing',
  );
  expect(told(recorded, credit({ amount: '2', late: false }))).toMatch(/with amount "1"; .* with amount "2"$/);
  expect(told(recorded, credit(null))).toMatch(/with the value \[.*\]; .* with the value null$/);
});

test('arguments that were not recorded are not compared', () => {
  expect(told(credit(null), credit({ amount: '1' }))).toBeNull();
});

test('a millisecond is another duration', () => {
  expect(told(timer(1_800_000), timer(1_800_001))).toBe(
    'at event 7 the recording waited for the payment window (timer, 30 min); this code would wait for the payment window (timer, 1800001 ms) instead',
  );
});

test('fewer decisions and more of them are told', () => {
  expect(told(timer(1_000))).toMatch(/waited for the payment window \(timer, 1 s\); this code would not$/);
  expect(told(timer(1_000), timer(1_000), credit({}))).toBe(
    'at event 7 the recording did no more than this and waited; this code would credit the deposit (local activity credit) instead',
  );
});
