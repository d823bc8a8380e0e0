import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { crashPoint } from '../config/crash.ts';
import type { Keyring } from '../config/keyring.ts';
import type { Secret } from '../config/load.ts';
import { type Log, raiseAlarm } from '../config/log.ts';
import type { PlacementRow } from '../database/deposits.ts';
import { lastAttempt, openAttempt, settleAttempt, type StoredAnswer } from '../database/placements.ts';
import { type CapabilityKey, callbackUrl } from '../mtpay/capability.ts';
import type { ProviderClock } from '../mtpay/clock.ts';
import { openName } from '../mtpay/payer-name.ts';
import type { PaymentProvider, PlacementAnswer } from '../mtpay/place.ts';
import { keyId, type MtpayKey } from '../mtpay/signature.ts';

export interface PlacementDependencies {
  readonly pool: pg.Pool;
  readonly provider: PaymentProvider;
  readonly clock: ProviderClock;
  readonly mtpayKeys: Keyring<MtpayKey>;
  readonly capabilities: Keyring<CapabilityKey>;
  readonly payerNameKeys: Keyring<Secret>;
  readonly callbackBaseUrl: string;
  readonly placeWithinMs: number;
  /** The time the provider has to answer; below the activity's 30 s. */
  readonly callDeadlineMs: number;
  readonly log: Log;
}

/** What the attempts of an order say: an answer, or which attempt may be made next and why the last was not sent. */
export type Standing =
  | { readonly answer: StoredAnswer }
  | { readonly answer: null; readonly next: number; readonly cause: string | null };

const LOOK_AGAIN_MS = 1_000;

/**
 * Reads the newest attempt. An open one belongs to a run that may still be sending: it is waited for until its
 * deadline, and only then settled, as unknown.
 */
export async function standing(deps: PlacementDependencies, externalOrderNumber: string): Promise<Standing> {
  for (;;) {
    const last = await lastAttempt(deps.pool, externalOrderNumber);
    if (last === null) return { answer: null, next: 1, cause: null };
    if (last.outcome === 'not_sent') {
      return { answer: null, next: last.n + 1, cause: last.answer?.kind === 'not_sent' ? last.answer.cause : null };
    }
    // An answer that came after "unknown" is told to the workflow by the relay; what was settled stays settled.
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

/** Attempt n from claim to stored answer; null when another run has claimed it. */
export async function attempt(
  deps: PlacementDependencies,
  deposit: PlacementRow,
  n: number,
  signal: AbortSignal | undefined,
): Promise<StoredAnswer | null> {
  const { externalOrderNumber } = deposit;
  const deadlineMs = deps.callDeadlineMs;
  // Before the attempt is opened: one that cannot be made must not be left open, as if it had been sent.
  const order = request(deps, deposit);
  // Taken out once: the stamp that is noted is the stamp that is sent, whatever becomes of the keys meanwhile.
  const key = deps.mtpayKeys.current;
  const timestampMs = Math.round(await deps.clock.now());
  const claimedMs = performance.now();
  const opened = await openAttempt(deps.pool, {
    externalOrderNumber,
    n,
    deadlineMs,
    keyId: keyId(key),
    timestampMs,
  });
  if (!opened) return null;
  crashPoint('create.beforeSend');
  const sentMs = Date.now();
  const answer = await deps.provider.place(
    order,
    { key, timestampMs },
    {
      deadlineMs,
      // Checked just before sending: past the deadline another run may have settled this attempt.
      maySend: () => performance.now() - claimedMs < deadlineMs,
      ...(signal === undefined ? {} : { signal }),
    },
  );
  crashPoint('create.afterResponse');
  await learnClock(deps, answer, sentMs, externalOrderNumber);
  const stored = await settleAttempt(deps.pool, externalOrderNumber, n, storable(answer));
  crashPoint('create.beforeComplete');
  return stored;
}

function request(deps: PlacementDependencies, deposit: PlacementRow) {
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
