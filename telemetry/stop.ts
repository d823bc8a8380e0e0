import type { Log } from './log.ts';

/** Calls `close` once on SIGTERM or SIGINT, after which the process can end; its exit code is 1 if `close` rejects. */
export function stopOnSignal(name: string, close: () => Promise<void>, log: Log): void {
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    close()
      .then(() => log.info(`${name} stopped`))
      .catch((error: Error) => {
        log.error({ error: error.message }, `${name} did not stop cleanly`);
        process.exitCode = 1;
      });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}
