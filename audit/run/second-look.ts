import type { Client } from '@temporalio/client';
import { isGone } from '../../archive/history-source.ts';
import { unopened } from '../../config/temporal.ts';
import type { Mismatch } from '../histories/compare.ts';
import type { FindingKind } from '../report/findings.ts';

/**
 * How often and for how long the audit reads a mismatch again. A mismatch is excused only while Temporal shows pending
 * work that may write the missing part. Age alone excuses only a row without a workflow and a new callback
 * (docs/guides/audit.md#what-is-excused).
 */
export interface Patience {
  readonly looks: number;
  readonly everyMs: number;
  /** The age up to which a row may lack its workflow and a posting its step, by the database's clock. */
  readonly youngMs: number;
  /** The time by which the archive may lag behind Temporal. */
  readonly archivedWithinMs: number;
}

export const PATIENCE: Patience = { looks: 3, everyMs: 3_000, youngMs: 120_000, archivedWithinMs: 600_000 };

/** Temporal's pending work for a workflow; null: there is no such workflow. */
export interface WorkflowStatus {
  readonly runId: string;
  readonly events: number;
  /** It has not ended. */
  readonly runs: boolean;
  /** Names of pending activities, scheduled or started. */
  readonly activities: readonly string[];
  /** A workflow task is pending: its local activities may write. */
  readonly task: boolean;
}

/** The pending work of the named run, by default of the newest. */
export async function describeWorkflow(
  client: Client,
  workflowId: string,
  ofRun?: string,
): Promise<WorkflowStatus | null> {
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

/** The activities that post each kind of posting. These also run inside the workflow's task, as local activities. */
const POSTED_BY: Readonly<Record<string, readonly string[]>> = {
  credit: ['credit'],
  suspense: ['recordReview', 'park', 'decide'],
};
/** Decisions are carried out by an activity of their own, never inside a task (workflows/activity-calls.ts). */
const DECIDED_BY = ['decide'];

/** The kinds of findings that occur while an effect is in the tables and its step is not in the history yet. */
const ON_THE_WAY: readonly FindingKind[] = [
  'deposit_row_differs',
  'deposit_unexplained',
  'decision_unrecorded',
  'callback_outcome_differs',
  'attempt_differs',
];

/** Whether pending work may soon record the step that explains the mismatch. */
export function mayFollow(
  { finding, posting }: Mismatch,
  { activities, task }: WorkflowStatus,
  ageMs: number,
  youngMs: number,
) {
  if (posting === null) return ON_THE_WAY.includes(finding.kind) && (task || activities.length > 0);
  if (ageMs > youngMs) return false;
  const writers = POSTED_BY[posting.kind];
  return (writers ?? DECIDED_BY).some((name) => activities.includes(name)) || (writers !== undefined && task);
}
