import type pg from 'pg';
import { MAX_SKEW_MS, readSkew, writeSkew } from '../database/provider-clock.ts';

/** The provider's time as far as we know it: our clock plus the learned skew (provider.md, TIMESTAMP_ERROR). */
export interface ProviderClock {
  /** UTC milliseconds to sign with. */
  now(): Promise<number>;
  /** Learns from a time the provider told between two moments of ours. False: too far off to believe. */
  learn(providerTimeMs: number, sentMs: number, receivedMs: number): Promise<boolean>;
}

const CACHE_MS = 5_000;
/** Smaller changes are network noise; writing them would make every placement update one hot row. */
const WORTH_WRITING_MS = 500;

export function createProviderClock(pool: pg.Pool): ProviderClock {
  let skewMs = 0;
  let readAt = Number.NEGATIVE_INFINITY;
  const skew = async () => {
    if (performance.now() - readAt > CACHE_MS) {
      skewMs = await readSkew(pool);
      readAt = performance.now();
    }
    return skewMs;
  };
  return {
    async now() {
      // Asked first: our own clock goes on while the database answers.
      const aheadMs = await skew();
      return Date.now() + aheadMs;
    },
    async learn(providerTimeMs, sentMs, receivedMs) {
      const seen = providerTimeMs - (sentMs + receivedMs) / 2;
      if (Math.abs(seen) > MAX_SKEW_MS) return false;
      if (Math.abs(seen - (await skew())) < WORTH_WRITING_MS) return true;
      await writeSkew(pool, seen);
      skewMs = seen;
      return true;
    },
  };
}
