import { sha256 } from '../archive/canonical-history.ts';
import type { ArchiveObjects } from '../archive/objects.ts';
import type { Log } from '../telemetry/log.ts';
import { type Loop, startLoop } from '../telemetry/background-loop.ts';

const AGAIN_MS = 5_000;

/**
 * Stores this worker's workflow code in the archive, under the hash that every history it works on contains. So each
 * history can be replayed on the code that decided it. Retries until the store accepts it, because a worker may start
 * while the store is down.
 */
export function keepBundle(
  { objects, log }: { readonly objects: ArchiveObjects; readonly log: Log },
  code: string,
): Loop {
  const hash = sha256(code);
  return startLoop({
    work: async () => {
      await objects.put(hash, 'bundle', code);
      log.info({ bundle: hash.toString('hex') }, 'workflow bundle is in the archive');
      return null;
    },
    failed: (error) => {
      log.warn({ error: (error as Error).name }, 'the workflow bundle is not in the archive yet');
      return AGAIN_MS;
    },
  });
}
