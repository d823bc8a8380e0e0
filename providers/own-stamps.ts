/**
 * The milliseconds that every own stamp on the grid ends in. They are no multiple of 10, so a provider that truncates
 * its stamps to seconds, tenths or hundredths never sends them (docs/decisions/0010-own-stamps-on-one-residue.md).
 */
export const RESIDUE_MS = 737;

/** `gridMs`: a multiple of 1,000; 0 means that there is no grid, and then nothing lies on it. */
export const isOnGrid = (timestampMs: number, gridMs: number): boolean =>
  gridMs > 0 && (timestampMs - RESIDUE_MS) % gridMs === 0;

/** Returns the moment of the grid nearest to `nowMs`, at most half a grid before or after it. `gridMs` is above 0. */
export const nearestOnGrid = (nowMs: number, gridMs: number): number =>
  Math.round((nowMs - RESIDUE_MS) / gridMs) * gridMs + RESIDUE_MS;

/** Returns `nowMs` rounded to a millisecond, or the next one if that lies on the grid by chance. */
export function freeMillisecond(nowMs: number, gridMs: number): number {
  const timestampMs = Math.round(nowMs);
  return isOnGrid(timestampMs, gridMs) ? timestampMs + 1 : timestampMs;
}

export interface OwnStamp {
  readonly timestampMs: number;
  readonly onGrid: boolean;
}

/** Chooses the stamps of placements. A process has one instance: it remembers that the provider refused the grid. */
export interface OwnStamps {
  /**
   * @param nowMs the provider's time, fractions allowed.
   * @param free true when a stamp of the order was refused: the new one does not lie on the grid.
   */
  choose(nowMs: number, free: boolean): OwnStamp;
  /** Leaves the grid for good: every later stamp is free. Returns true the first time only. */
  leaveGrid(): boolean;
}

export function createOwnStamps(gridMs: number): OwnStamps {
  let left = gridMs === 0;
  return {
    choose(nowMs, free) {
      const onGrid = !left && !free;
      return { timestampMs: onGrid ? nearestOnGrid(nowMs, gridMs) : freeMillisecond(nowMs, gridMs), onGrid };
    },
    leaveGrid() {
      const first = !left;
      left = true;
      return first;
    },
  };
}
