import { type Alarm, raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import { type Loop, startLoop } from '../telemetry/background-loop.ts';

/** A periodic cleanup in bounded batches; the first runs at once. */
export interface Sweep {
  /** One statement; `more`: the batch was full. */
  readonly batch: () => Promise<{ readonly done: Readonly<Record<string, number>>; readonly more: boolean }>;
  readonly everyMs: number;
  /** Logged with the sums of a sweep that changed anything. */
  readonly message: string;
  /** Raised after `alarmAfter` failed sweeps in a row, once until a sweep succeeds again. */
  readonly alarm: Alarm;
  readonly alarmAfter: number;
}

/** Starts the sweeps; `close()` resolves when no statement is running. */
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
