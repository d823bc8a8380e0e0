import { Client, Connection } from '@temporalio/client';
import { depositWorkflowId } from '../../../domain/ids.ts';
import { alone } from '../figures/statistics.ts';
import type { Part } from '../part.ts';

const DEPOSITS = 5;

/** P7: deterministic, and asserted in test/workflows/paths.test.ts; measured here for the report. */
export const historyPart: Part = {
  ids: ['P7'],
  seconds: { full: 10, quick: 5 },
  async measure(bench) {
    const { load, engine } = await bench.engine();
    const connection = await Connection.connect({ address: bench.servers.temporalAddress });
    const client = new Client({ connection, namespace: engine.database });
    const counted = { events: [] as number[], tasks: [] as number[], actions: [] as number[], bytes: [] as number[] };
    try {
      for (const n of load.fresh(DEPOSITS)) {
        await load.whole(n);
        const handle = client.workflow.getHandle(depositWorkflowId(n));
        const { events } = await handle.fetchHistory();
        const { raw } = await handle.describe();
        const count = (attributes: string) =>
          events!.filter((event) => Boolean((event as Record<string, unknown>)[attributes])).length;
        counted.events.push(events!.length);
        counted.tasks.push(count('workflowTaskCompletedEventAttributes'));
        // Billed: the start, each task's local activities, timers, signals, changed search attributes.
        counted.actions.push(
          1 +
            count('markerRecordedEventAttributes') +
            count('timerStartedEventAttributes') +
            count('workflowExecutionSignaledEventAttributes') +
            count('upsertWorkflowSearchAttributesEventAttributes'),
        );
        counted.bytes.push(Number(raw.workflowExecutionInfo!.historySizeBytes));
      }
    } finally {
      await connection.close();
    }
    const figures = Object.fromEntries(Object.entries(counted).map(([name, values]) => [name, alone(values, name)]));
    return { P7: { figures } };
  },
};
