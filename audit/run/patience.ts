import type { Client } from '@temporalio/client';
import { isGone } from '../../archive/source.ts';
import { unopened } from '../../config/unopened.ts';
import type { Mismatch } from '../histories/compare.ts';
import type { FindingKind } from '../report/findings.ts';

/**
 * How often and for how long the audit looks again at what does not fit. An age excuses nothing by itself: a mismatch is
 * excused while Temporal shows that somebody is about to write what is missing, and only there.
 */
export interface Patience {
  readonly looks: number;
  readonly everyMs: number;
  /** A row that waits for its workflow, and a posting that waits for its history, may be so old, by the database's clock. */
  readonly youngMs: number;
  /** The archive may lag behind Temporal by so much. */
  readonly archivedWithinMs: number;
}

export const PATIENCE: Patience = { looks: 3, everyMs: 3_000, youngMs: 120_000, archivedWithinMs: 600_000 };

/** What Temporal is doing with a workflow; null: it has no such workflow. */
export interface Doing {
  readonly runId: string;
  readonly events: number;
  /** It has not ended. */
  readonly runs: boolean;
  /** Names of activities that are to be done or are being done. */
  readonly activities: readonly string[];
  /** Workflow code runs, or is about to: local activities write then. */
  readonly task: boolean;
}

/** Of the run that is named; otherwise of the newest. */
export async function describe(client: Client, workflowId: string, ofRun?: string): Promise<Doing | null> {
  try {
    const { raw, runId, historyLength, status } = await unopened(client).getHandle(workflowId, ofRun).describe();
    return {
      runId,
      events: historyLength,
      runs: status.name === 'RUNNING',
      activities: (raw.pendingActivities ?? []).map(({ activityType }) => activityType?.name ?? ''),
      task: Boolean(raw.pendingWorkflowTask),
    };
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** Which activities post which kind of money. Those in the first list run inside the workflow's task as well. */
const POSTED_BY: Readonly<Record<string, readonly string[]>> = {
  credit: ['credit'],
  suspense: ['recordReview', 'park', 'decide'],
};
/** Decisions are carried out by an activity of their own, never inside a task (workflows/effects.ts). */
const DECIDED_BY = ['decide'];

/** What differs while an effect is in the tables and its step is not in the history yet. Nothing else ever does. */
const ON_THE_WAY: readonly FindingKind[] = [
  'deposit_row_differs',
  'deposit_unexplained',
  'decision_unrecorded',
  'callback_outcome_differs',
  'attempt_differs',
];

/** Whether the step that explains it may be recorded in a moment. */
export function mayFollow({ finding, posting }: Mismatch, { activities, task }: Doing, ageMs: number, youngMs: number) {
  if (posting === null) return ON_THE_WAY.includes(finding.kind) && (task || activities.length > 0);
  if (ageMs > youngMs) return false;
  const writers = POSTED_BY[posting.kind];
  return (writers ?? DECIDED_BY).some((name) => activities.includes(name)) || (writers !== undefined && task);
}
