import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { build, type Histogram } from 'hdr-histogram-js';
import { inLanes } from '../../../telemetry/lanes.ts';
import { cpuWhile } from '../ground/processes.ts';

/** Runs `one` for each item, `lanes` at a time, the next when one is done; resolves to the items per second. */
export async function closedLoop<T>(
  items: readonly T[],
  lanes: number,
  one: (item: T) => Promise<unknown>,
): Promise<number> {
  const startedMs = performance.now();
  await inLanes(items, lanes, one);
  return (items.length * 1_000) / (performance.now() - startedMs);
}

export interface Spent {
  readonly perSecond: number;
  /** CPU per item in ms: of all processes, and of each. */
  readonly cpuMs: number;
  readonly cpuMsOf: Readonly<Record<string, number>>;
}

/** Runs {@link closedLoop} and counts the CPU of these processes meanwhile. */
export async function countedLoop<T>(
  pids: Readonly<Record<string, readonly number[]>>,
  items: readonly T[],
  lanes: number,
  one: (item: T) => Promise<unknown>,
): Promise<Spent> {
  let perSecond = 0;
  const spent = await cpuWhile(pids, async () => {
    perSecond = await closedLoop(items, lanes, one);
  });
  const each = Object.entries(spent).map(([name, ms]) => [name, ms / items.length] as const);
  return { perSecond, cpuMs: each.reduce((sum, [, ms]) => sum + ms, 0), cpuMsOf: Object.fromEntries(each) };
}

/** In microseconds, from 1 µs to one minute, with three significant digits. */
const newHistogram = (): Histogram =>
  build({ lowestDiscernibleValue: 1, highestTrackableValue: 60_000_000, numberOfSignificantValueDigits: 3 });

export interface Latencies {
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const latencies = (histogram: Histogram): Latencies => ({
  p50Ms: histogram.getValueAtPercentile(50) / 1_000,
  p95Ms: histogram.getValueAtPercentile(95) / 1_000,
  p99Ms: histogram.getValueAtPercentile(99) / 1_000,
  maxMs: histogram.maxValue / 1_000,
});

/**
 * Sends each item when it is due, even if earlier ones have no response yet, like independent callers. A latency counts
 * from the due time, so that a stall of the server, or ours, is in every latency that it delayed.
 */
export async function openLoop<T>(
  items: readonly T[],
  perSecond: number,
  one: (item: T) => Promise<unknown>,
): Promise<Latencies> {
  const histogram = newHistogram();
  const startedMs = performance.now();
  const underWay: Promise<unknown>[] = [];
  for (const [i, item] of items.entries()) {
    const dueMs = startedMs + (i * 1_000) / perSecond;
    await untilDue(dueMs);
    const record = () => histogram.recordValue(Math.max(1, Math.round((performance.now() - dueMs) * 1_000)));
    underWay.push(one(item).then(record));
  }
  await Promise.all(underWay);
  return latencies(histogram);
}

/** Timers are up to two milliseconds late, so the last milliseconds are polled. */
const TIMER_LATE_MS = 2;

async function untilDue(dueMs: number): Promise<void> {
  const earlyMs = dueMs - performance.now();
  if (earlyMs > TIMER_LATE_MS) await sleep(earlyMs - TIMER_LATE_MS);
  while (performance.now() < dueMs) await turn();
}

/** Runs `one` for each item, one after the other. */
export async function oneByOne<T>(items: readonly T[], one: (item: T) => Promise<unknown>): Promise<Latencies> {
  const histogram = newHistogram();
  for (const item of items) {
    const startedMs = performance.now();
    await one(item);
    histogram.recordValue(Math.max(1, Math.round((performance.now() - startedMs) * 1_000)));
  }
  return latencies(histogram);
}
