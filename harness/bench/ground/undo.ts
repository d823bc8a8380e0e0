/** Stops everything that was started, in reverse order: at the end, at an error and at a signal. */
export interface Undo {
  add(step: () => Promise<unknown> | void): void;
  /** Runs all steps once; a step that fails does not skip the others. */
  run(): Promise<void>;
}

/** The shell's exit code of an interrupt. */
const INTERRUPTED = 130;

export function createUndo(): Undo {
  const steps: (() => Promise<unknown> | void)[] = [];
  let running: Promise<void> | null = null;
  const runAll = async () => {
    for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
      try {
        await step();
      } catch {
        // A step fails if its process is already gone.
      }
    }
  };
  return {
    add: (step) => void steps.push(step),
    run: () => (running ??= runAll().finally(() => (running = null))),
  };
}

/** The first signal aborts the result, runs `undo` and ends the process; a second one ends the process at once. */
export function undoAtSignals(undo: Undo): AbortSignal {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (interrupted.signal.aborted) process.exit(INTERRUPTED);
      interrupted.abort();
      void undo.run().finally(() => process.exit(INTERRUPTED));
    });
  return interrupted.signal;
}
