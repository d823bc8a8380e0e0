import { setTimeout as sleep } from 'node:timers/promises';

/** An answer costs about as much as 10 ms of a core: what does not come at once is asked for more seldom. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 200;

/**
 * Asks until there is an answer; fails with `what` when there is none for long, and with what `instead` says there is. A
 * condition, never a measured time.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | null | undefined | false>,
  withinMs = 50_000,
  instead: () => string = () => '',
): Promise<T> {
  const end = performance.now() + withinMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.5)) {
    const answer = await ask();
    if (answer !== null && answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}${instead()}`);
    await sleep(pauseMs);
  }
}
