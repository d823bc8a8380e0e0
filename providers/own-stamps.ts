/**
 * The milliseconds every own stamp ends in while stamps lie on the grid. No multiple of 10: a provider that cuts its
 * stamps to seconds, tenths or hundredths never meets it (docs/decisions/0010-own-stamps-on-one-residue.md).
 */
export const RESIDUE_MS = 737;

/** `gridMs`: a multiple of 1,000; 0 means that there is no grid, and then nothing lies on it. */
export const isOnGrid = (timestampMs: number, gridMs: number): boolean =>
  gridMs > 0 && (timestampMs - RESIDUE_MS) % gridMs === 0;

/** The moment of the grid that is nearest to `nowMs`, at most half a grid before or after it. `gridMs` is above 0. */
export const nearestOnGrid = (nowMs: number, gridMs: number): number =>
  Math.round((nowMs - RESIDUE_MS) / gridMs) * gridMs + RESIDUE_MS;

/** The millisecond of `nowMs`, or the next one where that lies on the grid by chance. */
export function freeMillisecond(nowMs: number, gridMs: number): number {
  const timestampMs = Math.round(nowMs);
  return isOnGrid(timestampMs, gridMs) ? timestampMs + 1 : timestampMs;
}

export interface OwnStamp {
  readonly timestampMs: number;
  readonly onGrid: boolean;
}

/** Chooses what placements are signed with. One for a process: it remembers when the provider refused the grid. */
export interface OwnStamps {
  /**
   * @param nowMs the provider's time, fractions allowed.
   * @param free the order's last stamp was refused: this one does not lie on the grid.
   */
  choose(nowMs: number, free: boolean): OwnStamp;
  /** From now on every stamp is free. True the first time only. */
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
