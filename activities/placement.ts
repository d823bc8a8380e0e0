import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { crashPoint } from '../config/crash.ts';
import type { Secret } from '../config/load.ts';
import { type Log, raiseAlarm } from '../config/log.ts';
import { findForPlacement, findDeposit, type PlacementRow } from '../database/deposits.ts';
import {
  type Attempt,
  closeAttempts,
  lastAttempt,
  openAttempt,
  settleAttempt,
  type StoredAnswer,
} from '../database/placements.ts';
import { type CapabilityKey, callbackUrl } from '../mtpay/capability.ts';
import type { ProviderClock } from '../mtpay/clock.ts';
import { openName } from '../mtpay/payer-name.ts';
import type { PaymentProvider, PlacementAnswer } from '../mtpay/place.ts';
import { keyId, type MtpayKey } from '../mtpay/signature.ts';

/** What the workflow learns of a placement. `reason`: the provider's statusCode, NOT_SENT or TOO_LATE. */
export type Placement =
  | { readonly kind: 'placed'; readonly advertisementCode: string; readonly expiresAt: string }
  | { readonly kind: 'unknown'; readonly expiresAt: string }
  | { readonly kind: 'refused'; readonly reason: string };

export interface PlacementDependencies {
  readonly pool: pg.Pool;
  readonly provider: PaymentProvider;
  readonly clock: ProviderClock;
  readonly mtpayKey: MtpayKey;
  readonly capability: CapabilityKey;
  readonly payerNameKey: Secret;
  readonly callbackBaseUrl: string;
  readonly placeWithinMs: number;
  /** The time the provider has to answer; below the activity's 30 s. */
  readonly callDeadlineMs: number;
  readonly log: Log;
}

/** Surely-not-sent is tried again this long and no longer: the caller waits 8 s for the answer. */
const RETRY_FOR_MS = 5_000;
const FIRST_PAUSE_MS = 250;

/**
 * Places the order at the provider, at most once whatever crashes or overlaps: an attempt is a committed row before
 * anything is sent, the next attempt exists only after the last is recorded as surely not sent, and an attempt without
 * an answer means unknown, never a second call (lifecycle.md, step 2). Throws only when the database is away.
 */
export async function placeOrder(
  deps: PlacementDependencies,
  externalOrderNumber: string,
  signal?: AbortSignal,
): Promise<Placement> {
  const startedMs = performance.now();
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
    const deposit = await findForPlacement(deps.pool, externalOrderNumber);
    if (deposit === null) throw new Error(`no deposit ${externalOrderNumber}`);
    const last = await lastAttempt(deps.pool, externalOrderNumber);
    if (last !== null && last.outcome !== 'not_sent') {
      return conclude(deps, externalOrderNumber, await settled(deps, externalOrderNumber, last));
    }
    const n = (last?.n ?? 0) + 1;
    const mayRetry = performance.now() - startedMs < RETRY_FOR_MS;
    if (last !== null && !mayRetry) {
      await closeAttempts(deps.pool, externalOrderNumber, n, 'NOT_SENT');
      continue;
    }
    if (last === null && deposit.ageMs > deps.placeWithinMs) {
      await closeAttempts(deps.pool, externalOrderNumber, n, 'TOO_LATE');
      continue;
    }
    const answer = await attempt(deps, deposit, n, signal);
    if (answer === null) continue;
    if (answer.kind !== 'not_sent') return conclude(deps, externalOrderNumber, answer);
    // A refused timestamp is signed afresh at once, and only once; a dead line gets a pause.
    if (answer.cause !== 'TIMESTAMP_ERROR') await sleep(pauseMs, undefined, signal === undefined ? {} : { signal });
    else if (n > 1) await closeAttempts(deps.pool, externalOrderNumber, n + 1, 'NOT_SENT');
  }
}

/**
 * Finds out what became of a placement that placeOrder could not report: nothing tried or surely nothing sent → closed,
 * so that a late run cannot send; open → waits for its deadline, then unknown; answered → that answer.
 */
export async function settlePlacement(deps: PlacementDependencies, externalOrderNumber: string): Promise<Placement> {
  for (;;) {
    const last = await lastAttempt(deps.pool, externalOrderNumber);
    if (last !== null && last.outcome !== 'not_sent') {
      return conclude(deps, externalOrderNumber, await settled(deps, externalOrderNumber, last));
    }
    await closeAttempts(deps.pool, externalOrderNumber, (last?.n ?? 0) + 1, 'NOT_SENT');
  }
}

