import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { raiseAlarm } from '../telemetry/log.ts';
import { findDeposit, findForPlacement, writeState } from '../database/deposits.ts';
import { isDatabaseAway } from '../database/pool.ts';
import { closeAsUnknown, closeAttempts, mayHaveBeenPlaced, type StoredAnswer } from '../database/placements.ts';
import {
  attempt,
  FIRST_PAUSE_MS,
  isOfStamp,
  type PlacementDependencies,
  type ProviderDependencies,
  RETRY_FOR_MS,
  attemptState,
} from './attempt.ts';
import { providerOf, type ProviderName } from '../domain/order.ts';

/**
 * What the workflow learns of a placement. `reason`: the provider's statusCode, NOT_SENT or TOO_LATE. `redirectHash`: sha256
 * of the checkout link, lower-case hex, so that its history tells whether the row still has the link that MTPay gave; absent
 * in histories of before.
 */
export type Placement =
  | {
      readonly kind: 'placed';
      readonly advertisementCode: string;
      readonly expiresAt: string;
      readonly redirectHash?: string;
    }
  | { readonly kind: 'unknown'; readonly expiresAt: string }
  | { readonly kind: 'refused'; readonly reason: string };

/** What the workflow knows of its own start, and of the row it was started for; absent in histories of before. RFC 3339. */
export interface WorkflowStart {
  readonly startedAt: string;
  readonly reservedAt?: string;
  readonly provider?: ProviderName;
}

const placing = (deps: PlacementDependencies, started?: WorkflowStart): ProviderDependencies => ({
  ...deps,
  provider: deps.providers[providerOf(started)],
});

/**
 * Places the order at the provider, at most once whatever crashes or overlaps: an attempt is a committed row before
 * anything is sent, the next attempt exists only after the last is recorded as surely not sent, and an attempt without
 * an answer means unknown, never a second call (docs/reference/lifecycle.md, L3). Throws only when the database is away for longer
 * than a moment.
 */
export async function placeOrder(
  dependencies: PlacementDependencies,
  externalOrderNumber: string,
  started?: WorkflowStart,
  signal?: AbortSignal,
): Promise<Placement> {
  const deps = placing(dependencies, started);
  const startedMs = performance.now();
  for (;;) {
    try {
      return await placeWithin(deps, externalOrderNumber, started, signal, startedMs);
    } catch (error) {
      // A connection that was cut is no reason to give an order up: its attempts are read again, and say how to go on.
      if (!isDatabaseAway(error) || performance.now() - startedMs > RETRY_FOR_MS) throw error;
      await sleep(FIRST_PAUSE_MS, undefined, signal === undefined ? {} : { signal });
    }
  }
}

async function placeWithin(
  deps: ProviderDependencies,
  externalOrderNumber: string,
  started: WorkflowStart | undefined,
  signal: AbortSignal | undefined,
  startedMs: number,
): Promise<Placement> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
    const stands = await attemptState(deps, externalOrderNumber);
    if (stands.answer !== null) return conclude(deps, externalOrderNumber, stands.answer);
    const deposit = await findForPlacement(deps.pool, externalOrderNumber);
    if (deposit === null) throw new Error(`no deposit ${externalOrderNumber}`);
    const n = stands.next;
    if (await isLost(deps, externalOrderNumber, n, started)) continue;
    if (n === 1 && deposit.ageMs > deps.placeWithinMs) {
      await closeAttempts(deps.pool, externalOrderNumber, n, 'TOO_LATE');
      continue;
    }
    // A refused timestamp was signed afresh once; a dead line was tried for a while.
    const timestampTwice = stands.refusals.ofClock > 1;
    // A name is erased when nothing could be placed for a day, and without it the provider takes no order.
    const nameless = deposit.payerName === null;
    if (nameless || (n > 1 && (timestampTwice || performance.now() - startedMs > RETRY_FOR_MS))) {
      await closeAttempts(deps.pool, externalOrderNumber, n, givenUp(deps, stands.cause));
      continue;
    }
    const answer = await attempt(deps, deposit, stands, signal);
    // Null: another run has claimed it, and what becomes of it is read again.
    if (answer !== null && answer.kind !== 'not_sent') return conclude(deps, externalOrderNumber, answer);
    if (answer !== null && !isOfStamp(deps.provider.causeOf(answer.cause))) {
      // Not beyond the time for trying: the caller would wait for a try that is not made.
      const leftMs = RETRY_FOR_MS - (performance.now() - startedMs);
      await sleep(Math.min(pauseMs, Math.max(0, leftMs)), undefined, signal === undefined ? {} : { signal });
    }
  }
}

