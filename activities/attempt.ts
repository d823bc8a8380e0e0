import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import type { Keyring } from '../config/keys/keyring.ts';
import type { Secret } from '../config/keys/secret.ts';
import { raiseAlarm } from '../telemetry/alarms.ts';
import type { Log } from '../telemetry/log.ts';
import type { PlacementRow } from '../database/queries/deposits.ts';
import { isDatabaseAway } from '../database/pool.ts';
import {
  type Attempt,
  concludeAttempt,
  type Concluded,
  lastAttempt,
  notSent,
  openAttempt,
  settleAttempt,
  type StoredAnswer,
} from '../database/queries/placements.ts';
import { type CapabilityKey, callbackUrl } from '../providers/callback-address.ts';
import type { ProviderClock } from '../providers/clock.ts';
import type { OwnStamps } from '../providers/own-stamps.ts';
import { openName } from '../encoding/payer-name.ts';
import type { PlacementOutcome, PlacementPort, PlacementRequest, RefusalCause } from '../providers/port.ts';
import type { ProviderName } from '../domain/order.ts';

export interface PlacementDependencies {
  readonly pool: pg.Pool;
  readonly providers: { readonly [name in ProviderName]: PlacementPort };
  readonly clock: ProviderClock;
  readonly stamps: OwnStamps;
  readonly capabilities: Keyring<CapabilityKey>;
  readonly payerNameKeys: Keyring<Secret>;
  readonly callbackBaseUrl: string;
  readonly placeWithinMs: number;
  /** The time the provider has to respond; below the activity's 30 s. */
  readonly callDeadlineMs: number;
  readonly log: Log;
}

/** The same with the provider of one deposit. */
export interface ProviderDependencies extends PlacementDependencies {
  readonly provider: PlacementPort;
}

/** The state of an order's attempts: an answer, or the next attempt's number and why the last was not sent. */
export type AttemptState =
  | { readonly answer: StoredAnswer }
  | {
      readonly answer: null;
      readonly next: number;
      readonly cause: string | null;
      readonly refusals: StampRefusals;
    };

/** The number of refused stamps of one order; there is surely no order then. */
interface StampRefusals {
  /** Refused for their time or for their signature. */
  readonly all: number;
  readonly ofClock: number;
  /** One refusal is attributed to the grid. */
  readonly gridRefused: boolean;
}
const NO_STAMP_REFUSED: StampRefusals = { all: 0, ofClock: 0, gridRefused: false };

async function stampRefusals({ pool, provider }: ProviderDependencies, order: string): Promise<StampRefusals> {
  const attempts = await notSent(pool, order);
  const causes = attempts.map(({ cause }) => provider.causeOf(cause));
  return {
    all: causes.filter(isOfStamp).length,
    ofClock: causes.filter((cause) => cause === 'clock').length,
    gridRefused: attempts.some(({ gridRefused }) => gridRefused),
  };
}

/** The stamp was refused, or may have been: a new signature may help, waiting does not. */
export const isOfStamp = (cause: RefusalCause | null): boolean => cause === 'clock' || cause === 'stamp or key';

/** An order that was surely not sent is retried for this long, because the caller waits 8 s for the answer. */
export const RETRY_FOR_MS = 5_000;
export const FIRST_PAUSE_MS = 250;
/** At most so long between two looks at an attempt of another run. */
export const LOOK_AGAIN_MS = 1_000;
/**
 * A clock that is off by this much explains a refused timestamp by itself; by less it does not. The provider's time
 * comes from a header of whole seconds.
 */
const CLOCK_EXPLAINS_MS = 2_000;

/**
 * Reads the newest attempt, unless it was read just now. An open one belongs to a run that may still be sending, so
 * this waits for its deadline and only then settles it as unknown.
 */
export async function attemptState(
  deps: ProviderDependencies,
  externalOrderNumber: string,
  newest?: Attempt | null,
): Promise<AttemptState> {
  for (let known = newest; ; known = undefined) {
    const last = known === undefined ? await lastAttempt(deps.pool, externalOrderNumber) : known;
    if (last === null) return { answer: null, next: 1, cause: null, refusals: NO_STAMP_REFUSED };
    if (last.outcome === 'not_sent') {
      const cause = last.answer?.kind === 'not_sent' ? last.answer.cause : null;
      return { answer: null, next: last.n + 1, cause, refusals: await stampRefusals(deps, externalOrderNumber) };
    }
    // The relay signals an answer that came after "unknown" to the workflow; the settled outcome does not change.
    if (last.outcome === 'unknown' && last.answer?.kind !== 'unknown')
      return { answer: { kind: 'unknown', cause: 'no answer' } };
    if (last.answer !== null) return { answer: last.answer };
    if (last.remainingMs <= 0) {
      const unknown = { kind: 'unknown', cause: 'no answer by the deadline' } as const;
      return { answer: await settleAttempt(deps.pool, externalOrderNumber, last.n, unknown) };
    }
    await sleep(Math.min(last.remainingMs, LOOK_AGAIN_MS));
  }
}

/**
 * Makes attempt n, from claim to stored answer; null when another run has claimed it. After the first refused stamp an
 * order is signed with the free millisecond.
 */
