import type pg from 'pg';
import type { Log } from '../telemetry/log.ts';

/** A connection that hears what the database and other processes tell, opened again whenever it is lost. */
export interface NotificationListener {
  close(): Promise<void>;
}

const RECONNECT_MS = 1_000;

/** What is told while the connection is away is not heard: whoever listens has to look as well, now and then. */
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
    // One that connected and cannot listen, or was cut on its other side only, is not left behind.
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
