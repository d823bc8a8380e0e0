import { raiseAlarm } from '../../telemetry/alarms.ts';
import type { Log } from '../../telemetry/log.ts';
import { type Loop, startLoop } from '../../telemetry/background-loop.ts';
import { perhapsNotRunning } from '../open-case.ts';
import type { RestoreDependencies } from '../restored.ts';
import { MAX_REST_AWAY_MS } from './back-off.ts';
import { createSweeper, type RelayStep } from './sweeper.ts';

/** The kinds of loops that the relay consists of. Each backs off while it fails, and raises `relay_failed` once. */
export interface RelayLoops {
  /** Row by row, as fast as there is work, then again after `pauseMs`. */
  readonly serving: <Row>(step: RelayStep<Row>, pauseMs?: number) => Loop;
  /**
   * For rows that mostly need nothing: one call looks up a large page of them. The others are checked one by one, a few
   * pages at a time, so that a sweep over many does not burden Temporal.
   */
  readonly lookingAfter: <Row>(
    step: RelayStep<Row>,
    workflowIdOf: (row: Row) => string,
    isDue?: (row: Row) => boolean,
  ) => Loop;
  /** Not row by row. `work` returns its pause in ms; null: it has ended. */
  readonly asking: (name: string, work: (stop: AbortSignal) => Promise<number | null>) => Loop;
}

const PAGES = 10;
/** 2,000 rows in each sweep: 10,000 open ones are checked within a minute. */
const LARGE_PAGE = 500;
const LARGE_PAGES = 4;
const CONCURRENCY = 8;

export function relayLoops(
  { client, log }: Pick<RestoreDependencies, 'client' | 'log'>,
  { everyMs, lagMs }: { readonly everyMs: number; readonly lagMs: number },
): RelayLoops {
  const looping = (health: Health, work: (stop: AbortSignal) => Promise<number | null>): Loop =>
    startLoop({
      work,
      failed: (error, n) => {
        health(error);
        return Math.min(MAX_REST_AWAY_MS, everyMs * 2 ** n);
      },
    });
  function serving<Row>(step: RelayStep<Row>, pauseMs = everyMs, pages = PAGES): Loop {
    const health = watchHealth(log, step.name);
    const sweeper = createSweeper(step, { log, everyMs, pages, concurrency: CONCURRENCY, health });
    const loop = looping(health, async (stop) => ((await sweeper.sweep(stop)) ? 0 : pauseMs));
    return { close: () => loop.close().then(() => sweeper.drain()) };
  }
  return {
    serving,
    lookingAfter(step, workflowIdOf, isDue = () => false) {
      const page: typeof step.page = async (after) => {
        const { rows, end } = await step.page(after, LARGE_PAGE);
        const asked = new Set(await perhapsNotRunning(client, rows, workflowIdOf));
        return { rows: rows.filter((row) => asked.has(row) || isDue(row)), end };
      };
      return serving({ ...step, page, againMs: lagMs }, lagMs / 6, LARGE_PAGES);
    },
    asking(name, work) {
      const health = watchHealth(log, name);
      return looping(health, async (stop) => {
        const pauseMs = await work(stop);
        health(null);
        return pauseMs;
      });
    },
  };
}

const ALARM_AFTER_FAILURES = 3;

/** Called with the error of a step that failed, or with null when it worked. */
type Health = (error: unknown) => void;

/** A step raises one alarm in an outage. The log makes one line of the alarms of several steps within a minute. */
function watchHealth(log: Log, step: string): Health {
  let failures = 0;
  return (error) => {
    failures = error === null ? 0 : failures + 1;
    if (failures === ALARM_AFTER_FAILURES) raiseAlarm(log, 'relay_failed', { step, error: (error as Error).name });
  };
}
