import { describe, expect, test } from 'vitest';
import { FAULT_CATALOGUE, FAULT_KINDS } from '../../../sandbox/faults/faults.ts';
import { startFaulty } from './faulty.ts';
import { control, logOf, newNumber, place, placementBody, send } from '../support.ts';

const { sandbox, merchant, faulty, placeUnder } = await startFaulty();

describe('a fault', () => {
  test('acts as often as it is counted, however many ask at once', async () => {
    await faulty('global', 'frozen', {}, 3);
    const answers = await Promise.all(Array.from({ length: 12 }, () => send(sandbox, placementBody(merchant))));
    expect(answers.filter((answer) => answer.statusCode === 'ACCOUNT_STATUS_ERROR')).toHaveLength(3);
    expect(answers.filter((answer) => answer.statusCode === 'SUCCESS')).toHaveLength(9);
  });

  test('without a count acts until it is removed', async () => {
    const id = await faulty('global', 'frozen', {}, null);
    for (const _ of [1, 2, 3])
      expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('ACCOUNT_STATUS_ERROR');
    expect((await control(sandbox, 'DELETE', `/faults/${id}`)).body).toEqual({ removed: 1 });
    expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('SUCCESS');
  });

  test('aimed at one order leaves all others alone', async () => {
    const number = newNumber();
    await faulty(number, 'frozen');
    expect((await send(sandbox, placementBody(merchant))).statusCode).toBe('SUCCESS');
    await expect(place(sandbox, merchant, number)).rejects.toThrow('ACCOUNT_STATUS_ERROR');
  });

  test('is in the log each time it acted', async () => {
    const { number } = await placeUnder('empty');
    const applied = (await logOf(sandbox, number)).filter((event) => event.kind === 'fault.applied');
    expect(applied).toMatchObject([{ detail: { kind: 'empty' } }]);
  });

  test('of an unknown kind, with unknown parameters or parameters that do not fit is refused', async () => {
    for (const body of [
      { kind: 'toString' },
      { kind: 'status' },
      { kind: 'slow', params: { ms: -1 } },
      { kind: 'cut', params: { x: 1 } },
    ]) {
      const { status, body: answer } = await control(sandbox, 'POST', '/faults', body);
      expect([status, typeof answer.error]).toEqual([400, 'string']);
    }
    expect((await control(sandbox, 'GET', '/faults')).body.faults).toEqual([]);
  });
});

test('the catalogue lists every kind with a sentence and parameters a form can be made of', async () => {
  expect(FAULT_CATALOGUE.map((entry) => entry.kind).toSorted()).toEqual([...FAULT_KINDS].toSorted());
  for (const { description, params } of FAULT_CATALOGUE) {
    expect(description).toMatch(/^\p{Lu}.*\.$/u);
    expect(params).toMatchObject({ type: 'object', additionalProperties: false });
  }
  expect((await control(sandbox, 'GET', '/faults')).body.catalogue).toEqual(
    JSON.parse(JSON.stringify(FAULT_CATALOGUE)),
  );
});
