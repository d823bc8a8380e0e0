import type pg from 'pg';
import { readClocks, writeSkew } from '../database/queries/provider-clock.ts';
import { MAX_SKEW_MS } from '../domain/stamp-limits.ts';

export interface ProviderTime {
  /** The provider's time, UTC milliseconds with fractions. Orders are signed with it, and stamps are measured by it. */
  readonly nowMs: number;
  /** The provider's clock minus the database's, ms. A stamp minus this value is comparable with a stored time. */
  readonly skewMs: number;
}

/**
 * Estimates the provider's time: the database's clock plus the learned skew (docs/reference/protocol.md#clocks). The
 * clock of this process decides nothing, because it may be days off and may jump.
 */
export interface ProviderClock {
  /** Rejects when the database is down and the last read is older than 5 s. A retry helps. */
  read(): Promise<ProviderTime>;
  /**
   * Learns the skew from a time that the provider reported between two moments, both from `performance.now()`.
   * Resolves to false when the time is too far off to be believed.
   */
  learn(providerTimeMs: number, sentAt: number, receivedAt: number): Promise<boolean>;
}

const CACHE_MS = 5_000;
/** Smaller changes are network noise; writing them would make every placement update one hot row. */
const WORTH_WRITING_MS = 500;

export function createProviderClock(pool: pg.Pool): ProviderClock {
  let skewMs = 0;
  /** The database's clock minus our monotonic clock, which no clock setting moves; ms. Null: not read yet. */
  let offsetMs: number | null = null;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | null = null;
  const readAgain = async () => {
    const askedAt = performance.now();
    const clocks = await readClocks(pool);
    readAt = performance.now();
    skewMs = clocks.skewMs;
    // The database read its clock between the two moments: the known offset stays unless that makes it impossible.
    const [least, most] = [clocks.databaseMs - readAt, clocks.databaseMs - askedAt];
    offsetMs = Math.min(Math.max(offsetMs ?? (least + most) / 2, least), most);
  };
  /** One query at a time; concurrent callers share its result. */
  const refresh = async () => {
    if (performance.now() - readAt > CACHE_MS) await (reading ??= readAgain().finally(() => (reading = null)));
  };
  return {
    async read() {
      await refresh();
      return { nowMs: performance.now() + offsetMs! + skewMs, skewMs };
    },
    async learn(providerTimeMs, sentAt, receivedAt) {
      await refresh();
      const seen = providerTimeMs - ((sentAt + receivedAt) / 2 + offsetMs!);
      if (Math.abs(seen) > MAX_SKEW_MS) return false;
      if (Math.abs(seen - skewMs) < WORTH_WRITING_MS) return true;
      await writeSkew(pool, seen);
      skewMs = seen;
      return true;
    },
  };
}
