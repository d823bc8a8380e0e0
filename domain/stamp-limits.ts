/**
 * The limits for how far a message's stamp may lie in the past or in the future, ms by the provider's clock
 * (docs/reference/callbacks.md#checks-in-order). The listening window, frozen in each deposit, is a further limit.
 */

/** A message with a stamp further ahead is refused: it is from no correct clock. */
export const MAX_AHEAD_MS = 15 * 60_000;
/** A stamp up to this far ahead is clock noise; a message further ahead becomes a case. */
export const AHEAD_NOISE_MS = 2 * 60_000;
/** A stamp may be this much older than the first sending of the order. */
export const BEFORE_ORDER_SLACK_MS = 5 * 60_000;
/**
 * Stamps are stored for at least a week (014-growth.sql), even if the deposit has ended; minus a day, because clocks
 * differ. The stamp that would refuse an older message may be deleted already.
 */
export const STAMPS_KEPT_MS = 6 * 24 * 3_600_000;
/** A larger skew is not learned: a provider that far off is broken, and a learned skew would weaken these checks. */
export const MAX_SKEW_MS = 10 * 60_000;
