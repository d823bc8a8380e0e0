/** Everything that was started, to be ended in the reverse order: at the end, at an error and at a signal alike. */
export interface Undo {
  add(step: () => Promise<unknown> | void): void;
  /** Ends all of it once; a step that fails keeps no other from its turn. */
  run(): Promise<void>;
}

/** The exit code of shells for it. */
const INTERRUPTED = 130;

export function createUndo(): Undo {
  const steps: (() => Promise<unknown> | void)[] = [];
  let running: Promise<void> | null = null;
  const runAll = async () => {
    for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
      try {
        await step();
      } catch {
        // What cannot be ended is gone already.
      }
    }
  };
  return {
    add: (step) => void steps.push(step),
    run: () => (running ??= runAll().finally(() => (running = null))),
  };
}

/** A signal ends what was started and then the process; a second one ends the process at once. The result is aborted by the first. */
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
