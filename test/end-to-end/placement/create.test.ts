import { Client, Connection } from '@temporalio/client';
import { describe, expect, test } from 'vitest';
import {
  attempts,
  depositRow,
  expectRefusal,
  fault,
  runsOf,
  seenByProvider,
  stored,
  workflowStatus,
} from '../../api/evidence.ts';
import { lineTo, withApi, withWorker } from '../../api/parts.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { depositWorkflowId } from '../../../domain/ids.ts';

/** No relay starts the deposits that a test has reserved, unless the test asks for one. */
const NO_START = { everyMs: 100, freshMs: 500, againMs: 2_000, unstartedMs: 3_600_000 };
const engine = await startEngine({ relay: NO_START });
const post = (body: unknown) => engine.call('POST', '/v1/deposits', body);
const purged = await deleteOne();

/**
 * Gets one deposit credited and deletes its workflow from Temporal; a dev server deletes slowly, so the last test
 * checks.
 */
async function deleteOne() {
  const body = engine.body({ wallet: 'wallet-purged' });
  const created = await post(body);
  const { externalOrderNumber } = created.body;
  const workflowId = depositWorkflowId(externalOrderNumber);
  await engine.pay(externalOrderNumber);
  const credited = await engine.untilState(externalOrderNumber, 'CREDITED');
  await until('the workflow to close', async () => (await workflowStatus(engine, workflowId)) === 'COMPLETED');
  const whileClosed = { repeated: await post(body), runs: await runsOf(engine, externalOrderNumber) };
  await engine.client.workflowService.deleteWorkflowExecution({
    namespace: engine.temporal.namespace,
    workflowExecution: { workflowId },
  });
  return { body, externalOrderNumber, workflowId, link: created.body.redirectUrl, credited, whileClosed };
}

/** The provider received one request and has one order; one attempt is stored. */
async function expectOneOrder(externalOrderNumber: string): Promise<void> {
  expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 1, orders: 1 });
  expect(await attempts(engine, externalOrderNumber)).toMatchObject([{ n: 1, outcome: 'placed' }]);
}

