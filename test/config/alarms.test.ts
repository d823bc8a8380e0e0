import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { raiseAlarm, tellCounted } from '../../telemetry/alarms.ts';
import { memoryLog } from '../api/evidence.ts';

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
});

const MINUTE = 60_000;
function alarms() {
  const { log, lines } = memoryLog();
  const said = () => lines.splice(0).map((line) => JSON.parse(line) as Record<string, unknown>);
  return { log, said };
}

describe('alarms', () => {
  it('are told at once the first time, then once a minute with their number and the last details, then again at once', () => {
    const { log, said } = alarms();
    for (let n = 0; n < 1_000; n += 1) raiseAlarm(log, 'callback_good_signature_wrong_token', { n });
    expect(said()).toMatchObject([{ level: 50, alarm: 'callback_good_signature_wrong_token', n: 0 }]);
    vi.advanceTimersByTime(MINUTE);
    expect(said()).toMatchObject([{ level: 50, alarm: 'callback_good_signature_wrong_token', n: 999, count: 999 }]);
    raiseAlarm(log, 'callback_good_signature_wrong_token', { n: 1_000 });
    expect(said()).toEqual([]);
    vi.advanceTimersByTime(MINUTE);
    expect(said()).toMatchObject([{ n: 1_000, count: 1 }]);
    vi.advanceTimersByTime(MINUTE);
    expect(said()).toEqual([]);
    raiseAlarm(log, 'callback_good_signature_wrong_token', { n: 1_001 });
    expect(said()).toMatchObject([{ n: 1_001 }]);
  });

  it('of other kinds, other processes and other deposits are told at once', () => {
    const [one, two] = [alarms(), alarms()];
    raiseAlarm(one.log, 'callback_review', { deposit: 'o-1' });
    raiseAlarm(one.log, 'callback_review', { deposit: 'o-2' });
    raiseAlarm(one.log, 'callback_flood', { deposit: 'o-1' });
    raiseAlarm(two.log, 'callback_review', { deposit: 'o-1' });
    expect(one.said().map(({ alarm, deposit }) => [alarm, deposit])).toEqual([
      ['callback_review', 'o-1'],
      ['callback_review', 'o-2'],
      ['callback_flood', 'o-1'],
    ]);
    expect(two.said()).toHaveLength(1);
  });

  it('about many deposits have twenty lines a minute; the others are named with their numbers, up to 200 of them', () => {
    const { log, said } = alarms();
    for (let n = 0; n < 250; n += 1) raiseAlarm(log, 'ledger_unavailable', { deposit: `o-${n}` });
    for (let n = 0; n < 30; n += 1) raiseAlarm(log, 'ledger_unavailable', { deposit: `o-${n}` });
    expect(said()).toHaveLength(20);
    vi.advanceTimersByTime(MINUTE);
    const [summary, ...more] = said();
    expect(more).toEqual([]);
    const about = summary!['about'] as Record<string, number>;
    expect(Object.keys(about)).toHaveLength(200);
    expect(about).toMatchObject({ 'o-20': 2, 'o-29': 2, 'o-30': 1, 'o-219': 1 });
    expect(summary).toMatchObject({ count: 260, unnamed: 50 });
  });

  it('that prove more, or speak of another order, are not hidden by a flood of others', () => {
    const { log, said } = alarms();
    const seen = (proof: string, deposit?: string) =>
      raiseAlarm(log, 'callback_not_readable', { proof, ...(deposit === undefined ? {} : { deposit }) });
    const flood = (times: number, raise: () => void) => Array.from({ length: times }, raise);
    flood(100, () => seen('key id'));
    seen('signature');
    flood(100, () => seen('address', 'o-1'));
    seen('address and signature', 'o-1');
    flood(100, () => seen('key id'));
    expect(said().map(({ proof }) => proof)).toEqual(['key id', 'signature', 'address', 'address and signature']);
    vi.advanceTimersByTime(MINUTE);
    flood(100, () => seen('key id'));
    seen('signature');
    expect(said()).toMatchObject([
      { about: { 'key id': 199, 'o-1, address': 99 }, count: 298 },
      { proof: 'signature' },
    ]);
    for (const claimed of ['old', 'paid', 'old']) raiseAlarm(log, 'callback_good_signature_wrong_token', { claimed });
    expect(said().map(({ claimed }) => claimed)).toEqual(['old', 'paid']);
  });

  it('that were counted are told when the process ends, and not twice', () => {
    const { log, said } = alarms();
    for (let n = 0; n < 3; n += 1) raiseAlarm(log, 'workflow_gone', { deposit: '__proto__' });
    said();
    process.emit('exit', 0);
    const [last] = said();
    expect(last).toMatchObject({ alarm: 'workflow_gone', count: 2 });
    expect(Object.entries(last!['about'] as object)).toEqual([['__proto__', 2]]);
    tellCounted(log);
    vi.advanceTimersByTime(2 * MINUTE);
    expect(said()).toEqual([]);
  });
});