/**
 * Finds out what became of a placement that placeOrder could not report: nothing tried or surely nothing sent → closed,
 * so that a late run cannot send; open → waits for its deadline, then unknown; answered → that answer.
 */
export async function settlePlacement(
  dependencies: PlacementDependencies,
  externalOrderNumber: string,
  started?: WorkflowStart,
): Promise<Placement> {
  const deps = placing(dependencies, started);
  for (;;) {
    const stands = await attemptState(deps, externalOrderNumber);
    if (stands.answer !== null) return conclude(deps, externalOrderNumber, stands.answer);
    if (await isLost(deps, externalOrderNumber, stands.next, started)) continue;
    await closeAttempts(deps.pool, externalOrderNumber, stands.next, givenUp(deps, stands.cause));
  }
}

/** The order may be at the provider, and the row that said so was lost with the database: closed as unknown. */
async function isLost(
  { pool }: PlacementDependencies,
  externalOrderNumber: string,
  n: number,
  started: WorkflowStart | undefined,
): Promise<boolean> {
  if (n > 1 || started === undefined) return false;
  if (!(await mayHaveBeenPlaced(pool, externalOrderNumber, started))) return false;
  await closeAsUnknown(pool, externalOrderNumber);
  return true;
}

/** A refused signature after which the free millisecond was not tried is still one, and may mean that a key is wrong. */
const givenUp = ({ provider }: ProviderDependencies, code: string | null) =>
  code !== null && provider.causeOf(code) === 'stamp or key' ? code : 'NOT_SENT';

async function conclude(
  deps: ProviderDependencies,
  externalOrderNumber: string,
  answer: StoredAnswer,
): Promise<Placement> {
  switch (answer.kind) {
    case 'refused':
      return refuse(deps, externalOrderNumber, answer.statusCode);
    case 'closed':
      return refuse(deps, externalOrderNumber, answer.cause);
    case 'not_sent':
      return { kind: 'refused', reason: 'NOT_SENT' };
    case 'unknown':
      raiseAlarm(deps.log, answer.cause === 'FOREIGN_REDIRECT' ? 'foreign_redirect' : 'placement_unknown', {
        deposit: externalOrderNumber,
        cause: answer.cause,
      });
      return { kind: 'unknown', expiresAt: await expiry(deps, externalOrderNumber) };
    case 'placed': {
      // The row says unknown if it was adopted while the answer was under way; the workflow waits for the payment.
      const { expiresAt } = await writeState(deps.pool, externalOrderNumber, 'AWAITING_PAYMENT');
      return {
        kind: 'placed',
        advertisementCode: answer.advertisementCode,
        expiresAt: expiresAt ?? (await expiry(deps, externalOrderNumber)),
        redirectHash: createHash('sha256').update(answer.redirectUrl).digest('hex'),
      };
    }
  }
}

function refuse(deps: ProviderDependencies, deposit: string, reason: string): Placement {
  // What only people can mend: our keys, our account.
  const cause = deps.provider.causeOf(reason);
  if (cause === 'configuration' || cause === 'stamp or key') {
    raiseAlarm(deps.log, 'placement_refused_by_configuration', { deposit, statusCode: reason });
  }
  return { kind: 'refused', reason };
}

async function expiry(deps: PlacementDependencies, externalOrderNumber: string): Promise<string> {
  const deposit = await findDeposit(deps.pool, externalOrderNumber);
  if (deposit?.expiresAt === null || deposit === null)
    throw new Error(`deposit ${externalOrderNumber} has no payment window`);
  return deposit.expiresAt.toISOString();
}
