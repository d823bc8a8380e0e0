import { describe, expect, test } from 'vitest';
import { FAULT_CATALOGUE } from '../../../sandbox/faults/faults.ts';
import { fieldsOf, formsTo, startConsole } from './client.ts';
import {
  control,
  eventually,
  newNumber,
  orders,
  pay,
  place,
  placementBody,
  send,
  settled,
  SUCCESS,
} from '../support.ts';

/** Orders that are changed by hand. */
const { client, idOf, inDatabase, merchant, sandbox } = await startConsole();

describe('orders', () => {
  test('are found by number, payer and transaction code, and told apart by state', async () => {
    const [one, two] = [await place(sandbox, merchant), newNumber()];
    await send(
      sandbox,
      placementBody(merchant, { externalOrderNumber: `"${two}"`, payerRealName: '"Zhang 100%_\\\\ San"' }),
    );
    await pay(sandbox, one);
    const code = (await orders(sandbox, one))[0]!.transactions[0]!.transactionCode;
    const found = async (query: string): Promise<boolean[]> => {
      const { text } = await client.get(`/console/orders?${query}`);
      return [text.includes(one), text.includes(two)];
    };
    expect(await found(`q=${one.toUpperCase()}`)).toEqual([true, false]);
    expect(await found(`q=${encodeURIComponent('100%_\\')}`)).toEqual([false, true]);
    expect(await found(`q=${code}`)).toEqual([true, false]);
    expect(await found('q=100__')).toEqual([false, false]);
    expect(await found('state=WAITING')).toEqual([false, true]);
    expect(await found('state=nonsense&before=x&q=%00')).toEqual([true, true]);
  });

  test('are paid, released and paid twice by hand, and the timeline tells it', async () => {
    const number = await place(sandbox, merchant);
    const path = `/console/orders/${await idOf(number)}`;
    expect((await client.post(`${path}/release`)).status).toBe(409);
    expect((await client.post(`${path}/pay`)).headers.get('location')).toBe(`${path}?done=paid`);
    expect((await client.post(`${path}/cancel`)).status).toBe(409);
    // Only the button releases it, although no delay is set: a due order is released, and this one is not.
    const due = await place(sandbox, merchant);
    await client.post(`/console/orders/${await idOf(due)}/pay`);
    await inDatabase(`UPDATE sandbox.buy_order SET release_at = now() WHERE external_order_number = '${due}'`);
    await eventually(async () => ((await orders(sandbox, due))[0]!.state === 'PAID' ? undefined : true));
    expect((await orders(sandbox, number))[0]!.state).toBe('PAID');
    await client.post(`${path}/release`);
    await settled(sandbox, number);
    await client.post(`${path}/pay-again`);
    expect(await merchant.received(number, 2)).toHaveLength(2);
    await settled(sandbox, number);
    const { text } = await client.get(path);
    const steps = [
      'A placement was received',
      'The order was made',
      'The customer has paid',
      'The seller has released',
    ];
    const places = steps.map((step) => text.indexOf(step));
    expect(places.every((at, index) => at > (places[index - 1] ?? 0))).toBe(true);
    expect(text.match(/acknowledged at first delivery/g)).toHaveLength(2);
  });

  test('are cancelled by hand, and paid late once they have expired', async () => {
    const cancelled = await place(sandbox, merchant);
    await client.post(`/console/orders/${await idOf(cancelled)}/cancel`);
    expect((await orders(sandbox, cancelled))[0]!.state).toBe('CANCELLED');
    await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: 1 });
    const late = await place(sandbox, merchant);
    await control(sandbox, 'PUT', '/settings', { orderLifetimeMs: null });
    await eventually(async () => ((await orders(sandbox, late))[0]!.state === 'EXPIRED' ? true : undefined));
    const path = `/console/orders/${await idOf(late)}`;
    expect((await client.get(path)).text).toContain('Pay late as customer');
    await client.post(`${path}/pay`);
    expect((await orders(sandbox, late))[0]!.state).toBe('PAID');
  });
});

