import { setTimeout as sleep } from 'node:timers/promises';
import { crashPoint } from '../config/crash.ts';
import { raiseAlarm } from '../config/log.ts';
import { findToRaise } from '../database/callbacks.ts';
import { findToTell, findUnstarted, type PageEnd } from '../database/deposits.ts';
import { findAnsweredLate } from '../database/placements.ts';
import { depositWorkflowId, orderAnswered } from '../workflows/messages.ts';
import { mendCases } from './open-case.ts';
import { raise, tellSettled } from './raise.ts';
import type { RestoreDependencies } from './restored.ts';
import { mendDeposits, startOrAdopt, wakeOutdated } from './restored.ts';

/** When the sweep looks at what (rule 5); shorter in tests. */
export interface RelayTimes {
  readonly everyMs: number;
  /** An acknowledged row that was never raised. */
  readonly freshMs: number;
  /** A raised row that still has no effect. */
  readonly againMs: number;
  /** A reservation whose workflow was perhaps never started. */
  readonly unstartedMs: number;
  /** For so long a row and its workflow that contradict each other only lag behind one another; a minute if not given. */
  readonly lagMs?: number;
}

export const RELAY_TIMES: RelayTimes = { everyMs: 1_000, freshMs: 10_000, againMs: 60_000, unstartedMs: 30_000 };
const LAG_MS = 60_000;
const BATCH = 100;
const CONCURRENCY = 8;
const MAX_PAUSE_MS = 15_000;

export interface Relay {
  close(): Promise<void>;
}

/**
 * Works by effect: whatever was accepted and has no effect yet is raised again, whatever was noted about raising it.
 * Every step may run twice or in several processes at once. While Temporal is away it tries ever more slowly.
 */
export function startRelay(deps: RestoreDependencies, times: RelayTimes = RELAY_TIMES): Relay {
  const stop = new AbortController();
  const { lagMs = LAG_MS } = times;
  const seen = new Map<string, number>();
  let lookedAfter = '';
  let lookedAt: PageEnd | null = null;
  const wakeAt = [performance.now(), performance.now() + 2 * lagMs];

  /** At most once per `againMs` for the same thing. */
  const isDue = (what: string): boolean => {
    const now = performance.now();
    if (now - (seen.get(what) ?? Number.NEGATIVE_INFINITY) < times.againMs) return false;
    if (seen.size > 10_000) seen.clear();
    seen.set(what, now);
    return true;
  };

  async function sweep(): Promise<number> {
    const callbacks = await findToRaise(deps.pool, times.freshMs, times.againMs, BATCH);
    await inTurns(callbacks, async (callback) => {
      await raise(deps, callback);
      crashPoint('relay.afterSignal');
    });
    const unstarted = await findUnstarted(deps.pool, times.unstartedMs, BATCH);
    await inTurns(
      unstarted.filter((deposit) => isDue(`start ${deposit.externalOrderNumber}`)),
      (deposit) => startOrAdopt(deps, deposit, lagMs),
    );
    const answered = await findAnsweredLate(deps.pool, BATCH);
    await inTurns(
      answered.filter((deposit) => isDue(`answered ${deposit.externalOrderNumber}`)),
      ({ externalOrderNumber, expiresAt }) =>
        deps.client.workflow
          .getHandle(depositWorkflowId(externalOrderNumber))
          .signal(orderAnswered, { expiresAt: expiresAt.toISOString() }),
    );
    const settled = await findToTell(deps.pool, BATCH);
    await inTurns(
      settled.filter((deposit) => isDue(`settled ${deposit}`)),
      (deposit) => tellSettled(deps, deposit),
    );
    if (isDue('cases')) lookedAfter = await mendCases(deps, lookedAfter, lagMs);
    if (isDue('deposits')) lookedAt = await mendDeposits(deps, lookedAt, lagMs);
    // Once more when nothing lags behind any longer.
    const [due] = wakeAt;
    if (due !== undefined && performance.now() >= due) {
      await wakeOutdated(deps, lagMs, stop.signal);
      wakeAt.shift();
    }
    return callbacks.length;
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!stop.signal.aborted) {
      let raised = 0;
      try {
        raised = await sweep();
        failures = 0;
      } catch (error) {
        seen.clear();
        failures += 1;
        if (failures === 3) raiseAlarm(deps.log, 'relay_failed', { error: (error as Error).name });
      }
      // A full batch means there is more: no pause.
      const pauseMs = raised === BATCH ? 0 : Math.min(MAX_PAUSE_MS, times.everyMs * 2 ** Math.min(failures, 6));
      await sleep(pauseMs, undefined, { signal: stop.signal }).catch(() => undefined);
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

/** A few at a time; all are tried, then the first failure is thrown: one bad row must not hide the others. */
async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const failures: unknown[] = [];
  for (let at = 0; at < items.length; at += CONCURRENCY) {
    const results = await Promise.allSettled(items.slice(at, at + CONCURRENCY).map(work));
    failures.push(...results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : [])));
  }
  if (failures.length > 0) throw failures[0];
}
