/** The lines that `monitor.mjs` writes. */

/** Later than this is a stall. */
export const STALL_MS = 50;

/** One delay of the event loop. For `waitedMs` of it the machine ran something else though we were ready. */
export interface Late {
  /** Since the process began. */
  readonly atMs: number;
  /** The last requests that began before it. */
  readonly begun: readonly string[];
  readonly lateMs: number;
  /** Processor time of the main thread meanwhile: our own work. */
  readonly ranMs: number;
  readonly waitedMs: number;
  readonly gcMs: number;
}

export interface Sample {
  readonly atMs: number;
  readonly requests: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly rssMb: number;
  readonly heapMb: number;
  readonly cpuMs: number;
  readonly utilization: number;
  /** The longest delay that perf_hooks has measured, minus its own resolution. */
  readonly delayMaxMs: number;
  readonly late: readonly Late[];
}
