import { crashPoint } from '../../telemetry/crash-points.ts';
import { raiseAlarm } from '../../telemetry/log.ts';
import type { Loop } from '../../telemetry/loop.ts';
import { findKeptOrders, findToRaise, findWithoutEffect } from '../../database/queries/callbacks.ts';
import {
  findNotCarriedOut,
  findOpenCases,
  findWithoutCase,
  suspenseWithoutCase,
} from '../../database/queries/cases.ts';
import { findNotPlaced, findOpenDeposits, findToTell, WAITING } from '../../database/queries/deposits.ts';
import { findAnsweredLate } from '../../database/queries/placements.ts';
import { inTransaction } from '../../database/pool.ts';
import { mendCase } from '../open-case.ts';
import { signalCallback, signalAnswered, signalSettled } from '../signal-workflow.ts';
import {
  isOverdue,
  LAG_MS,
  mendDeposit,
  mendWithoutCase,
  type RestoreDependencies,
  tellOverdue,
  wakeOutdated,
} from '../restored.ts';
import { routeKept, UNKNOWN_ORDER_MS } from '../route-callback.ts';
import { type RelayLoops, relayLoops } from './loops.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

/** When the relay looks at what; shorter in tests. */
export interface RelayTimes {
  /** How often it looks. */
  readonly everyMs: number;
  /** An acknowledged row that was never raised. */
  readonly freshMs: number;
  /** A raised row that still has no effect, for the first time; later ones double. */
  readonly againMs: number;
  /** A reservation whose workflow was perhaps never started. */
  readonly unstartedMs: number;
  /** For so long a row and its workflow that contradict each other only lag behind one another; a minute if not given. */
  readonly lagMs?: number;
  /** An acknowledged payment without effect, or an order not placed, that raises an alarm; two minutes if not given. */
  readonly withoutEffectMs?: number;
}

export const RELAY_TIMES: RelayTimes = { everyMs: 1_000, freshMs: 10_000, againMs: 60_000, unstartedMs: 30_000 };
export const WITHOUT_EFFECT_MS = 2 * 60_000;
/** A row that is signaled again and again is signaled this often at last: days of it stay below the server's limits. */
const MAX_AGAIN_MS = 3_600_000;
/** A row that waits so many lags longer than its windows is not waited for any more. */
const OVERDUE_LAGS = 10;
/** What lies in suspense is counted this many lags apart. */
const SUSPENSE_LAGS = 10;

export interface Relay {
  close(): Promise<void>;
}

/**
 * Driven by outcome: whatever is open and has no owner, or an owner that perhaps does not know, is served again, whatever
 * was noted about it. Each step has a loop of its own, so that a slow or failing one stops no other. Every step may run
 * twice, or in several processes at once.
 */
export function startRelay(deps: RestoreDependencies, times: RelayTimes = RELAY_TIMES): Relay {
  const all = { lagMs: LAG_MS, withoutEffectMs: WITHOUT_EFFECT_MS, ...times };
  const ways = relayLoops(deps, all);
  const loops = [
    ...signalAgain(deps, all, ways),
    ...giveOwners(deps, all, ways),
    ...tellPeople(deps, all, ways),
    wakeOutdatedTwice(deps, all, ways),
  ];
  return {
    async close() {
      await Promise.all(loops.map((loop) => loop.close()));
    },
  };
}

/** Rows that their workflow perhaps never heard of. */
function signalAgain(deps: RestoreDependencies, times: Required<RelayTimes>, { serving }: RelayLoops): Loop[] {
  const { pool } = deps;
  const { freshMs, againMs, unstartedMs, lagMs } = times;
  return [
    serving({
      name: 'callbacks',
      page: (after, limit) => findToRaise(pool, { freshMs, againMs, atMostMs: MAX_AGAIN_MS }, after, limit),
      idOf: ({ id }) => id,
      work: async (callback) => {
        await signalCallback(deps, callback);
        crashPoint('relay.afterSignal');
      },
    }),
    serving({
      name: 'reservations',
      page: (after, limit) => findOpenDeposits(pool, ['PLACING'], unstartedMs, after, limit),
      idOf: (deposit) => deposit.externalOrderNumber,
      work: async (deposit) => void (await mendDeposit(deps, deposit, lagMs)),
      againMs,
    }),
    serving({
      name: 'late answers',
      page: (after, limit) => findAnsweredLate(pool, after, limit),
      idOf: (deposit) => deposit.externalOrderNumber,
      work: (deposit) => signalAnswered(deps, deposit),
      againMs,
    }),
    serving({
      name: 'settled deposits',
      page: (after, limit) => findToTell(pool, after, limit),
      idOf: (externalOrderNumber) => externalOrderNumber,
      work: (externalOrderNumber) => signalSettled(deps, externalOrderNumber),
      againMs,
    }),
    serving({
      name: 'unknown orders',
      page: (after, limit) => findKeptOrders(pool, UNKNOWN_ORDER_MS, after, limit),
      idOf: (externalOrderNumber) => externalOrderNumber,
      work: (externalOrderNumber) => settleUnknown(deps, externalOrderNumber),
    }),
  ];
}

