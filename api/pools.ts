import type pg from 'pg';
import type { Log } from '../telemetry/log.ts';
import { assertWritable, createPool, isServerFull } from '../database/pool.ts';

/**
 * Who works for whom never waits for somebody else's connections: merchants and operators, the provider, the relay. With
 * the one that listens these are all connections of an API process.
 */
type Name = 'private' | 'callbacks' | 'relay';

/**
 * The relay serves many rows at a time, and each that waits for a locked row holds a connection: a few hundred of them are
 * soon over, and come again.
 */
const RELAY_LOCK_TIMEOUT_MS = 250;

/** For so long after the server's disk or memory was full nobody else is sent here. */
const FULL_MS = 10_000;

export interface ApiPools extends Readonly<Record<Name, pg.Pool>> {
  /** False while changes are refused: the server is away, read-only or recovering, or was full a moment ago. */
  isWritable(): Promise<boolean>;
  end(): Promise<void>;
}

/** Each pool opens at most `max` connections. */
export function openPools(url: string, max: number, log: Log): ApiPools {
  let fullAt = Number.NEGATIVE_INFINITY;
  const open = (name: Name): pg.Pool => {
    const pool = createPool({
      url,
      role: 'app_api',
      applicationName: `deposit-api-${name}`,
      max,
      ...(name === 'relay' ? { lockTimeoutMs: RELAY_LOCK_TIMEOUT_MS } : {}),
      onIdleError: (error) => log.warn({ error: error.message, pool: name }, 'database connection lost'),
    });
    pool.on('release', (error: unknown) => {
      if (isServerFull(error)) fullAt = performance.now();
    });
    return pool;
  };
  const pools = { private: open('private'), callbacks: open('callbacks'), relay: open('relay') };
  return {
    ...pools,
    async isWritable() {
      if (performance.now() - fullAt < FULL_MS) return false;
      try {
        // Both, because either may be taken up by what others wait for.
        await Promise.all([assertWritable(pools.private), assertWritable(pools.callbacks)]);
        return true;
      } catch {
        return false;
      }
    },
    async end() {
      await Promise.all(Object.values(pools).map((pool) => pool.end()));
    },
  };
}
