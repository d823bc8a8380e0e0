import { describe, expect, test } from 'vitest';
import { depositWorkflowId } from '../../domain/ids.ts';
import { startEngine } from '../support/engine.ts';

const engine = await startEngine();

describe('a deposit from order to wallet', () => {
  test.each([
    { buyCoinMode: 'MtcAmount', mtcAmount: '5000', currencyCode: 'CNY', pays: '36000', receives: '5000' },
    { buyCoinMode: 'MtcAmount', mtcAmount: '12.5', currencyCode: 'HKD', pays: '97.5', receives: '12.5' },
    { buyCoinMode: 'MtcAmount', mtcAmount: '3', currencyCode: 'TWD', pays: '96', receives: '3' },
    { buyCoinMode: 'PaymentPrice', totalPrice: '32551.20', currencyCode: 'CNY', pays: '32551.2', receives: '4521' },
    { buyCoinMode: 'PaymentPrice', totalPrice: '780', currencyCode: 'HKD', pays: '780', receives: '100' },
    { buyCoinMode: 'PaymentPrice', totalPrice: '100', currencyCode: 'TWD', pays: '100', receives: '3.125' },
  ])(
    '$buyCoinMode in $currencyCode is credited to the cent: $receives MTC for $pays',
    async ({ pays, receives, ...asked }) => {
      const wallet = `wallet-${asked.buyCoinMode}-${asked.currencyCode}`;
      const created = await engine.create({ mtcAmount: undefined, ...asked, wallet });
      expect(created.status).toBe(201);
      const { externalOrderNumber } = created.body;
      await engine.pay(externalOrderNumber);
      const credited = await engine.untilState(externalOrderNumber, 'CREDITED');
      expect(credited).toMatchObject({ creditedAmount: receives, late: false, attempts: { count: 1 } });
      const balance = await engine.call('GET', `/v1/wallets/${wallet}`);
      expect(balance.body).toMatchObject({ balance: receives, postings: [{ externalOrderNumber, amount: receives }] });
      const { rows } = await engine.db.owner.query(
        'select trim_scale(fiat_amount)::text as paid from ledger.transaction where deposit = $1',
        [externalOrderNumber],
      );
      expect(rows).toEqual([{ paid: pays }]);
      const handle = engine.client.workflow.getHandle(depositWorkflowId(externalOrderNumber));
      const [started] = (await handle.fetchHistory()).events!;
      const { payloads } = started!.workflowExecutionStartedEventAttributes!.input!;
      expect(JSON.parse(Buffer.from(payloads![0]!.data!).toString())).toMatchObject({ provider: 'mtpay' });
      await engine.auditLedger();
    },
  );
});
