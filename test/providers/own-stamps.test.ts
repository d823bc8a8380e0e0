import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createOwnStamps, freeMillisecond, isOnGrid, nearestOnGrid, RESIDUE_MS } from '../../providers/own-stamps.ts';

const SECOND = 1_000;
const MINUTE = 60_000;
const grid = fc.integer({ min: 1, max: 60 }).map((seconds) => seconds * SECOND);
const now = fc.integer({ min: 1_600_000_000_000, max: 2_000_000_000_000 });
/** The fraction of a millisecond that the learned skew adds to our time. */
const fraction = fc.double({ min: 0, max: 0.999, noNaN: true });

describe('a stamp on the grid', () => {
  it('is the nearest moment of the one residue, never further off than half a grid', () => {
    fc.assert(
      fc.property(grid, now, fraction, (gridMs, at, part) => {
        const stamp = nearestOnGrid(at + part, gridMs);
        expect(Number.isInteger(stamp)).toBe(true);
        expect(stamp % SECOND).toBe(RESIDUE_MS);
        expect((stamp - RESIDUE_MS) % gridMs).toBe(0);
        expect(Math.abs(stamp - at - part)).toBeLessThanOrEqual(gridMs / 2);
        expect(isOnGrid(stamp, gridMs)).toBe(true);
      }),
    );
  });

  it.each([
    ['just before the middle', 1_700_000_001_236, 1_700_000_000_737],
    ['just after the middle', 1_700_000_001_238, 1_700_000_001_737],
    ['on the residue', 1_700_000_000_737, 1_700_000_000_737],
    ['at a whole second', 1_700_000_000_000, 1_699_999_999_737],
  ])('of one second, %s', (_, at, stamp) => expect(nearestOnGrid(at, SECOND)).toBe(stamp));

  it('is met by no provider that cuts its stamps to seconds, tenths or hundredths', () => {
    fc.assert(
      fc.property(grid, now, fc.constantFrom(1_000, 100, 10), (gridMs, at, cut) => {
        expect(isOnGrid(Math.floor(at / cut) * cut, gridMs)).toBe(false);
      }),
    );
  });
});

describe('a free stamp', () => {
  it('is the millisecond itself, or the next one where that lies on the grid: it never does', () => {
    const near = fc.tuple(now, fc.integer({ min: -2, max: 2 })).map(([at, by]) => nearestOnGrid(at, SECOND) + by);
    fc.assert(
      fc.property(grid, fc.oneof(now, near), fraction, (gridMs, at, part) => {
        const stamp = freeMillisecond(at + part, gridMs);
        expect(isOnGrid(stamp, gridMs)).toBe(false);
        const meant = Math.round(at + part);
        expect(stamp).toBe(isOnGrid(meant, gridMs) ? meant + 1 : meant);
      }),
    );
  });

  it('is every millisecond where there is no grid', () => {
    for (const at of [1_700_000_000_736.6, 1_700_000_000_737, 1_700_000_000_737.4]) {
      expect(createOwnStamps(0).choose(at, false)).toEqual({ timestampMs: 1_700_000_000_737, onGrid: false });
    }
  });
});

describe('what a process signs with', () => {
  const AT = 1_700_000_000_100;

  it('lies on the grid, but for an order whose stamp was refused', () => {
    const stamps = createOwnStamps(SECOND);
    expect(stamps.choose(AT, false)).toEqual({ timestampMs: 1_699_999_999_737, onGrid: true });
    expect(stamps.choose(AT, true)).toEqual({ timestampMs: AT, onGrid: false });
    expect(stamps.choose(AT, false).onGrid).toBe(true);
  });

  it('is free once the grid was left, which is told once', () => {
    const stamps = createOwnStamps(SECOND);
    expect([stamps.leaveGrid(), stamps.leaveGrid()]).toEqual([true, false]);
    expect(stamps.choose(AT, false)).toEqual({ timestampMs: AT, onGrid: false });
    // Another process has its own memory, and one without a grid has none to leave.
    expect(createOwnStamps(SECOND).choose(AT, false).onGrid).toBe(true);
    expect(createOwnStamps(0).leaveGrid()).toBe(false);
  });
});

describe('how often an honest stamp meets one of ours', () => {
  const FROM = 1_700_000_000_000;
  const SECONDS = 600;
  const HONEST = 200_000;

  /** A row of numbers from 0 to 1 that is the same in every run. */
  function numbers(seed: number): () => number {
    let state = seed;
    return () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
  }

  /**
   * The share of honest stamps that equal stamps of ours, when orders come at that rate; `cutMs` rounds the honest ones
   * down.
   */
  function share(gridMs: number, perSecond: number, cutMs = 1): number {
    const next = numbers(20_260_301);
    const stamps = createOwnStamps(gridMs);
    const anywhere = () => FROM + next() * SECONDS * SECOND;
    const ours = new Set(
      Array.from({ length: perSecond * SECONDS }, () => stamps.choose(anywhere(), false).timestampMs),
    );
    const met = Array.from({ length: HONEST }, () => Math.floor(anywhere() / cutMs) * cutMs);
    return met.filter((stamp) => ours.has(stamp)).length / HONEST;
  }

  const free = (perSecond: number) => 1 - Math.exp(-perSecond / 1_000);
  it.each([1, 20, 100])('on the grid once in a thousand at most, at %i orders a second', (perSecond) => {
    expect(share(SECOND, perSecond)).toBeLessThan(0.0012);
    expect(share(SECOND, perSecond)).toBeGreaterThan(0.0004);
    expect(share(SECOND, perSecond, SECOND)).toBe(0);
    // The free millisecond, for comparison: it grows with the rate.
    expect(share(0, perSecond) / free(perSecond)).toBeGreaterThan(0.7);
  });

  it('on a grid of a minute once in sixty thousand', () => {
    expect(share(MINUTE, 100)).toBeLessThan(2 / 60_000);
    expect(share(MINUTE, 100, SECOND)).toBe(0);
  });
});
