import { randomBytes } from 'node:crypto';
import type { PlacementDependencies } from '../../activities/attempt.ts';
import { fixedKeyring } from '../../config/keys/keyring.ts';
import { Secret } from '../../config/keys/secret.ts';
import { reserve } from '../../database/queries/deposits.ts';
import { createOwnStamps, isOnGrid } from '../../providers/own-stamps.ts';
import type { StoredAnswer } from '../../database/queries/placements.ts';
import { capabilityKey } from '../../providers/callback-address.ts';
import type { PlacementOutcome } from '../../providers/port.ts';
import { memoryLog } from '../api/evidence.ts';
import { order, reservation } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { answering, PLACED } from '../support/workflows/provider.ts';

export const SECOND = 1_000;

const secret = () => new Secret(randomBytes(32));

export const refused = (code: 'SIGNATURE_ERROR' | 'PARAMETER_ERROR'): PlacementOutcome => ({
  kind: 'refused',
  code,
  message: 'no',
});
export const SIGNATURE_ERROR = refused('SIGNATURE_ERROR');
export const STORED = { kind: 'refused', statusCode: 'SIGNATURE_ERROR', message: 'no' };
export const UNKNOWN: PlacementOutcome = { kind: 'unknown', cause: 'HTTP 502' };
/** `offMs`: the offset of the provider's clock from ours, by a header of whole seconds; null: there is no header. */
export const timestampError = (offMs: number | null = 0): PlacementOutcome => ({
  kind: 'not_sent',
  cause: 'TIMESTAMP_ERROR',
  clock: { providerTimeMs: offMs === null ? null : Math.floor((Date.now() + offMs) / SECOND) * SECOND },
});

interface Call {
  readonly externalOrderNumber: string;
  readonly timestampMs: number;
}

type Provider = (timestampMs: number) => PlacementOutcome | Promise<PlacementOutcome>;
/** Returns these results in turn, then accepts every order. */
export function inTurn(...answers: readonly (() => PlacementOutcome)[]): Provider {
  const left = [...answers];
  return () => (left.shift() ?? (() => PLACED))();
}

/** Orders to be placed in a database of the file's own, by workers whose provider is a function. */
export async function startPlacing() {
  const db = await createTestDatabase();
  const pool = db.poolFor('app_worker');
  const payerNameKey = secret();

  /** A worker's process and its provider. */
  function start(provider: Provider = inTurn(), gridMs = SECOND, nowMs: () => number = Date.now) {
    const calls: Call[] = [];
    const log = memoryLog();
    const deps: PlacementDependencies = {
      pool,
      providers: {
        mtpay: answering(async ({ externalOrderNumber }, timestampMs) => {
          calls.push({ externalOrderNumber, timestampMs });
          return provider(timestampMs);
        }),
      },
      clock: { read: () => Promise.resolve({ nowMs: nowMs(), skewMs: 0 }), learn: () => Promise.resolve(true) },
      stamps: createOwnStamps(gridMs),
      capabilities: fixedKeyring(capabilityKey(secret())),
      payerNameKeys: fixedKeyring(payerNameKey),
      callbackBaseUrl: 'http://127.0.0.1:1',
      placeWithinMs: 120_000,
      callDeadlineMs: 5_000,
      log: log.log,
    };
    const onGrid = () => calls.map((call) => isOnGrid(call.timestampMs, SECOND));
    const alarms = () => log.lines.map((line) => (JSON.parse(line) as { alarm: string }).alarm);
    return { deps, calls, onGrid, alarms };
  }

  async function reserved(): Promise<string> {
    const asked = order();
    await reserve(db.owner, reservation(asked, {}, payerNameKey));
    return asked.externalOrderNumber;
  }

  async function attemptsOf(number: string): Promise<StoredAnswer[]> {
    const { rows } = await db.owner.query<{ answer: StoredAnswer }>(
      'select answer from engine.placement_attempt where external_order_number = $1 order by n',
      [number],
    );
    return rows.map((row) => row.answer);
  }

  return { db, pool, start, reserved, attemptsOf };
}
