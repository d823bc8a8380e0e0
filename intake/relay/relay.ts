import { crashPoint } from '../../telemetry/crash-points.ts';
import { raiseAlarm } from '../../telemetry/alarms.ts';
import type { Loop } from '../../telemetry/background-loop.ts';
import {
  findAnsweredLate,
  findKeptOrders,
  findNotCarriedOut,
  findNotPlaced,
  findOpenCases,
  findOpenDeposits,
  findToRaise,
  findToTell,
  findWithoutCase,
  findWithoutEffect,
  findWithoutWallet,
  nameWallet,
  suspenseWithoutCase,
  WAITING,
} from '../../database/queries/due-rows.ts';
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

/** The intervals and ages that the relay works by, in ms; shorter in tests. */
export interface RelayTimes {
  /** The poll interval. */
  readonly everyMs: number;
  /** The age of an acknowledged row that was never raised. */
  readonly freshMs: number;
  /** The time since a row without an outcome was raised, for the first time; later ones double. */
  readonly againMs: number;
  /** The age of a reservation whose workflow was perhaps never started. */
  readonly unstartedMs: number;
  /**
   * A row and its workflow may contradict each other for this long: one only lags behind the other. Default: a minute.
   */
  readonly lagMs?: number;
  /**
   * The age of an acknowledged payment without an outcome, or of an unplaced order, that raises an alarm. Default: two
   * minutes.
   */
  readonly withoutEffectMs?: number;
}

export const RELAY_TIMES: RelayTimes = { everyMs: 1_000, freshMs: 10_000, againMs: 60_000, unstartedMs: 30_000 };
export const WITHOUT_EFFECT_MS = 2 * 60_000;
/** The longest interval between two signals about one row: days of them stay below the server's limits. */
const MAX_AGAIN_MS = 3_600_000;
/** A row that waits this many lags longer than its windows is overdue. */
const OVERDUE_LAGS = 10;
/** The suspense account is compared with the open cases this many lags apart. */
const SUSPENSE_LAGS = 10;

export interface Relay {
  close(): Promise<void>;
}

/**
 * Driven by outcome: an open row is served again while it has no owner, or an owner that was perhaps not notified,
 * whatever is stored about earlier tries. Each step has a loop of its own, so that a slow or failing one stops no
 * other. Idempotent; several processes may run it.
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

/** Rows that their workflow was perhaps never signaled about. */
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

/** Open rows whose workflow perhaps does not run, and deposits that need a decision and have no case. */
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
    serving(
      {
        name: 'cases without a wallet',
        page: (after, limit) => findWithoutWallet(pool, after, limit),
        idOf: (workflowId) => workflowId,
        work: (workflowId) => nameWallet(pool, workflowId),
      },
      lagMs,
    ),
  ];
}

/** Raises alarms about work that waits too long, although each of its rows may be in order. */
function tellPeople(
  { pool, log }: RestoreDependencies,
  { againMs, lagMs, withoutEffectMs }: Required<RelayTimes>,
  { asking }: RelayLoops,
): Loop[] {
  return [
    asking('payments without effect', async () => {
      const waiting = await findWithoutEffect(pool, withoutEffectMs);
      if (waiting !== null) raiseAlarm(log, 'payment_without_effect', { ...waiting });
      // While no payment comes, nothing else shows that no worker works.
      const notPlaced = await findNotPlaced(pool, withoutEffectMs);
      if (notPlaced !== null) raiseAlarm(log, 'deposit_not_placed', { ...notPlaced });
      const notCarriedOut = await findNotCarriedOut(pool, withoutEffectMs);
      if (notCarriedOut !== null) raiseAlarm(log, 'decision_without_effect', { ...notCarriedOut });
      return [waiting, notPlaced, notCarriedOut].every((found) => found === null) ? withoutEffectMs / 4 : againMs;
    }),
    asking('suspense', async () => {
      const amount = await suspenseWithoutCase(pool);
      if (amount !== '0') raiseAlarm(log, 'suspense_without_case', { amount });
      return SUSPENSE_LAGS * lagMs;
    }),
  ];
}

/** Runs at the start, and once more when nothing lags behind any longer. */
function wakeOutdatedTwice(deps: RestoreDependencies, { lagMs }: Required<RelayTimes>, { asking }: RelayLoops): Loop {
  let rounds = 0;
  return asking('workflows', async (stop) => {
    await wakeOutdated(deps, lagMs, stop);
    rounds += 1;
    return rounds === 1 ? 2 * lagMs : null;
  });
}

/** Routes the stored messages of an order that has turned up, or makes them cases after their time. */
async function settleUnknown(deps: RestoreDependencies, externalOrderNumber: string): Promise<void> {
  const routings = await inTransaction(deps.pool, (client) => routeKept(client, externalOrderNumber));
  for (const { signal: row, alarm } of routings)
    if (alarm !== null) raiseAlarm(deps.log, alarm, { deposit: externalOrderNumber, inboxId: row?.id });
  // The rows are acknowledged by now: if a signal fails, they are raised as every other row is.
  for (const { signal: row } of routings) if (row !== null) await signalCallback(deps, row);
}