/** Open rows whose workflow perhaps does not run, and deposits that wait for people without a case. */
function giveOwners(
  deps: RestoreDependencies,
  { lagMs }: Required<RelayTimes>,
  { serving, lookingAfter }: RelayLoops,
): Loop[] {
  const { pool } = deps;
  const overdueMs = OVERDUE_LAGS * lagMs;
  return [
    lookingAfter(
      {
        name: 'deposits',
        page: (after, limit) => findOpenDeposits(pool, WAITING, 2 * lagMs, after, limit),
        idOf: (deposit) => deposit.externalOrderNumber,
        work: async (deposit) => (await mendDeposit(deps, deposit, lagMs)) || tellOverdue(deps, deposit, overdueMs),
      },
      (deposit) => depositWorkflowId(deposit.externalOrderNumber),
      (deposit) => isOverdue(deposit, overdueMs),
    ),
    lookingAfter(
      {
        name: 'cases',
        page: (after, limit) => findOpenCases(pool, lagMs, after, limit),
        idOf: ({ workflowId }) => workflowId,
        work: (found) => mendCase(deps, found, lagMs),
      },
      ({ heldBy, workflowId }) => heldBy ?? workflowId,
    ),
    serving(
      {
        name: 'deposits without a case',
        page: (after, limit) => findWithoutCase(pool, after, limit),
        idOf: (found) => found.externalOrderNumber,
        work: (found) => mendWithoutCase(deps, found),
        againMs: lagMs,
      },
      lagMs / 6,
    ),
  ];
}

/** What waits too long, though each of its rows may be in order. */
function tellPeople(
  { pool, log }: RestoreDependencies,
  { againMs, lagMs, withoutEffectMs }: Required<RelayTimes>,
  { asking }: RelayLoops,
): Loop[] {
  return [
    asking('payments without effect', async () => {
      const waiting = await findWithoutEffect(pool, withoutEffectMs);
      if (waiting !== null) raiseAlarm(log, 'payment_without_effect', { ...waiting });
      // Without a payment nothing else tells of workers that do not work.
      const notPlaced = await findNotPlaced(pool, withoutEffectMs);
      if (notPlaced !== null) raiseAlarm(log, 'deposit_not_placed', notPlaced);
      const notCarriedOut = await findNotCarriedOut(pool, withoutEffectMs);
      if (notCarriedOut !== null) raiseAlarm(log, 'decision_without_effect', notCarriedOut);
      return [waiting, notPlaced, notCarriedOut].every((found) => found === null) ? withoutEffectMs / 4 : againMs;
    }),
    asking('suspense', async () => {
      const amount = await suspenseWithoutCase(pool);
      if (amount !== '0') raiseAlarm(log, 'suspense_without_case', { amount });
      return SUSPENSE_LAGS * lagMs;
    }),
  ];
}

/** At the start, and once more when nothing lags behind any longer. */
function wakeOutdatedTwice(deps: RestoreDependencies, { lagMs }: Required<RelayTimes>, { asking }: RelayLoops): Loop {
  let rounds = 0;
  return asking('workflows', async (stop) => {
    await wakeOutdated(deps, lagMs, stop);
    rounds += 1;
    return rounds === 1 ? 2 * lagMs : null;
  });
}

/** Kept messages of an order: routed when it has turned up, or given to people after their time. */
async function settleUnknown(deps: RestoreDependencies, externalOrderNumber: string): Promise<void> {
  const routings = await inTransaction(deps.pool, (client) => routeKept(client, externalOrderNumber));
  for (const { signal: row, alarm } of routings)
    if (alarm !== null) raiseAlarm(deps.log, alarm, { deposit: externalOrderNumber, inboxId: row?.id });
  // Acknowledged by now: what fails is raised as every other row is.
  for (const { signal: row } of routings) if (row !== null) await signalCallback(deps, row);
}