export async function attempt(
  deps: ProviderDependencies,
  deposit: PlacementRow,
  { next: n, refusals }: { readonly next: number; readonly refusals: StampRefusals },
  signal: AbortSignal | undefined,
): Promise<Concluded | null> {
  const { externalOrderNumber } = deposit;
  const deadlineMs = deps.callDeadlineMs;
  // Before the attempt is opened: an attempt that cannot be made must not be left open, because an open one counts as
  // sent.
  const request = requestOf(deps, deposit);
  const { nowMs } = await deps.clock.read();
  const readAt = performance.now();
  const { timestampMs, onGrid } = deps.stamps.choose(nowMs, refusals.all > 0);
  // Signed once: the stored stamp must be the sent stamp, even if keys rotate in between.
  const order = deps.provider.prepare(request, timestampMs);
  const claimedMs = performance.now();
  const opened = await openAttempt(deps.pool, { externalOrderNumber, n, deadlineMs, keyId: order.keyId, timestampMs });
  if (!opened) return null;
  crashPoint('create.beforeSend');
  const sentAt = performance.now();
  const answer = await order.send({
    deadlineMs,
    // Checked just before sending: past the deadline another run may have settled this attempt. After sending this
    // waits for the answer even if the workflow was terminated, because the order may exist and another workflow needs
    // the answer.
    maySend: () => signal?.aborted !== true && performance.now() - claimedMs < deadlineMs,
  });
  crashPoint('create.afterResponse');
  const receivedAt = performance.now();
  const expectedMs = nowMs + (sentAt + receivedAt) / 2 - readAt;
  const kept = storable(deps.provider, answer, onGrid && !clockExplains(answer, expectedMs));
  // The provider does not repeat a response: store it even over a failover, and even if the workflow was terminated.
  const stored = await whileAway(receivedAt, () => concludeAttempt(deps.pool, externalOrderNumber, n, kept));
  await learnClock(deps, answer, { sentAt, receivedAt }, externalOrderNumber);
  if (stored.stands.kind === 'placed' && refusals.gridRefused && deps.stamps.leaveGrid()) {
    raiseAlarm(deps.log, 'stamp_grid_refused', { deposit: externalOrderNumber });
  }
  crashPoint('create.beforeComplete');
  return stored;
}

/** Retries while the database is down, until {@link RETRY_FOR_MS} after `sinceMs` (`performance.now()`). */
async function whileAway<T>(sinceMs: number, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isDatabaseAway(error) || performance.now() - sinceMs > RETRY_FOR_MS) throw error;
      await sleep(FIRST_PAUSE_MS);
    }
  }
}

/** Whether the provider's clock was so far from the expected time that it explains the refusal without the grid. */
function clockExplains(answer: PlacementOutcome, expectedMs: number): boolean {
  const told = answer.kind === 'not_sent' ? (answer.clock?.providerTimeMs ?? null) : null;
  return told !== null && Math.abs(told - expectedMs) > CLOCK_EXPLAINS_MS;
}

function requestOf(deps: PlacementDependencies, deposit: PlacementRow): PlacementRequest {
  if (deposit.payerName === null || deposit.payerNameKey === null) throw new Error('the payer’s name is gone');
  return {
    externalOrderNumber: deposit.externalOrderNumber,
    buyCoinMode: deposit.buyCoinMode,
    amount: (deposit.mtcAmount ?? deposit.totalPrice)!,
    currencyCode: deposit.currencyCode,
    supportLanguage: deposit.supportLanguage,
    payerRealName: openName(deps.payerNameKeys.verifying, deposit.externalOrderNumber, {
      bytes: deposit.payerName,
      keyId: deposit.payerNameKey,
    }),
    callbackUrl: callbackUrl(deps.callbackBaseUrl, deps.capabilities.current, deposit.externalOrderNumber),
  };
}

/** Stores the provider's clock. If the database is down, the next answer brings the time again. */
async function learnClock(
  deps: PlacementDependencies,
  answer: PlacementOutcome,
  { sentAt, receivedAt }: { readonly sentAt: number; readonly receivedAt: number },
  deposit: string,
): Promise<void> {
  const told = answer.kind === 'placed' ? answer : answer.kind === 'not_sent' ? answer.clock : undefined;
  if (told === undefined) return;
  if (answer.kind === 'not_sent') raiseAlarm(deps.log, 'placement_clock_skew', { deposit });
  if (told.providerTimeMs === null) return;
  const { providerTimeMs } = told;
  const learn = () => deps.clock.learn(providerTimeMs, sentAt, receivedAt);
  try {
    // After a refused stamp the next stamp depends on it, so it is retried; a checkout link does not wait for it.
    const believed = await (answer.kind === 'not_sent' ? whileAway(receivedAt, learn) : learn());
    if (!believed) raiseAlarm(deps.log, 'placement_clock_skew', { deposit, believed });
  } catch (error) {
    if (!isDatabaseAway(error)) throw error;
  }
}

/**
 * `suspect`: the stamp was on the grid and no clock explains a refusal. Then a refused signature may mean that the
 * stamp was used before, not that a key is wrong. There is no order either way, so one attempt with the free
 * millisecond follows.
 */
function storable({ causeOf }: PlacementPort, answer: PlacementOutcome, suspect: boolean): StoredAnswer {
  if (answer.kind === 'refused') {
    const { code, message } = answer;
    return suspect && causeOf(code) === 'stamp or key'
      ? { kind: 'not_sent', cause: code, gridRefused: true }
      : { kind: 'refused', statusCode: code, message };
  }
  if (answer.kind !== 'not_sent') return answer;
  const { kind, cause } = answer;
  return { kind, cause, ...(suspect && causeOf(cause) === 'clock' ? { gridRefused: true } : {}) };
}
