import { describe, expect, test } from 'vitest';
import type { Order } from '../../../domain/order.ts';
import { reviewWorkflowId } from '../../../domain/ids.ts';
import { expectRefusal, inbox, postings } from '../../api/evidence.ts';
import { expectAck, reserved } from '../../api/parts.ts';
import { order, paid } from '../../support/builders.ts';
import { byHand } from '../../support/database.ts';
import { cameEarlier } from '../../support/seals.ts';
import { until } from '../../support/until.ts';
import { startReceiving } from './receiving.ts';

const { engine, api, say } = await startReceiving();

describe('an order nobody here has heard of', () => {
  const claim = (unknown: Order, data = paid(unknown)) => say(data);

  test('T24: is kept and refused at first, and given to people when nobody has found it for six hours', async () => {
    const unknown = order();
    const n = unknown.externalOrderNumber;
    const data = paid(unknown);
    const refused = await claim(unknown, data);
    expectRefusal(refused, 503, 'unavailable');
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expectRefusal(await claim(unknown, data), 503, 'unavailable');
    const row = { deposit: null, code: data.transactionCode, data, receipt: 'unknown_order', reason: 'UNKNOWN_ORDER' };
    expect(await inbox(engine, n)).toMatchObject([{ ...row, attempts: 2, acked: false, outcome: null }]);
    expect(api.alarms(n)).toEqual(['callback_unknown_order', 'callback_unknown_order']);

    const age = (hours: string) =>
      byHand(
        engine.db.owner,
        'update engine.callback set received_at = clock_timestamp() - $2::interval where external_order_number = $1',
        [n, hours],
      );
    await age('5 hours 58 minutes');
    expectRefusal(await claim(unknown, data), 503, 'unavailable');
    await age('6 hours 2 minutes');
    expectAck(await claim(unknown, data));
    const [kept] = await until('the review', async () => {
      const rows = await inbox(engine, n);
      return rows[0]!.outcome !== null && rows;
    });
    expect(kept).toMatchObject({ ...row, attempts: 4, acked: true, outcome: `review:${reviewWorkflowId(kept!)}` });
    const described = await engine.client.workflow.getHandle(reviewWorkflowId(kept!)).describe();
    expect(described).toMatchObject({
      status: { name: 'RUNNING' },
      searchAttributes: { ReviewReason: ['UNKNOWN_ORDER'] },
    });
    expectAck(await claim(unknown, data));
    expect(await postings(engine, n)).toEqual([]);
  });

  test('that becomes known meanwhile is credited by the retry', async () => {
    const body = engine.body();
    const late = order({ externalOrderNumber: String(body['externalOrderNumber']) });
    const data = paid(late);
    expectRefusal(await claim(late, data), 503, 'unavailable');
    expect((await engine.call('POST', '/v1/deposits', body)).status).toBe(201);
    expectAck(await claim(late, data));
    await engine.untilState(late.externalOrderNumber, 'CREDITED');
    expect(await inbox(engine, late.externalOrderNumber)).toMatchObject([
      { deposit: late.externalOrderNumber, receipt: 'first', reason: null, attempts: 2, acked: true },
    ]);
    expect(await postings(engine, late.externalOrderNumber)).toEqual(['5000']);
  });

  test('that becomes known without its order having been sent goes to people', async () => {
    const late = order();
    const data = paid(late);
    expectRefusal(await claim(late, data), 503, 'unavailable');
    await reserved(engine, late);
    expectAck(await claim(late, data));
    expect(await inbox(engine, late.externalOrderNumber)).toMatchObject([
      { receipt: 'stale', reason: 'STAMP_BEFORE_ORDER' },
    ]);
  });

  test('T16: is kept in twenty contents; further ones are counted and stay refused, even when the others are taken', async () => {
    const unknown = order();
    const n = unknown.externalOrderNumber;
    for (let i = 0; i < 23; i += 1) expectRefusal(await claim(unknown, paid(unknown)), 503, 'unavailable');
    expect((await inbox(engine, n)).map((row) => row.attempts)).toEqual([...Array.from({ length: 19 }, () => 1), 4]);
    expect(api.alarms(n).filter((alarm) => alarm === 'callback_flood')).toHaveLength(3);
    await cameEarlier(engine.db.owner, n, 7 * 3_600_000);
    expectRefusal(await claim(unknown), 503, 'unavailable');
    const [kept] = await inbox(engine, n);
    expectAck(await claim(unknown, kept!.data as unknown as ReturnType<typeof paid>));
    expect(await inbox(engine, n)).toHaveLength(20);
  });

  test('T23: twenty times at once is kept once and counted twenty times', async () => {
    const unknown = order();
    const data = paid(unknown);
    const answers = await Promise.all(Array.from({ length: 20 }, () => claim(unknown, data)));
    for (const answer of answers) expectRefusal(answer, 503, 'unavailable');
    expect(await inbox(engine, unknown.externalOrderNumber)).toMatchObject([{ attempts: 20, acked: false }]);
  });
});
