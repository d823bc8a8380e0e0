import type { WorkerOptions } from '@temporalio/worker';

/** How the worker polls, caches and stops; the benchmark's floors have the same. */
export const WORKER_TUNING = {
  maxCachedWorkflows: 2_000,
  // Above the 25 s a provider call may take: a placement under way is finished, not abandoned.
  shutdownGraceTime: '35s',
  shutdownForceTime: '45s',
  // A lost worker's deposits are taken over after this long (measured: about 2 s instead of 10).
  stickyQueueScheduleToStartTimeout: '2s',
} as const satisfies Partial<WorkerOptions>;
