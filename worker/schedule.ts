import { type Client, ScheduleAlreadyRunning, type ScheduleOptions } from '@temporalio/client';
import { TASK_QUEUE } from '../workflows/messages.ts';

export const ARCHIVE_SCHEDULE = 'archive';

/**
 * Creates the schedule that starts the archive's workflow every `everyMs`, never twice at once. Idempotent; another
 * interval replaces the existing one. A schedule that operators have paused stays paused.
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
    // Missed runs need no catch-up: each run takes everything that is due.
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
