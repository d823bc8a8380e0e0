import type pg from 'pg';
import { readClocks, writeSkew } from '../database/queries/provider-clock.ts';
import { MAX_SKEW_MS } from '../domain/stamp-limits.ts';

export interface ProviderTime {
  /** The provider's time, UTC milliseconds with fractions: what to sign with and what to measure a stamp by. */
  readonly nowMs: number;
  /** The provider's clock minus the database's: a stamp less this is comparable with a stored time. */
  readonly skewMs: number;
}

/**
 * The provider's time as far as we know it: the database's clock plus the learned skew (docs/reference/protocol.md#clocks). The
 * clock of this process decides nothing: it may be days off, and it may jump.
 */
export interface ProviderClock {
  /** Rejects while the database is away and was not asked within 5 s. */
  read(): Promise<ProviderTime>;
  /**
   * Learns from a time the provider told between two moments, both as `performance.now()` has them. False: too far off
   * to believe.
   */
  learn(providerTimeMs: number, sentAt: number, receivedAt: number): Promise<boolean>;
}

const CACHE_MS = 5_000;
/** Smaller changes are network noise; writing them would make every placement update one hot row. */
const WORTH_WRITING_MS = 500;

export function createProviderClock(pool: pg.Pool): ProviderClock {
  let skewMs = 0;
  /** The database's clock minus our monotonic one, which no setting of a clock moves; null: never asked. */
  let offsetMs: number | null = null;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | null = null;
  const readAgain = async () => {
    const askedAt = performance.now();
    const clocks = await readClocks(pool);
    readAt = performance.now();
    skewMs = clocks.skewMs;
    // The database looked at its clock at some moment in between: what was known stays unless that is impossible.
    const [least, most] = [clocks.databaseMs - readAt, clocks.databaseMs - askedAt];
    offsetMs = Math.min(Math.max(offsetMs ?? (least + most) / 2, least), most);
  };
  /** One question at a time, whoever waits for the answer. */
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
