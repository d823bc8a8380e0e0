import { readFile } from 'node:fs/promises';
import { DefaultLogger, NativeConnection, Runtime, Worker, type InjectedSinks } from '@temporalio/worker';
import { WORKER_DEFAULTS } from '../../../config/settings/worker.ts';
import { workerTuning } from '../../../worker/tuning.ts';
import type { FloorSinks } from './workflows.ts';

/** The worker of the floors, with the settings of the engine's worker. Run as `worker ADDRESS TASK_QUEUE BUNDLE`. */

const [address, taskQueue, bundle] = process.argv.slice(2) as [string, string, string];
Runtime.install({ logger: new DefaultLogger('WARN') });

const sinks: InjectedSinks<FloorSinks> = {
  driver: { reached: { fn: ({ workflowId }) => void process.send?.(workflowId), callDuringReplay: false } },
};
const worker = await Worker.create({
  connection: await NativeConnection.connect({ address }),
  taskQueue,
  workflowBundle: { code: await readFile(bundle, 'utf8') },
  activities: { step: async () => undefined },
  sinks,
  ...workerTuning(WORKER_DEFAULTS),
});
console.log('floor ready');
await worker.run();
