import type { Log } from '../telemetry/log.ts';

/** Ends the process on SIGTERM and SIGINT once `close` is through; code 1 where it fails. */
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
