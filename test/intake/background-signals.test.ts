import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createBackgroundSignals } from '../../intake/signal-workflow.ts';
import { memoryLog } from '../api/evidence.ts';

/** Which signals begin, and when: with a clock of the test's own. */

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Signals that are told of in `begun`, and end when the test says so. */
function started(mustWait?: () => boolean) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const signals = createBackgroundSignals(memoryLog().log, mustWait);
  return {
    begun,
    drain: () => signals.drain(),
    begin: (id: string) =>
      signals.begin(id, () => {
        begun.push(id);
        return new Promise<void>((resolve) => void ends.set(id, resolve));
      }),
    end: (id: string) => ends.get(id)!(),
  };
}

const names = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `${from + i}`);

describe('a signal', () => {
  it('begins after the code that asks for it, and once for each row', async () => {
    const signals = started();
    for (const id of ['1', '1', '2']) signals.begin(id);
    expect(signals.begun).toEqual([]);
    await vi.advanceTimersByTimeAsync(0);
    signals.begin('2');
    await vi.advanceTimersByTimeAsync(0);
    expect(signals.begun).toEqual(['1', '2']);
  });

  it('gives way while callbacks wait, and begins soon after the last of them', async () => {
    let waits = true;
    const signals = started(() => waits);
    signals.begin('1');
    await vi.advanceTimersByTimeAsync(900);
    expect(signals.begun).toEqual([]);
    waits = false;
    await vi.advanceTimersByTimeAsync(20);
    expect(signals.begun).toEqual(['1']);
  });

  it('gives way for a second at most', async () => {
    const signals = started(() => true);
    signals.begin('1');
    await vi.advanceTimersByTimeAsync(500);
    signals.begin('2');
    await vi.advanceTimersByTimeAsync(520);
    expect(signals.begun).toEqual(['1']);
    await vi.advanceTimersByTimeAsync(500);
    expect(signals.begun).toEqual(['1', '2']);
  });

  it('waits while 64 are under way, and begins when one ends', async () => {
    const signals = started();
    for (const id of names(66)) signals.begin(id);
    await vi.advanceTimersByTimeAsync(0);
    expect(signals.begun).toEqual(names(64));
    signals.end('7');
    await vi.advanceTimersByTimeAsync(0);
    expect(signals.begun).toEqual(names(65));
  });

  it('that waited for five seconds is left to the relay, and so is one behind 1,000', async () => {
    const signals = started();
    for (const id of names(64)) signals.begin(id);
    await vi.advanceTimersByTimeAsync(0);
    for (const id of names(1_001, 64)) signals.begin(id);
    await vi.advanceTimersByTimeAsync(4_000);
    signals.end('0');
    await vi.advanceTimersByTimeAsync(1_000);
    signals.end('1');
    await vi.advanceTimersByTimeAsync(0);
    expect(signals.begun).toEqual(names(65));
    for (const id of names(63, 2)) signals.end(id);
    await signals.drain();
    expect(signals.begun).toEqual(names(65));
  });

  it('that waits begins with a drain, which waits for it', async () => {
    const signals = started(() => true);
    signals.begin('1');
    let drained = false;
    const drain = signals.drain().then(() => (drained = true));
    await vi.advanceTimersByTimeAsync(0);
    expect([signals.begun, drained]).toEqual([['1'], false]);
    signals.end('1');
    await drain;
  });
});
