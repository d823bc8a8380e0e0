import { join } from 'node:path';
import { LockedError, takeLock } from '../local/servers/lock.ts';
import { cacheDirectory } from '../local/servers/paths.ts';
import { createUndo, type Undo, undoAtSignals } from './bench/ground/undo.ts';

/**
 * Runs a measurement that is alone in this clone, because two would build into the same place and disturb each other's
 * figures. Undoes everything at its end, whatever ends it, and ends the process: with the code that `work` returns, 1 after
 * an error, 130 after a signal, 2 where another one runs.
 */
export async function measureAlone(work: (undo: Undo, interrupted: AbortSignal) => Promise<number>): Promise<never> {
  let release;
  try {
    release = takeLock(join(cacheDirectory, 'bench.lock'));
  } catch (error) {
    if (!(error instanceof LockedError)) throw error;
    console.error('A bench or growth runs in this clone: wait for it, or end it with Ctrl-C there.');
    process.exit(2);
  }
  const undo = createUndo();
  undo.add(release);
  const interrupted = undoAtSignals(undo);
  const stopAll = async () => {
    await undo.run();
    process.exit(1);
  };
  process.on('uncaughtException', (error) => {
    // A call of Temporal's client waited for its next retry when its connection was closed.
    if (error.message === 'Channel has been shut down') return;
    console.error(error);
    void stopAll();
  });
  let code = 1;
  try {
    code = await work(undo, interrupted);
  } catch (error) {
    if (!interrupted.aborted) console.error(error);
    code = interrupted.aborted ? 130 : 1;
  } finally {
    await undo.run();
  }
  // The SDK's connections would keep the process alive.
  process.exit(code);
}
