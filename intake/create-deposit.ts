import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Client } from '@temporalio/client';
import type pg from 'pg';
import { crashPoint } from '../telemetry/crash-points.ts';
import type { Keyring } from '../config/keys/keyring.ts';
import type { Secret } from '../config/keys/secret.ts';
import type { Log } from '../telemetry/log.ts';
import { type DepositView, findDeposit, reserve, viewDeposit } from '../database/queries/deposits.ts';
import type { DepositRow } from '../database/queries/rows.ts';
import type { DepositSettings } from '../domain/order.ts';
import { orderFault } from '../domain/order-limits.ts';
import { sealName } from '../encoding/payer-name.ts';
import { refusalOf, RequestRefused } from './refusal.ts';
import type { LimitPerKey } from './admission-control.ts';
import type { Sealer } from '../config/keys/inbox-seal.ts';
import { LAG_MS, mendDeposit } from './restored.ts';
import type { CreateBody } from '../contract/requests.ts';
import type { PlacementWaiter } from './placement-waiter.ts';
import { startDeposit } from './start-workflow.ts';

export interface CreateDependencies {
  readonly pool: pg.Pool;
  readonly client: Client;
  readonly settled: PlacementWaiter;
  readonly settings: DepositSettings;
  readonly fingerprintKeys: Keyring<Secret>;
  readonly payerNameKeys: Keyring<Secret>;
  /** By order number, case or posting: repeats of one take no connections from the others. */
  readonly limitPerKey: LimitPerKey;
  /** Seals the inbox row that holds what a history reports, when a workflow has ended. */
  readonly seal: Sealer;
  readonly log: Log;
}

/** How long a create waits for its checkout link before it returns `waits`, in ms; the provider may take longer. */
const ANSWER_WITHIN_MS = 8_000;

/** `made`: by this request; `repeated`: it existed already; `waits`: its placement is not settled yet. */
export type CreateResult = { readonly kind: 'made' | 'repeated' | 'waits'; readonly deposit: DepositView };

/**
 * Creates a deposit, or returns the one that exists; idempotent (docs/reference/lifecycle.md, L1). The row is the
 * reservation and the permanent guard: it answers every repeat, long after the workflow is gone. Throws
 * {@link RequestRefused}:
 * - `invalid_request`: a payment of this order could not be booked;
 * - `other_parameters`: the order number exists with other parameters;
 * - `refused`: the order was refused;
 * - `unavailable`: retry the same request.
 */
export async function createDeposit(deps: CreateDependencies, body: CreateBody): Promise<CreateResult> {
  const { externalOrderNumber } = body;
  await refuseUnbookable(deps, body);
  // Read the keys once, before the row is written: the row's key must be among those that it is compared under.
  const fingerprints = deps.fingerprintKeys.verifying.map((key) => fingerprintOf(key, body));
  const made = await deps.limitPerKey(externalOrderNumber, () => reserveRow(deps, body, fingerprints[0]!));
  crashPoint('api.afterReserve');
  const row = made ?? (await existing(deps, externalOrderNumber));
  if (!fingerprints.some((fingerprint) => timingSafeEqual(row.fingerprint, fingerprint))) {
    throw new RequestRefused(
      'other_parameters',
      `deposit ${externalOrderNumber} was created with other parameters; nothing was changed`,
    );
  }
  const deposit =
    row.state === 'PLACING'
      ? await startAndWait(deps, row, made !== null)
      : await viewDeposit(deps.pool, externalOrderNumber);
  crashPoint('api.beforeReply');
  return answer(deposit!, made !== null);
}

function answer(deposit: DepositView, first: boolean): CreateResult {
  switch (deposit.state) {
    case 'PLACEMENT_REFUSED': {
      const { code, message } = refusalOf(deposit)!;
      throw new RequestRefused('refused', message, { shownCode: code });
    }
    case 'PLACING':
    case 'PLACEMENT_UNKNOWN':
      return { kind: 'waits', deposit };
    default:
      return { kind: first ? 'made' : 'repeated', deposit };
  }
}

