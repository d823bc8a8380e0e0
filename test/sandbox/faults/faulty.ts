import { afterEach, expect } from 'vitest';
import { FAULT_CATALOGUE, type FaultCatalogueEntry } from '../../../sandbox/faults/faults.ts';
import {
  control,
  fault,
  newNumber,
  openSandbox,
  orders,
  placementBody,
  type Placed,
  send,
  SUCCESS,
} from '../support.ts';

/** A quick sandbox for faults, one test after the other, and a record of the tried ones. */
export async function startFaulty() {
  const { sandbox, merchant } = await openSandbox({ SANDBOX_SPEED: '100000' });
  const tried = new Set<string>();

  afterEach(async () => {
    merchant.answer = () => SUCCESS;
    await control(sandbox, 'DELETE', '/faults');
    await control(sandbox, 'PUT', '/settings', { speed: null });
  });

  /** Aims a fault at one order. */
  async function faulty(number: string, kind: string, params: object = {}, remaining: number | null = 1) {
    tried.add(kind);
    return fault(sandbox, number, kind, params, remaining);
  }

  /** Places an order under one fault. `placed` is null if the connection broke. */
  async function placeUnder(
    kind: string,
    params: object = {},
  ): Promise<{ placed: Placed | null; number: string; made: boolean }> {
    const number = newNumber();
    await faulty(number, kind, params);
    const body = placementBody(merchant, { externalOrderNumber: `"${number}"` });
    const placed = await send(sandbox, body).catch(() => null);
    return { placed, number, made: (await orders(sandbox, number)).length === 1 };
  }

  /** Every kind of fault of these moments was tried by the tests before. */
  function expectTried(...moments: readonly FaultCatalogueEntry['moment'][]): void {
    const kinds = FAULT_CATALOGUE.filter(({ moment }) => moments.includes(moment)).map(({ kind }) => kind);
    expect(kinds).not.toEqual([]);
    expect(kinds.filter((kind) => !tried.has(kind))).toEqual([]);
  }

  return { sandbox, merchant, faulty, placeUnder, expectTried };
}
