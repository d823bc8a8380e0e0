/** The amount of work. Rounds are at least five, except in a tiny run: a median of fewer is meaningless. */
export interface Scale {
  readonly rounds: number;
  /** Deposits of one contender in one round: a minimum, and a multiple of the deposits in flight. */
  readonly flow: { readonly inFlight: readonly number[]; readonly atLeast: number; readonly times: number };
  /** Callbacks of a round, and their rate per second. */
  readonly ack: { readonly count: number; readonly perSecond: number };
  readonly burst: {
    readonly count: number;
    readonly inFlight: number;
    /** Also with Temporal stopped. */
    readonly stopped: boolean;
  };
  readonly creates: number;
  /** The numbers of callers, and the postings of a round: a minimum, and a multiple of the callers. */
  readonly batcher: { readonly callers: readonly number[]; readonly atLeast: number; readonly times: number };
  /** Deposits whose statements and CPU are measured. */
  readonly cost: { readonly count: number; readonly inFlight: number; readonly idleMs: number };
  readonly audit: number;
  readonly open: readonly number[];
  readonly rivals: { readonly inFlight: number; readonly count: number };
  readonly growth: readonly number[];
  readonly twins: { readonly inFlight: number; readonly count: number };
}

const FULL: Scale = {
  rounds: 5,
  flow: { inFlight: [8, 16, 32, 64], atLeast: 100, times: 3 },
  ack: { count: 200, perSecond: 40 },
  burst: { count: 1_000, inFlight: 64, stopped: true },
  creates: 60,
  batcher: { callers: [32, 256], atLeast: 2_000, times: 8 },
  cost: { count: 200, inFlight: 8, idleMs: 10_000 },
  audit: 10_000,
  open: [1_000, 20_000],
  rivals: { inFlight: 16, count: 150 },
  growth: [10_000, 100_000, 1_000_000],
  twins: { inFlight: 16, count: 200 },
};

const QUICK: Scale = {
  ...FULL,
  flow: { inFlight: [8, 32], atLeast: 32, times: 1 },
  ack: { count: 40, perSecond: 40 },
  burst: { count: 64, inFlight: 64, stopped: false },
  creates: 15,
  batcher: { callers: [32, 256], atLeast: 400, times: 1 },
  cost: { count: 24, inFlight: 8, idleMs: 3_000 },
  open: [500],
  rivals: { inFlight: 16, count: 40 },
  twins: { inFlight: 16, count: 40 },
};

/** Checks only that every part works; its figures are meaningless. */
const TINY: Scale = {
  ...QUICK,
  rounds: 1,
  flow: { inFlight: [8], atLeast: 8, times: 1 },
  ack: { count: 10, perSecond: 40 },
  burst: { count: 20, inFlight: 8, stopped: true },
  creates: 3,
  batcher: { callers: [32], atLeast: 64, times: 2 },
  cost: { count: 10, inFlight: 4, idleMs: 1_000 },
  audit: 200,
  open: [50],
  rivals: { inFlight: 8, count: 8 },
  growth: [10_000],
  twins: { inFlight: 8, count: 16 },
};

export const SCALES = { full: FULL, quick: QUICK, tiny: TINY } as const;

/** Returns the number of items of one contender in one round. */
export const countFor = (
  { atLeast, times }: { readonly atLeast: number; readonly times: number },
  lanes: number,
): number => Math.max(atLeast, times * lanes);
