import type { WorkerOptions } from '@temporalio/worker';
import type { WorkerConfig } from '../config/settings/worker.ts';

/** The options for polling, caching and stopping; the benchmark's floors use the same. */
export const workerTuning = ({ pollers, cachedWorkflows }: Pick<WorkerConfig, 'pollers' | 'cachedWorkflows'>) =>
  ({
    maxCachedWorkflows: cachedWorkflows,
    maxConcurrentWorkflowTaskPolls: pollers,
    // Half of them for new workflows: with the SDK's fifth, first tasks wait in Temporal's backlog under load.
    nonStickyToStickyPollRatio: 0.5,
    // Above the 25 s that a provider call may take: a running placement is finished, not abandoned.
    shutdownGraceTime: '35s',
    shutdownForceTime: '45s',
    // A lost worker's deposits are taken over after this long (measured: about 2 s instead of 10).
    stickyQueueScheduleToStartTimeout: '2s',
  }) satisfies Partial<WorkerOptions>;