describe('creating a deposit', () => {
  test('a hundred identical creates at once make one deposit, one workflow and one order, and all get its link', async () => {
    const body = engine.body();
    const externalOrderNumber = String(body['externalOrderNumber']);
    const answers = await Promise.all(Array.from({ length: 100 }, () => post(body)));
    const answered = (status: number) => answers.filter((answer) => answer.status === status).length;
    expect({ created: answered(201), repeated: answered(200) }).toEqual({ created: 1, repeated: 99 });
    expect(new Set(answers.map((answer) => answer.body.redirectUrl))).toEqual(
      new Set([expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/.+/)]),
    );
    await expectOneOrder(externalOrderNumber);
    const runs = await until('the run to be listed', async () => {
      const found = await runsOf(engine, externalOrderNumber);
      return found.length > 0 && found;
    });
    expect(runs).toHaveLength(1);
    const { rows } = await engine.db.owner.query('select from engine.deposit where external_order_number = $1', [
      externalOrderNumber,
    ]);
    expect(rows).toHaveLength(1);
  });

  test('the first answer is 201 with the place to ask again, and the deposit waits for its payment', async () => {
    const created = await engine.create();
    const { externalOrderNumber } = created.body;
    expect(created.status).toBe(201);
    expect(created.headers.get('location')).toBe(`/v1/deposits/${externalOrderNumber}`);
    expect(created.body).toMatchObject({ state: 'AWAITING_PAYMENT', workflowId: `deposit:${externalOrderNumber}` });
    expect(await engine.deposit(externalOrderNumber)).toEqual(created.body);
  });

  describe('an amount whose payment could not be booked', () => {
    const byPrice = (totalPrice: string) => ({ buyCoinMode: 'PaymentPrice', mtcAmount: undefined, totalPrice });
    const TOO_LITTLE = 'at 6.5 CNY per MTC the price could be less than 0.01';
    /** Prices and MTC without end, each in its own currency. */
    const WIDE = { RATE_BAND_HKD: '1-2000000', RATE_BAND_TWD: '0.1-1' };

    test.each([
      ['mtcAmount', TOO_LITTLE, { mtcAmount: '0.001' }],
      ['mtcAmount', 'at 8.0 CNY per MTC the price could have more than 15 digits', { mtcAmount: '125000000000000' }],
      ['totalPrice', 'the MTC could be less than 0.00000001', { ...byPrice('0.01'), currencyCode: 'HKD' }],
      ['totalPrice', 'the MTC could have more than 15', { ...byPrice('100000000000000'), currencyCode: 'TWD' }],
    ])(
      'is refused, %s is named with its limit (%s), and nothing is stored or placed',
      async (field, message, change) => {
        await withApi(engine, { env: WIDE }, async () => {
          const before = await stored(engine);
          const answer = await engine.create(change);
          expectRefusal(answer, 400, 'invalid_request');
          expect(answer.body.errors).toEqual([{ field, message: expect.stringContaining(message) }]);
          expect(answer.body.detail).toBe(`${field}: ${answer.body.errors[0].message}`);
          expect(await stored(engine)).toEqual(before);
        });
      },
    );

    test('is taken one step inside the limit, and what is paid for it is credited', async () => {
      const created = await engine.create({ mtcAmount: '0.01' });
      expect(created.status).toBe(201);
      await engine.pay(created.body.externalOrderNumber);
      const credited = await engine.untilState(created.body.externalOrderNumber, 'CREDITED');
      expect(credited.creditedAmount).toBe('0.01');
    });

    test('is answered from its row where it stands from another band: the same, and 409 for other parameters', async () => {
      const body = engine.body({ mtcAmount: '0.01' });
      const first = await post(body);
      expect(first.status).toBe(201);
      await withApi(engine, { env: { RATE_BAND_CNY: '0.1-0.2' } }, async () => {
        const before = await stored(engine);
        expect(await post(body)).toMatchObject({ status: 200, body: first.body });
        expectRefusal(await post({ ...body, mtcAmount: '0.02' }), 409, 'other_parameters');
        expectRefusal(await engine.create({ mtcAmount: '0.01' }), 400, 'invalid_request');
        expect(await stored(engine)).toEqual(before);
      });
    });
  });

  describe('the same number', () => {
    const first = {
      wallet: 'wallet-1',
      mtcAmount: '5000',
      currencyCode: 'CNY',
      supportLanguage: 'en',
      payerRealName: 'José Mañana',
    };

    test.each([
      ['wallet', { wallet: 'wallet-2' }],
      ['wallet, by its case', { wallet: 'Wallet-1' }],
      ['mtcAmount', { mtcAmount: '5000.00000001' }],
      ['buyCoinMode', { buyCoinMode: 'PaymentPrice', mtcAmount: undefined, totalPrice: '5000' }],
      ['currencyCode', { currencyCode: 'HKD' }],
      ['supportLanguage', { supportLanguage: 'zh_CN' }],
      ['payerRealName', { payerRealName: 'Jose Manana' }],
      ['payerRealName, by its case', { payerRealName: 'José mañana' }],
    ])(
      'T26: with another %s is a conflict, and the deposit, its order and its workflow stay as they are',
      async (_, change) => {
        const created = await engine.create(first);
        const { externalOrderNumber } = created.body;
        const before = { row: await depositRow(engine, externalOrderNumber), stored: await stored(engine) };
        const answer = await post(engine.body({ ...first, externalOrderNumber, ...change }));
        expectRefusal(answer, 409, 'other_parameters');
        expect({ row: await depositRow(engine, externalOrderNumber), stored: await stored(engine) }).toEqual(before);
        expect(await engine.deposit(externalOrderNumber)).toEqual(created.body);
        expect(answer.text).not.toMatch(/ma[nñ]ana/i);
        await expectOneOrder(externalOrderNumber);
      },
    );

    test.each([
      ['an amount with trailing zeros', { mtcAmount: '5000.000' }],
      ['a name in another normal form', { payerRealName: first.payerRealName.normalize('NFD') }],
      ['a name with space around it', { payerRealName: ` ${first.payerRealName}\u3000` }],
    ])('with %s is the same request and gets the same link', async (_, change) => {
      const created = await engine.create(first);
      const { externalOrderNumber } = created.body;
      const answer = await post(engine.body({ ...first, externalOrderNumber, ...change }));
      expect({ status: answer.status, body: answer.body }).toEqual({ status: 200, body: created.body });
      await expectOneOrder(externalOrderNumber);
    });
  });
});

