import { join } from 'node:path';
import { startTemporal } from '../../../local/servers/temporal.ts';
import { requireOwn } from './own.ts';
import type { Undo } from '../ground/undo.ts';

/** A server that can be stopped and restarted on the same data, at the same address. */
export interface BenchTemporal {
  readonly address: string;
  /** The server's own process first, then its other processes. */
  pids(): readonly number[];
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the local stack's dev server on a file. */
export async function startDevTemporal(folder: string, port: number, undo: Undo): Promise<BenchTemporal> {
  const start = () => startTemporal({ dbFile: join(folder, 'temporal.db'), uiPort: 'headless', port });
  let newest = start();
  undo.add(async () => (await newest).stop());
  let temporal = await newest;
  requireOwn('Temporal', { adopted: temporal.adopted, at: temporal.address });
  const { address } = temporal;
  return {
    address,
    pids: () => [temporal.pid],
    stop: () => temporal.stop(),
    async start() {
      newest = start();
      temporal = await newest;
      if (temporal.address !== address) throw new Error(`somebody took ${address} while Temporal was stopped`);
    },
  };
}
