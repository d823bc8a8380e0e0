import { crashPoint } from '../telemetry/crash-points.ts';
import type { Log } from '../telemetry/log.ts';

/** Tells of inbox rows in the background; a failure, and what is too much at once, is left to the relay. */
export interface BackgroundSignals {
  /** Repeats of one row are one: what is lost of it the relay raises again, ever more seldom. */
  begin(inboxId: string, work: () => Promise<void>): void;
  /** Resolves when nothing is under way. */
  drain(): Promise<void>;
}

/** More at once would only queue in memory while Temporal is away: the relay takes the rest from the table. */
const MAX_UNDER_WAY = 64;

export function createBackgroundSignals(log: Log): BackgroundSignals {
  const underWay = new Map<string, Promise<void>>();
  return {
    begin(inboxId, work) {
      if (underWay.size >= MAX_UNDER_WAY || underWay.has(inboxId)) return;
      const task = work()
        .then(() => crashPoint('cb.afterSignal'))
        .catch((error: Error) => log.warn({ inboxId, error: error.name }, 'left to the relay'))
        .finally(() => underWay.delete(inboxId));
      underWay.set(inboxId, task);
    },
    async drain() {
      await Promise.all(underWay.values());
    },
  };
}
