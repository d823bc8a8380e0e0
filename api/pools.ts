import type pg from 'pg';
import type { Log } from '../telemetry/log.ts';
import { assertWritable, createPool, isServerFull } from '../database/pool.ts';

/**
 * One pool for each kind of work, so that none waits for another's connections: merchants and operators, the provider,
 * the relay. These and the connection that listens are all connections of an API process.
 */
type Name = 'private' | 'callbacks' | 'relay';

/**
 * Milliseconds. The relay processes many rows at once, and one that waits for a row lock holds a connection. After this
 * timeout the connection is free, and the relay retries the row.
 */
const RELAY_LOCK_TIMEOUT_MS = 250;

/** Milliseconds during which the process is not ready after the server's disk or memory was full. */
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
        // Both pools, because the work of either may use up all of its connections.
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
