import type pg from 'pg';
import type { Log } from '../telemetry/log.ts';

/**
 * A connection that receives the notifications of the database and of other processes; reopened whenever it is lost.
 */
export interface NotificationListener {
  close(): Promise<void>;
}

const RECONNECT_MS = 1_000;

/** Notifications are lost while the connection is away, so the caller also has to poll now and then. */
export function startNotificationListener(
  connect: () => Promise<pg.Client>,
  heard: Readonly<Record<string, (payload: string) => void>>,
  log: Log,
): NotificationListener {
  let client: pg.Client | null = null;
  let closed = false;
  let again: NodeJS.Timeout | undefined;

  async function open(): Promise<void> {
    let next: pg.Client | null = null;
    try {
      next = await connect();
      next.on('error', () => lost(next));
      next.on('end', () => lost(next));
      next.on('notification', ({ channel, payload }) => heard[channel]?.(payload ?? ''));
      for (const channel of Object.keys(heard)) await next.query(`listen ${channel}`);
      if (closed) await next.end();
      else client = next;
    } catch {
      lost(next);
    }
  }

  function lost(which: pg.Client | null): void {
    // Also end a connection that cannot listen, or that was cut on its other side only.
    void which?.end().catch(() => undefined);
    if (which !== null && client === which) {
      client = null;
      if (!closed) log.warn('the listening connection was lost; asking instead until it is back');
    }
    if (closed || again !== undefined) return;
    again = setTimeout(() => {
      again = undefined;
      void open();
    }, RECONNECT_MS);
  }

  void open();
  return {
    async close() {
      closed = true;
      clearTimeout(again);
      await client?.end();
    },
  };
}