/**
 * Throws `invalid_request` when the rate band that would be frozen into the deposit allows no such order. Nothing is
 * stored by then. An order number that exists is answered from its row, whatever the band is today.
 */
async function refuseUnbookable({ settings, pool }: CreateDependencies, body: CreateBody): Promise<void> {
  const asked = { ...body, mtcAmount: body.mtcAmount ?? null, totalPrice: body.totalPrice ?? null };
  const fault = orderFault(settings, asked);
  if (fault === null || (await findDeposit(pool, body.externalOrderNumber)) !== null) return;
  const { field, message } = fault;
  throw new RequestRefused('invalid_request', `${field}: ${message}`, { faults: [{ field, message }] });
}

async function reserveRow(deps: CreateDependencies, body: CreateBody, fingerprint: Buffer) {
  const sealed = sealName(deps.payerNameKeys.current, body.externalOrderNumber, body.payerRealName);
  return reserve(deps.pool, {
    externalOrderNumber: body.externalOrderNumber,
    wallet: body.wallet,
    buyCoinMode: body.buyCoinMode,
    mtcAmount: body.mtcAmount ?? null,
    totalPrice: body.totalPrice ?? null,
    currencyCode: body.currencyCode,
    supportLanguage: body.supportLanguage,
    payerName: sealed.bytes,
    payerNameKey: sealed.keyId,
    fingerprint,
    settings: deps.settings,
  });
}

async function existing(deps: CreateDependencies, externalOrderNumber: string): Promise<DepositRow> {
  const row = await findDeposit(deps.pool, externalOrderNumber);
  if (row === null) throw new Error(`deposit ${externalOrderNumber} was reserved and is gone`);
  return row;
}

/**
 * Starts the workflow if it is not running, then waits until its placement is settled, within {@link ANSWER_WITHIN_MS}.
 * Returns the deposit as it is then.
 */
async function startAndWait(deps: CreateDependencies, row: DepositRow, isNew: boolean): Promise<DepositView | null> {
  const { externalOrderNumber } = row;
  let deposit: DepositView | null = null;
  const isSettled = async () => {
    deposit = await viewDeposit(deps.pool, externalOrderNumber);
    return deposit?.state !== 'PLACING';
  };
  const begin = async () => {
    const isRunning = await start(deps, row);
    crashPoint('api.afterWorkflowStart');
    return isNew && isRunning ? 'not yet' : 'perhaps';
  };
  await deps.settled.wait(externalOrderNumber, begin, isSettled, ANSWER_WITHIN_MS);
  return deposit;
}

/** Returns false when the workflow had ended; the row may have changed by now. */
async function start(deps: CreateDependencies, row: DepositRow): Promise<boolean> {
  try {
    // An ended workflow owns nothing. Give the row an owner, so that the caller can rely on a retry.
    const isRunning = await startDeposit(deps.client, row);
    if (!isRunning) await mendDeposit(deps, row, LAG_MS);
    return isRunning;
  } catch (error) {
    deps.log.warn(
      { deposit: row.externalOrderNumber, error: (error as Error).name },
      'Temporal did not take the start',
    );
    const detail = 'the deposit is reserved and its order may not be placed yet; the same request may be repeated';
    throw new RequestRefused('unavailable', detail, { cause: error });
  }
}

/** A keyed hash, because a plain one would let a reader of the database guess names. */
function fingerprintOf(key: Secret, body: CreateBody): Buffer {
  const canonical = JSON.stringify([
    body.externalOrderNumber,
    body.wallet,
    body.buyCoinMode,
    body.mtcAmount ?? null,
    body.totalPrice ?? null,
    body.currencyCode,
    body.supportLanguage,
    body.payerRealName,
  ]);
  return createHmac('sha256', key.reveal()).update(canonical, 'utf8').digest();
}
