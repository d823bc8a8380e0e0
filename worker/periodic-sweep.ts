import { type Alarm, type Log, raiseAlarm } from '../telemetry/log.ts';
import { type Loop, startLoop } from '../telemetry/loop.ts';

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

/** Closing it resolves when no statement is under way. */
export function startSweeping(log: Log, { batch, everyMs, message, alarm, alarmAfter }: Sweep): Loop {
  return startLoop({
    async work(stop) {
      const sums: Record<string, number> = {};
      for (let more = true; more && !stop.aborted; ) {
        const result = await batch();
        for (const [what, n] of Object.entries(result.done)) sums[what] = (sums[what] ?? 0) + n;
        ({ more } = result);
      }
      if (Object.values(sums).some((n) => n > 0)) log.info(sums, message);
      return everyMs;
    },
    failed(error, failures) {
      if (failures === alarmAfter) raiseAlarm(log, alarm, { error: (error as Error).name });
      return everyMs;
    },
  });
}