test('a callback that was refused shows its answer and its next attempt, and "retry now" sends it at once', async () => {
  merchant.answer = () => ({ status: 500, body: '<b>out of order</b>' });
  const number = await place(sandbox, merchant);
  await pay(sandbox, number);
  const delivery = await eventually(async () =>
    (await orders(sandbox, number))[0]!.deliveries.find((each) => each.attempts[0]?.outcome === 'REFUSED'),
  );
  const path = `/console/orders/${await idOf(number)}`;
  for (const page of [path, '/console/deliveries', '/console/deliveries?state=PENDING']) {
    const { text } = await client.get(page);
    expect(text).toMatch(/first delivery refused, retry 1 of 16 next, next attempt at 2/);
    expect(text).toContain('HTTP 500');
    expect(text).toContain('&lt;b&gt;out of order&lt;/b&gt;');
  }
  merchant.answer = () => SUCCESS;
  const answer = await client.post(`/console/deliveries/${delivery.id}/retry`, { back: path });
  expect(answer.headers.get('location')).toBe(`${path}?done=retried`);
  await settled(sandbox, number);
  const { text } = await client.get(path);
  expect(text).toContain('acknowledged at retry 1 of 16');
  expect(
    (await client.post(`/console/deliveries/${delivery.id}/retry`, { back: 'https://example.com' })).headers.get(
      'location',
    ),
  ).toBe('/console/deliveries?done=retried');
  expect((await client.post('/console/deliveries/999999/retry')).status).toBe(409);
});

describe('misbehaviour', () => {
  test('every kind of the catalogue has a form that can be sent, with a description beside it', async () => {
    const page = (await client.get('/console/faults')).text;
    const forms = formsTo(page, '/console/faults').map(fieldsOf);
    expect(forms.map((fields) => fields['kind'])).toEqual(FAULT_CATALOGUE.map((each) => each.kind));
    const scope = newNumber();
    for (const fields of forms) {
      const answer = await client.post('/console/faults', { ...fields, scope });
      expect([fields['kind'], answer.status]).toEqual([fields['kind'], 303]);
    }
    const armed = (await control(sandbox, 'GET', '/faults')).body.faults as {
      scope: string;
      kind: string;
      params: object;
    }[];
    expect(armed).toHaveLength(FAULT_CATALOGUE.length);
    expect(armed.every((each) => each.scope === scope)).toBe(true);
    for (const { kind, params } of armed) {
      const regular = await control(sandbox, 'POST', '/faults', { scope, kind, params });
      expect([kind, regular.status]).toEqual([kind, 201]);
    }
    await client.post('/console/faults/remove');
    expect((await control(sandbox, 'GET', '/faults')).body.faults).toEqual([]);
  });

  test('is armed for one order, acts on it alone, and is removed by a button', async () => {
    const number = newNumber();
    await client.post('/console/faults', { kind: 'frozen', scope: number, remaining: '' });
    expect((await client.get('/console/faults')).text).toContain('until removed');
    expect(await place(sandbox, merchant)).toBeTruthy();
    await expect(place(sandbox, merchant, number)).rejects.toThrow('ACCOUNT_STATUS_ERROR');
    const [{ id }] = (await control(sandbox, 'GET', '/faults')).body.faults as [{ id: number }];
    await client.post(`/console/faults/${id}/remove`);
    expect(await place(sandbox, merchant, number)).toBe(number);
  });

  test('is refused with a sentence if it makes no sense', async () => {
    for (const fields of [
      { kind: 'nonsense' },
      { kind: '__proto__' },
      { kind: 'missing', remaining: '0' },
      { kind: 'missing', scope: 'x'.repeat(129) },
      { kind: 'slow', 'params.ms': 'soon' },
      { kind: 'changedBody', 'params.data': '{' },
    ]) {
      const { status, text } = await client.post('/console/faults', { remaining: '1', ...fields });
      expect([fields, status]).toEqual([fields, 400]);
      expect(text).toContain('role="alert"');
    }
    expect((await control(sandbox, 'GET', '/faults')).body.faults).toEqual([]);
  });
});
