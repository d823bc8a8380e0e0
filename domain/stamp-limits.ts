/**
 * How far the stamp of a message may lie in the past or in the future, ms by the provider's clock
 * (docs/reference/callbacks.md#checks-in-order). The listening window of each deposit is frozen with it and ends the rest.
 */

/** A stamp this far ahead is no honest clock: the message is refused. */
export const MAX_AHEAD_MS = 15 * 60_000;
/** Stamps up to here ahead are clock noise; further ones are kept for people. */
export const AHEAD_NOISE_MS = 2 * 60_000;
/** How much older than our sending a stamp may be. */
export const BEFORE_ORDER_SLACK_MS = 5 * 60_000;
/**
 * Stamps are kept for a week at least (014-growth.sql), whether the deposit has ended or not; a day less, because clocks
 * differ. What is older may have been refused for a stamp that is gone.
 */
export const STAMPS_KEPT_MS = 6 * 24 * 3_600_000;
/** A skew beyond this is not learned: a provider that far off is broken, and believing it would open these checks. */
export const MAX_SKEW_MS = 10 * 60_000;
