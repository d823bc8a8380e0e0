import { describe, expect, it } from 'vitest';
import type { PlacementDependencies } from '../../activities/attempt.ts';
import { placeOrder, settlePlacement } from '../../activities/placement.ts';
import { openAttempt, settleAttempt } from '../../database/queries/placements.ts';
import { isOnGrid } from '../../providers/own-stamps.ts';
import type { PlacementOutcome } from '../../providers/port.ts';
import { answering, PLACED } from '../support/workflows/provider.ts';
import { SECOND, SIGNATURE_ERROR, STORED, inTurn, timestampError, startPlacing } from './placing.ts';

const { db, pool, start, reserved, attemptsOf } = await startPlacing();

/** An attempt that another process made, and whose stamp on the grid was refused. */
async function refusedOnGrid(externalOrderNumber: string): Promise<void> {
  await openAttempt(pool, { externalOrderNumber, n: 1, deadlineMs: 5_000, keyId: 'key', timestampMs: Date.now() });
  await settleAttempt(pool, externalOrderNumber, 1, {
    kind: 'not_sent',
    cause: 'SIGNATURE_ERROR',
    gridRefused: true,
  });
}

describe('placements of one second', () => {
  const WHOLE = Math.floor(Date.now() / 1_000) * 1_000;
  const AT = WHOLE + 100;

  it('share one stamp, which is noted once, and each is placed by one call', async () => {
    const { deps, calls } = start(inTurn(), SECOND, () => AT);
    const numbers = await Promise.all(Array.from({ length: 20 }, () => reserved()));
    const placements = await Promise.all(numbers.map((number) => placeOrder(deps, number)));
    expect(placements.map((placement) => placement.kind)).toEqual(Array(20).fill('placed'));
    expect(calls.map((call) => call.externalOrderNumber).toSorted()).toEqual(numbers.toSorted());
    expect(new Set(calls.map((call) => call.timestampMs))).toEqual(new Set([WHOLE - 263]));
    const noted = await db.owner.query('select timestamp_ms from engine.own_stamp where key_id = $1', ['key']);
    expect(noted.rows).toEqual([{ timestamp_ms: String(WHOLE - 263) }]);
  });

  it('have the milliseconds they were made in where the grid is switched off', async () => {
    const { deps, calls } = start(inTurn(), 0, () => AT + 0.4);
    await placeOrder(deps, await reserved());
    expect(calls.map((call) => call.timestampMs)).toEqual([AT]);
  });
});

