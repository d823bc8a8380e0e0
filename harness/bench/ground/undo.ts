/** Everything that was started, to be ended in the reverse order: at the end, at an error and at a signal alike. */
export interface Undo {
  add(step: () => Promise<unknown> | void): void;
  /** Ends all of it once; a step that fails keeps no other from its turn. */
  run(): Promise<void>;
}

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

/** A signal ends what was started and then the process; a second one ends the process at once. */
export function undoAtSignals(undo: Undo): void {
  let asked = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (asked) process.exit(130);
      asked = true;
      void undo.run().finally(() => process.exit(130));
    });
}
