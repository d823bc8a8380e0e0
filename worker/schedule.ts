import { type Client, ScheduleAlreadyRunning, type ScheduleOptions } from '@temporalio/client';
import { TASK_QUEUE } from '../workflows/messages.ts';

export const ARCHIVE_SCHEDULE = 'archive';

/**
 * Has the archive's workflow started every so often, never twice at once. Repeatable; another interval replaces the one
 * that stands. A schedule that people have paused stays paused.
 */
export async function ensureArchiveSchedule(client: Client, everyMs: number): Promise<void> {
  const wanted = {
    spec: { intervals: [{ every: everyMs }] },
    action: {
      type: 'startWorkflow',
      workflowType: 'archive',
      workflowId: 'archive',
      taskQueue: TASK_QUEUE,
      args: [],
      // A lost worker is noticed after this long.
      workflowTaskTimeout: '3s',
    },
    // What was missed need not be made up for: each run takes all that is due.
    policies: { overlap: 'SKIP', catchupWindow: '1m' },
  } satisfies Omit<ScheduleOptions, 'scheduleId'>;
  try {
    await client.schedule.create({ scheduleId: ARCHIVE_SCHEDULE, ...wanted });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    const handle = client.schedule.getHandle(ARCHIVE_SCHEDULE);
    const { spec } = await handle.describe();
    if (spec.intervals?.length === 1 && spec.intervals[0]!.every === everyMs) return;
    await handle.update((standing) => ({ ...standing, ...wanted }));
  }
}
