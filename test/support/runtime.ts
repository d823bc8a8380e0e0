import { IllegalStateError } from '@temporalio/common';
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';

let installed = false;

/**
 * Temporal's native runtime logs to the terminal unless told otherwise, once per process. Workers of this process run their
 * workflows in its own thread: a thread loads the SDK anew for each worker, a second of a core. The workers that tests
 * start as processes have one, as in production.
 */
export function quietRuntime(): void {
  process.env['TEMPORAL_DEBUG'] = '1';
  if (installed) return;
  installed = true;
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR', () => undefined),
      telemetryOptions: {
        logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }), forward: {} },
      },
    });
  } catch (error) {
    // A file before this one in the same process has replayed something, and the runtime is there.
    if (!(error instanceof IllegalStateError)) throw error;
  }
}