describe('a stamp on the grid that the provider refuses', () => {
  it.each([
    ['SIGNATURE_ERROR', () => SIGNATURE_ERROR, []],
    ['TIMESTAMP_ERROR', () => timestampError(), ['placement_clock_skew']],
    ['TIMESTAMP_ERROR without a time', () => timestampError(null), ['placement_clock_skew']],
  ] as const)(
    'with %s is followed by one free millisecond; when that places the order the process leaves the grid, and says so once',
    async (cause, refusal, alarms) => {
      let refusals = 0;
      let tell = (): void => undefined;
      const bothRefused = new Promise<void>((resolve) => (tell = resolve));
      const {
        deps,
        calls,
        onGrid,
        alarms: raised,
      } = start(async (timestampMs) => {
        if (isOnGrid(timestampMs, SECOND)) {
          if ((refusals += 1) === 2) tell();
          return refusal();
        }
        // Neither is placed before both were refused.
        await bothRefused;
        return PLACED;
      });
      const numbers = [await reserved(), await reserved()];
      const both = await Promise.all(numbers.map((number) => placeOrder(deps, number)));
      expect(both.map((placement) => placement.kind)).toEqual(['placed', 'placed']);
      expect(onGrid().filter((is) => is)).toHaveLength(2);
      expect(calls).toHaveLength(4);
      for (const number of numbers) {
        expect(await attemptsOf(number)).toEqual([
          { kind: 'not_sent', cause: cause.split(' ')[0], gridRefused: true },
          expect.objectContaining({ kind: 'placed' }),
        ]);
      }
      expect(raised().toSorted()).toEqual([...alarms, ...alarms, 'stamp_grid_refused']);

      const next = await reserved();
      expect(await placeOrder(deps, next)).toMatchObject({ kind: 'placed' });
      expect(calls.filter((call) => call.externalOrderNumber === next)).toHaveLength(1);
      expect(onGrid().at(-1)).toBe(false);
    },
  );

  it('is nudged when the free millisecond lies on the residue by chance', async () => {
    const onResidue = Math.floor(Date.now() / 1_000) * 1_000 + 737;
    const { deps, calls } = start(
      inTurn(() => SIGNATURE_ERROR),
      SECOND,
      () => onResidue,
    );
    expect(await placeOrder(deps, await reserved())).toMatchObject({ kind: 'placed' });
    expect(calls.map((call) => call.timestampMs)).toEqual([onResidue, onResidue + 1]);
  });

  it('because the provider’s clock is elsewhere is no reason to leave the grid', async () => {
    const { deps, onGrid, alarms } = start(inTurn(() => timestampError(6 * 60_000)));
    expect(await placeOrder(deps, await reserved())).toMatchObject({ kind: 'placed' });
    expect(await placeOrder(deps, await reserved())).toMatchObject({ kind: 'placed' });
    expect(onGrid()).toEqual([true, false, true]);
    expect(alarms()).toEqual(['placement_clock_skew']);
  });

  it('is not to blame when the free millisecond is refused as well: SIGNATURE_ERROR, the alarm, and the grid stays', async () => {
    const { deps, calls, onGrid, alarms } = start(
      inTurn(
        () => SIGNATURE_ERROR,
        () => SIGNATURE_ERROR,
      ),
    );
    const number = await reserved();
    expect(await placeOrder(deps, number)).toEqual({ kind: 'refused', reason: 'SIGNATURE_ERROR' });
    expect(await placeOrder(deps, number)).toEqual({ kind: 'refused', reason: 'SIGNATURE_ERROR' });
    expect(await attemptsOf(number)).toEqual([
      { kind: 'not_sent', cause: 'SIGNATURE_ERROR', gridRefused: true },
      STORED,
    ]);
    expect(calls).toHaveLength(2);
    expect(new Set(alarms())).toEqual(new Set(['placement_refused_by_configuration']));
    await placeOrder(deps, await reserved());
    expect(onGrid()).toEqual([true, false, true]);
  });

  it('is not looked for where there is no grid: one call, and SIGNATURE_ERROR is the refusal', async () => {
    const { deps, calls } = start(
      inTurn(() => SIGNATURE_ERROR),
      0,
    );
    const number = await reserved();
    expect(await placeOrder(deps, number)).toEqual({ kind: 'refused', reason: 'SIGNATURE_ERROR' });
    expect(await attemptsOf(number)).toEqual([STORED]);
    expect(calls).toHaveLength(1);
  });

  it('and whose worker died there is found as SIGNATURE_ERROR with its alarm, closed, and never sent again', async () => {
    const { deps, calls, alarms } = start();
    const externalOrderNumber = await reserved();
    await openAttempt(pool, { externalOrderNumber, n: 1, deadlineMs: 5_000, keyId: 'key', timestampMs: Date.now() });
    const refusal = { kind: 'not_sent', cause: 'SIGNATURE_ERROR', gridRefused: true } as const;
    await settleAttempt(pool, externalOrderNumber, 1, refusal);
    const found = { kind: 'refused', reason: 'SIGNATURE_ERROR' };
    expect(await settlePlacement(deps, externalOrderNumber)).toEqual(found);
    expect(alarms()).toEqual(['placement_refused_by_configuration']);
    expect(await placeOrder(deps, externalOrderNumber)).toEqual(found);
    expect(await attemptsOf(externalOrderNumber)).toEqual([refusal, { kind: 'closed', cause: 'SIGNATURE_ERROR' }]);
    expect(calls).toEqual([]);
  });

  it('and cannot be signed again, because the name is gone by then, is closed as the SIGNATURE_ERROR it is', async () => {
    const { deps, calls, alarms } = start();
    const externalOrderNumber = await reserved();
    await refusedOnGrid(externalOrderNumber);
    await db.owner.query('update engine.deposit set payer_name = null where external_order_number = $1', [
      externalOrderNumber,
    ]);
    expect(await placeOrder(deps, externalOrderNumber)).toEqual({ kind: 'refused', reason: 'SIGNATURE_ERROR' });
    expect(alarms()).toEqual(['placement_refused_by_configuration']);
    expect(calls).toEqual([]);
  });

  it('by one process is remembered by the next one that tries: it signs with the free millisecond and leaves the grid', async () => {
    const { deps, onGrid, alarms } = start();
    const externalOrderNumber = await reserved();
    await refusedOnGrid(externalOrderNumber);
    expect(await placeOrder(deps, externalOrderNumber)).toMatchObject({ kind: 'placed' });
    expect(onGrid()).toEqual([false]);
    expect(alarms()).toEqual(['stamp_grid_refused']);
  });

  it('while another run has given it up as unknown is not signed again', async () => {
    const number = await reserved();
    const { deps, calls } = start();
    const slow: PlacementDependencies = {
      ...deps,
      providers: {
        mtpay: answering(async (request, timestampMs, call) => {
          await deps.providers.mtpay.prepare(request, timestampMs).send(call);
          await settleAttempt(pool, number, 1, { kind: 'unknown', cause: 'no answer by the deadline' });
          return SIGNATURE_ERROR;
        }),
      },
    };
    expect(await placeOrder(slow, number)).toMatchObject({ kind: 'unknown' });
    expect(await placeOrder(slow, number)).toMatchObject({ kind: 'unknown' });
    expect(calls).toHaveLength(1);
  });
});

describe('a refused timestamp', () => {
  it('is signed afresh once, also when the provider could not be reached before', async () => {
    const deadLine = (): PlacementOutcome => ({ kind: 'not_sent', cause: 'ECONNREFUSED' });
    const { deps, calls } = start(inTurn(deadLine, timestampError, timestampError));
    const number = await reserved();
    expect(await placeOrder(deps, number)).toEqual({ kind: 'refused', reason: 'NOT_SENT' });
    expect(calls).toHaveLength(3);
    expect((await attemptsOf(number)).at(-1)).toEqual({ kind: 'closed', cause: 'NOT_SENT' });
  });
});