describe('creating a deposit while a part is away', () => {
  test('without a worker the create is answered 202 without a link; the repeat gets the one order there is then', async () => {
    const body = engine.body();
    const externalOrderNumber = String(body['externalOrderNumber']);
    await engine.stopWorker();
    const waiting = await post(body);
    expect(waiting.status).toBe(202);
    expect(waiting.body).toMatchObject({
      state: 'PLACING',
      redirectUrl: null,
      expiresAt: null,
      attempts: { count: 0 },
    });
    expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 0, orders: 0 });
    expect(await attempts(engine, externalOrderNumber)).toEqual([]);

    await engine.startWorker();
    const placed = await until('the link', async () => {
      const repeated = await post(body);
      return repeated.status === 200 && repeated;
    });
    expect(placed.body).toMatchObject({ state: 'AWAITING_PAYMENT', redirectUrl: expect.stringContaining('http') });
    await expectOneOrder(externalOrderNumber);
    expect(await runsOf(engine, externalOrderNumber)).toHaveLength(1);
  });

  test('without Temporal it is refused with the row reserved and no order; a repeat or the relay starts it, once', async () => {
    const [repeated, relayed] = [engine.body(), engine.body()];
    const numbers = [repeated, relayed].map((body) => String(body['externalOrderNumber']));
    const line = await lineTo({ host: '127.0.0.1', port: engine.temporal.port });
    const connection = await Connection.connect({ address: `127.0.0.1:${line.port}` });
    await withApi(
      engine,
      { client: new Client({ connection, namespace: engine.temporal.namespace }), relay: NO_START },
      async () => {
        await line.cut();
        for (const refused of await Promise.all([post(repeated), post(relayed)])) {
          expectRefusal(refused, 503, 'unavailable');
          expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
        }
        for (const externalOrderNumber of numbers) {
          expect(await engine.deposit(externalOrderNumber)).toMatchObject({ state: 'PLACING', redirectUrl: null });
          expect(await workflowStatus(engine, depositWorkflowId(externalOrderNumber))).toBeNull();
          expect(await attempts(engine, externalOrderNumber)).toEqual([]);
          expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 0, orders: 0 });
        }
        await line.mend();
        await until('the repeat to be answered', async () => (await post(repeated)).status === 200);
      },
    );
    await connection.close();
    await line.cut();
    await withApi(engine, { relay: { ...NO_START, unstartedMs: 1 } }, () =>
      engine.untilState(String(relayed['externalOrderNumber']), 'AWAITING_PAYMENT'),
    );
    for (const externalOrderNumber of numbers) {
      await expectOneOrder(externalOrderNumber);
      expect(await runsOf(engine, externalOrderNumber)).toHaveLength(1);
    }
  });

  test('without the database it is refused and nothing is reserved, started or placed', async () => {
    const url = new URL(engine.env['DATABASE_URL_API']!);
    const line = await lineTo({ host: url.hostname, port: Number(url.port) });
    url.port = String(line.port);
    const body = engine.body();
    const externalOrderNumber = String(body['externalOrderNumber']);
    await withApi(engine, { env: { DATABASE_URL_API: url.href } }, async () => {
      const before = await stored(engine);
      await line.cut();
      const refused = await post(body);
      expectRefusal(refused, 503, 'unavailable');
      expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(await stored(engine)).toEqual(before);
      expect(await workflowStatus(engine, depositWorkflowId(externalOrderNumber))).toBeNull();
      await line.mend();
      expect(await post(body)).toMatchObject({ status: 201 });
    });
    await line.cut();
    await expectOneOrder(externalOrderNumber);
  });

  test('a reservation older than PLACE_WITHIN is refused as TOO_LATE for good, and the provider hears nothing of it', async () => {
    const body = engine.body();
    const externalOrderNumber = String(body['externalOrderNumber']);
    await withWorker(engine, { env: { PLACE_WITHIN: '1ms' } }, async () => {
      expectRefusal(await post(body), 422, 'TOO_LATE');
    });
    expectRefusal(await post(body), 422, 'TOO_LATE');
    expect(await engine.deposit(externalOrderNumber)).toMatchObject({ state: 'PLACEMENT_REFUSED', redirectUrl: null });
    expect(await attempts(engine, externalOrderNumber)).toMatchObject([{ n: 1, outcome: 'closed' }]);
    expect(await seenByProvider(engine, externalOrderNumber)).toEqual({ placements: 0, orders: 0 });
  });

  test('an API that is told to stop answers the create under way, and takes no new one', async () => {
    const body = engine.body();
    const externalOrderNumber = String(body['externalOrderNumber']);
    await fault(engine, externalOrderNumber, 'slow', { ms: 1_000 });
    await withApi(engine, {}, async () => {
      const underWay = engine.call('POST', '/v1/deposits', body, { headers: { connection: 'close' } });
      await until(
        'the provider to be asked',
        async () => (await seenByProvider(engine, externalOrderNumber)).placements,
      );
      await engine.api.close();
      expect(await underWay).toMatchObject({ status: 201, body: { state: 'AWAITING_PAYMENT' } });
      await expect(post(engine.body())).rejects.toThrow('fetch failed');
    });
    await expectOneOrder(externalOrderNumber);
  });
});

describe('a deposit whose workflow has closed', () => {
  test('is answered from its row, and the closed workflow is not started again', () => {
    const { whileClosed, credited } = purged;
    expect(whileClosed.repeated).toMatchObject({ status: 200, body: credited });
    expect(whileClosed.runs).toHaveLength(1);
  });

  test('and was deleted from Temporal gets the same answer, and no new workflow', async () => {
    const { body, externalOrderNumber, workflowId, credited, link } = purged;
    await until('the workflow to be gone', async () => (await workflowStatus(engine, workflowId)) === null);
    const before = await stored(engine);
    const repeated = await post(body);
    expect({ status: repeated.status, body: repeated.body }).toEqual({ status: 200, body: credited });
    expect(repeated.body).toMatchObject({ redirectUrl: link, creditedAmount: '5000' });
    expectRefusal(await post({ ...body, mtcAmount: '1' }), 409, 'other_parameters');
    expect(await workflowStatus(engine, workflowId)).toBeNull();
    expect(await stored(engine)).toEqual(before);
    await expectOneOrder(externalOrderNumber);
    const wallet = await engine.call('GET', '/v1/wallets/wallet-purged');
    expect(wallet.body.balance).toBe('5000');
  });
});
