import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BuilderState } from './builder.ts';
import type { ChildTask, FromChild, ToChild } from './child.ts';
import type { Range } from './scope.ts';

/**
 * Has the parts audited by several processes, as each gets free. `done` is told of each part. Throws the first failure,
 * and ends every process whatever happens.
 */
export async function auditInParts(
  processes: number,
  task: ChildTask,
  ranges: readonly Range[],
  done: (range: Range, state: BuilderState) => Promise<void>,
): Promise<void> {
  const waiting = [...ranges];
  const workers = Array.from({ length: Math.min(processes, ranges.length) }, () => work(task, waiting, done));
  await Promise.all(workers);
}

/** In development the sources run through tsx; a build runs as it is. */
const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url)).replace(
  /\.ts$/,
  import.meta.url.endsWith('.ts') ? '.ts' : '.js',
);

function work(
  task: ChildTask,
  waiting: Range[],
  done: (range: Range, state: BuilderState) => Promise<void>,
): Promise<void> {
  const child = fork(CHILD, {
    execArgv: CHILD.endsWith('.ts') ? ['--import', 'tsx'] : [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const tell = (message: ToChild) => child.send(message);
  return new Promise<void>((resolve, reject) => {
    const next = () => {
      const range = waiting.shift();
      if (range === undefined) child.disconnect();
      else tell({ range });
    };
    child.on('message', (message: FromChild) => {
      if ('failed' in message) {
        waiting.length = 0;
        child.kill('SIGKILL');
        reject(new Error(`a process of the audit failed: ${message.failed}`));
        return;
      }
      if ('ready' in message) return next();
      const { range, state } = message;
      void (async () => {
        try {
          await done(range, state);
          next();
        } catch (error) {
          reject(error);
        }
      })();
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code === 0 || child.killed) resolve();
      else reject(new Error(`a process of the audit ended with ${code ?? signal}`));
    });
    tell({ task });
  }).finally(() => child.kill());
}