/** Attempt n from claim to stored answer; null when another run has claimed it. */
async function attempt(
  deps: PlacementDependencies,
  deposit: PlacementRow,
  n: number,
  signal: AbortSignal | undefined,
): Promise<StoredAnswer | null> {
  const { externalOrderNumber } = deposit;
  const deadlineMs = deps.callDeadlineMs;
  const timestampMs = Math.round(await deps.clock.now());
  const claimedMs = performance.now();
  const opened = await openAttempt(deps.pool, {
    externalOrderNumber,
    n,
    deadlineMs,
    keyId: keyId(deps.mtpayKey),
    timestampMs,
  });
  if (!opened) return null;
  crashPoint('create.beforeSend');
  const sentMs = Date.now();
  const answer = await deps.provider.place(request(deps, deposit), timestampMs, {
    deadlineMs,
    // Checked just before sending: past the deadline another run may have settled this attempt.
    maySend: () => performance.now() - claimedMs < deadlineMs,
    ...(signal === undefined ? {} : { signal }),
  });
  crashPoint('create.afterResponse');
  await learnClock(deps, answer, sentMs, externalOrderNumber);
  const stored = await settleAttempt(deps.pool, externalOrderNumber, n, storable(answer));
  crashPoint('create.beforeComplete');
  return stored;
}

/** An open attempt belongs to a run that may still be sending: only after its deadline is it settled, as unknown. */
async function settled(deps: PlacementDependencies, externalOrderNumber: string, last: Attempt): Promise<StoredAnswer> {
  if (last.answer !== null) return last.outcome === 'unknown' ? { kind: 'unknown', cause: 'no answer' } : last.answer;
  while (Math.max(0, last.remainingMs) > 0) {
    await sleep(Math.min(last.remainingMs, 1_000));
    const again = await lastAttempt(deps.pool, externalOrderNumber);
    if (again === null || again.outcome !== null || again.n !== last.n) return settledAgain(deps, externalOrderNumber);
    last = again;
  }
  return settleAttempt(deps.pool, externalOrderNumber, last.n, { kind: 'unknown', cause: 'no answer by the deadline' });
}

async function settledAgain(deps: PlacementDependencies, externalOrderNumber: string): Promise<StoredAnswer> {
  const last = await lastAttempt(deps.pool, externalOrderNumber);
  return last === null ? { kind: 'closed', cause: 'NOT_SENT' } : settled(deps, externalOrderNumber, last);
}

function request(deps: PlacementDependencies, deposit: PlacementRow) {
  if (deposit.payerName === null || deposit.payerNameKey === null) throw new Error('the payer’s name is gone');
  return {
    externalOrderNumber: deposit.externalOrderNumber,
    buyCoinMode: deposit.buyCoinMode,
    amount: (deposit.mtcAmount ?? deposit.totalPrice)!,
    currencyCode: deposit.currencyCode,
    supportLanguage: deposit.supportLanguage,
    payerRealName: openName(deps.payerNameKey, deposit.externalOrderNumber, {
      bytes: deposit.payerName,
      keyId: deposit.payerNameKey,
    }),
    callbackUrl: callbackUrl(deps.callbackBaseUrl, deps.capability, deposit.externalOrderNumber),
  };
}

async function learnClock(
  deps: PlacementDependencies,
  answer: PlacementAnswer,
  sentMs: number,
  deposit: string,
): Promise<void> {
  const told = answer.kind === 'placed' ? answer : answer.kind === 'not_sent' ? answer.clock : undefined;
  if (told === undefined) return;
  if (answer.kind === 'not_sent') raiseAlarm(deps.log, 'placement_clock_skew', { deposit });
  if (told.providerTimeMs === null) return;
  const believed = await deps.clock.learn(told.providerTimeMs, sentMs, Date.now());
  if (!believed) raiseAlarm(deps.log, 'placement_clock_skew', { deposit, believed });
}

function storable(answer: PlacementAnswer): StoredAnswer {
  return answer.kind === 'not_sent' ? { kind: 'not_sent', cause: answer.cause } : answer;
}

/** Refusals that only a person can mend: our keys, our account. */
const OUR_FAULT = ['SIGNATURE_ERROR', 'ACCESS_KEY_ERROR', 'ACCOUNT_STATUS_ERROR'];

async function conclude(
  deps: PlacementDependencies,
  externalOrderNumber: string,
  answer: StoredAnswer,
): Promise<Placement> {
  switch (answer.kind) {
    case 'refused':
      if (OUR_FAULT.includes(answer.statusCode)) {
        raiseAlarm(deps.log, 'placement_refused_by_configuration', {
          deposit: externalOrderNumber,
          statusCode: answer.statusCode,
        });
      }
      return { kind: 'refused', reason: answer.statusCode };
    case 'closed':
      return { kind: 'refused', reason: answer.cause };
    case 'not_sent':
      return { kind: 'refused', reason: 'NOT_SENT' };
    case 'unknown':
      raiseAlarm(deps.log, answer.cause === 'FOREIGN_REDIRECT' ? 'foreign_redirect' : 'placement_unknown', {
        deposit: externalOrderNumber,
        cause: answer.cause,
      });
      return { kind: 'unknown', expiresAt: await expiry(deps, externalOrderNumber) };
    case 'placed':
      return {
        kind: 'placed',
        advertisementCode: answer.advertisementCode,
        expiresAt: await expiry(deps, externalOrderNumber),
      };
  }
}

async function expiry(deps: PlacementDependencies, externalOrderNumber: string): Promise<string> {
  const deposit = await findDeposit(deps.pool, externalOrderNumber);
  if (deposit?.expiresAt === null || deposit === null)
    throw new Error(`deposit ${externalOrderNumber} has no payment window`);
  return deposit.expiresAt.toISOString();
}
