import { Client, Connection, WithStartWorkflowOperation } from '@temporalio/client';
import { join } from 'node:path';
import type { Built } from './build.ts';
import { type BenchProgram, benchProgram } from './program.ts';
import type { BenchServers } from '../servers/servers.ts';
import type { Undo } from './undo.ts';

const TASK_QUEUE = 'floors';

/** The baseline workflows, on the same server, with a worker of the same settings. */
export interface Floors {
  readonly worker: BenchProgram;
  /** Start, one signal after the first task, end. */
  readonly runEmpty: (id: string) => Promise<void>;
  /** Start, activity, timer and signal, activity, end. */
  readonly runNaive: (id: string) => Promise<void>;
  /** Update-with-start, completed at once. */
  readonly runAnswering: (id: string) => Promise<void>;
  /** Starts an empty workflow and resolves after its first task. */
  readonly open: (id: string) => Promise<void>;
  readonly pids: () => Readonly<Record<'temporal' | 'worker', readonly number[]>>;
  stop(): Promise<void>;
}

export async function startFloors(servers: BenchServers, built: Built, undo: Undo): Promise<Floors> {
  const worker = benchProgram(
    {
      name: 'floor worker',
      file: join(built.floors, 'worker.mjs'),
      args: [servers.temporalAddress, TASK_QUEUE, built.floorBundle],
      cwd: built.floors,
      env: {},
      ready: 'floor ready',
    },
    undo,
  );
  const reached = new Map<string, () => void>();
  worker.onMessage((workflowId) => {
    reached.get(workflowId as string)?.();
    reached.delete(workflowId as string);
  });
  await worker.start();
  const connection = await Connection.connect({ address: servers.temporalAddress });
  const client = new Client({ connection });
  undo.add(() => connection.close());
  const start = async (type: string, workflowId: string) => {
    const isReached = new Promise<void>((resolve) => reached.set(workflowId, resolve));
    const handle = await client.workflow.start(type, { workflowId, taskQueue: TASK_QUEUE, workflowTaskTimeout: '10s' });
    await isReached;
    return handle;
  };
  const whole = async (type: string, id: string) => {
    const handle = await start(type, id);
    await handle.signal('go');
    await handle.result();
  };
  return {
    worker,
    runEmpty: (id) => whole('empty', id),
    runNaive: (id) => whole('naive', id),
    async runAnswering(workflowId) {
      const startWorkflowOperation = new WithStartWorkflowOperation('answering', {
        workflowId,
        taskQueue: TASK_QUEUE,
        workflowIdConflictPolicy: 'USE_EXISTING',
        workflowTaskTimeout: '10s',
      });
      await client.workflow.executeUpdateWithStart('answer', { startWorkflowOperation, args: [] });
    },
    open: async (id) => void (await start('empty', id)),
    pids: () => ({ temporal: servers.pidsOfTemporal(), worker: [worker.pid()] }),
    async stop() {
      await worker.end();
      await connection.close();
    },
  };
}
