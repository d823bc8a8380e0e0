import { setTimeout as sleep } from 'node:timers/promises';

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
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`waited in vain for: ${what}${instead()}`);
    await sleep(25);
  }
}
