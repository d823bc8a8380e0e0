import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { raiseAlarm } from '../telemetry/alarms.ts';
import { findDeposit, findForPlacement, writeState } from '../database/queries/deposits.ts';
import { isDatabaseAway } from '../database/pool.ts';
import {
  closeAsUnknown,
  closeAttempts,
  type Concluded,
  mayHaveBeenPlaced,
  type StoredAnswer,
} from '../database/queries/placements.ts';
import {
  attempt,
  FIRST_PAUSE_MS,
  isOfStamp,
  LOOK_AGAIN_MS,
  type PlacementDependencies,
  type ProviderDependencies,
  RETRY_FOR_MS,
  attemptState,
} from './attempt.ts';
import { providerOf, type ProviderName } from '../domain/order.ts';

/**
 * The result of a placement for the workflow. `reason`: the provider's statusCode, NOT_SENT or TOO_LATE.
 * `redirectHash`: sha256 of the checkout link, lower-case hex, so that the history proves which link MTPay returned;
 * absent in older histories.
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

/** When the workflow and its row began; absent in older histories. RFC 3339. */
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
 * Places the order, at most once under every crash and overlap (docs/reference/lifecycle.md, L3). Throws only when the
 * database is down for longer than {@link RETRY_FOR_MS}.
 * - An attempt is a committed row before anything is sent.
 * - The next attempt exists only after the last is recorded as surely not sent.
 * - An attempt without an answer is unknown, and leads to no second call.
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
      // After a broken connection the attempts are read again, and decide how to continue.
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
    const deposit = await findForPlacement(deps.pool, externalOrderNumber, started);
    if (deposit === null) throw new Error(`no deposit ${externalOrderNumber}`);
    const stands = await attemptState(deps, externalOrderNumber, deposit.last);
    if (stands.answer !== null)
      return conclude(deps, externalOrderNumber, await shown(deps, externalOrderNumber, stands.answer));
    const n = stands.next;
    if (n === 1 && deposit.mayHaveBeenPlaced) {
      await closeAsUnknown(deps.pool, externalOrderNumber);
      continue;
    }
    if (n === 1 && deposit.ageMs > deps.placeWithinMs) {
      await closeAttempts(deps.pool, externalOrderNumber, n, 'TOO_LATE');
      continue;
    }
    // Gives up after a second refused timestamp, or when the time for retries is over.
    const timestampTwice = stands.refusals.ofClock > 1;
    // The payer's name is erased after PAYER_NAME_RETENTION without an order, and the provider takes no order without
    // it.
    const nameless = deposit.payerName === null;
    if (nameless || (n > 1 && (timestampTwice || performance.now() - startedMs > RETRY_FOR_MS))) {
      await closeAttempts(deps.pool, externalOrderNumber, n, givenUp(deps, stands.cause));
      continue;
    }
    const made = await attempt(deps, deposit, stands, signal);
    // Another run has claimed the attempt. Its outcome is read in a later round, for as long as it takes.
    if (made === null) {
      await sleep(Math.min(pauseMs, LOOK_AGAIN_MS), undefined, signal === undefined ? {} : { signal });
      continue;
    }
    const { stands: answer } = made;
    if (answer.kind !== 'not_sent') return conclude(deps, externalOrderNumber, made);
    if (!isOfStamp(deps.provider.causeOf(answer.cause))) {
      // No pause beyond the time for retries: the caller would wait for a try that is not made.
      const leftMs = RETRY_FOR_MS - (performance.now() - startedMs);
      await sleep(Math.min(pauseMs, Math.max(0, leftMs)), undefined, signal === undefined ? {} : { signal });
    }
  }
}

/**
 * Settles a placement that placeOrder could not report:
 * - nothing tried, or surely nothing sent: closed, so that a late run cannot send;
 * - open: waits for its deadline, then unknown;
 * - answered: that answer.
 */
export async function settlePlacement(
  dependencies: PlacementDependencies,
  externalOrderNumber: string,
  started?: WorkflowStart,
): Promise<Placement> {
  const deps = placing(dependencies, started);
  for (;;) {
    const stands = await attemptState(deps, externalOrderNumber);
    if (stands.answer !== null)
      return conclude(deps, externalOrderNumber, await shown(deps, externalOrderNumber, stands.answer));
    if (await isLost(deps, externalOrderNumber, stands.next, started)) continue;
    await closeAttempts(deps.pool, externalOrderNumber, stands.next, givenUp(deps, stands.cause));
  }
}

/**
 * Whether the order may be at the provider although a restore lost the row of the attempt: then it is closed as
 * unknown.
 */
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

/** A refused signature without a following attempt counts as a refused signature, and may mean that a key is wrong. */
const givenUp = ({ provider }: ProviderDependencies, code: string | null) =>
  code !== null && provider.causeOf(code) === 'stamp or key' ? code : 'NOT_SENT';

/** An answer from before, with what its deposit shows. */
async function shown(
  { pool }: PlacementDependencies,
  externalOrderNumber: string,
  stands: StoredAnswer,
): Promise<Concluded> {
  // The row is unknown if it was adopted before the answer came; the workflow waits for the payment.
  if (stands.kind === 'placed') await writeState(pool, externalOrderNumber, 'AWAITING_PAYMENT');
  return { stands, expiresAt: (await findDeposit(pool, externalOrderNumber))?.expiresAt ?? null };
}

function conclude(
  deps: ProviderDependencies,
  externalOrderNumber: string,
  { stands: answer, expiresAt }: Concluded,
): Placement {
  const window = () => {
    if (expiresAt === null) throw new Error(`deposit ${externalOrderNumber} has no payment window`);
    return expiresAt.toISOString();
  };
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
      return { kind: 'unknown', expiresAt: window() };
    case 'placed':
      return {
        kind: 'placed',
        advertisementCode: answer.advertisementCode,
        expiresAt: window(),
        redirectHash: createHash('sha256').update(answer.redirectUrl).digest('hex'),
      };
  }
}

function refuse(deps: ProviderDependencies, deposit: string, reason: string): Placement {
  // Only operators can repair this: our keys, our account.
  const cause = deps.provider.causeOf(reason);
  if (cause === 'configuration' || cause === 'stamp or key') {
    raiseAlarm(deps.log, 'placement_refused_by_configuration', { deposit, statusCode: reason });
  }
  return { kind: 'refused', reason };
}
