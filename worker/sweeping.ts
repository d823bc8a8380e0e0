import { setTimeout as sleep } from 'node:timers/promises';
import { type Alarm, type Log, raiseAlarm } from '../config/log.ts';

/** What is cleaned up in bounded batches, now and every so often. */
export interface Sweep {
  /** One statement; `more`: the batch was full. */
  readonly batch: () => Promise<{ readonly done: Readonly<Record<string, number>>; readonly more: boolean }>;
  readonly everyMs: number;
  /** Logged with the sums of a sweep that did anything. */
  readonly message: string;
  /** Raised after so many sweeps that failed one after the other, once until one works again. */
  readonly alarm: Alarm;
  readonly alarmAfter: number;
}

export interface Sweeping {
  /** Resolves when no statement is under way. */
  close(): Promise<void>;
}

export function startSweeping(log: Log, { batch, everyMs, message, alarm, alarmAfter }: Sweep): Sweeping {
  const stop = new AbortController();

  async function sweep(): Promise<Record<string, number>> {
    const sums: Record<string, number> = {};
    for (let more = true; more && !stop.signal.aborted; ) {
      const result = await batch();
      for (const [what, n] of Object.entries(result.done)) sums[what] = (sums[what] ?? 0) + n;
      ({ more } = result);
    }
    return sums;
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!stop.signal.aborted) {
      try {
        const sums = await sweep();
        failures = 0;
        if (Object.values(sums).some((n) => n > 0)) log.info(sums, message);
      } catch (error) {
        failures += 1;
        if (failures === alarmAfter) raiseAlarm(log, alarm, { error: (error as Error).name });
      }
      await sleep(everyMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }

  const running = run();
  return {
    async close() {
      stop.abort();
      await running;
    },
  };
}
