import { setTimeout as sleep } from 'node:timers/promises';

/** A check costs about 10 ms of a core, so the poll backs off. */
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 200;
/** Only what never comes takes so long, on any machine. */
const GIVEN_UP_MS = 120_000;

/**
 * Polls until there is a result. Throws after a long time without one, with `what` and the report of `instead`. Waits
 * for a condition, never for a measured time.
 */
export async function until<T>(
  what: string,
  ask: () => T | null | undefined | false | Promise<T | null | undefined | false>,
  withinMs = GIVEN_UP_MS,
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
