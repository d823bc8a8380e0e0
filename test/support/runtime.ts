import { IllegalStateError } from '@temporalio/common';
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { globalHandlers } from '@temporalio/worker/lib/workflow/vm-shared.js';

let installed = false;

/**
 * Configures Temporal's native runtime, once per process: by default it logs to the terminal. Workers of this process
 * run their workflows on its own thread: a thread loads the SDK anew for each worker, a second of a core. The workers
 * that tests start as processes have one, as in production.
 */
export function quietRuntime(): void {
  process.env['TEMPORAL_DEBUG'] = '1';
  if (installed) return;
  installed = true;
  // For the stack traces that a query may ask for, the SDK follows each promise: on this thread every one of the tests too.
  Object.assign(globalHandlers, { setPromiseHook: () => undefined });
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR', () => undefined),
      telemetryOptions: {
        logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }), forward: {} },
      },
    });
  } catch (error) {
    // An earlier file in the same process has replayed something, so the runtime exists.
    if (!(error instanceof IllegalStateError)) throw error;
  }
}
