import { expect, it } from 'vitest';
import { creditAll } from '../../ledger/credit.ts';
import { findPosting, readWallet } from '../../ledger/read.ts';
import { transactionCode } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { shown } from './credits.ts';
import { newWallet, payment } from './payments.ts';

const db = await createTestDatabase();
const [worker, api] = [db.poolFor('app_worker'), db.poolFor('app_api')];

it('a wallet shows its balance and what made it, as the customer sees it', async () => {
  const one = await payment(db.owner, { data: { transactionAmount: '5000.0', paymentPrice: '36000' } });
  const [answer] = await creditAll(worker, [one.item]);
  expect(await readWallet(api, one.order.wallet)).toEqual(shown(one, answer!));
  const empty = newWallet();
  expect(await readWallet(api, empty)).toEqual({ wallet: empty, balance: '0', postings: [] });
});

it('a code of the provider names the posting that has used it up, or none', async () => {
  const one = await payment(db.owner);
  expect(await findPosting(api, one.data.transactionCode)).toBeNull();
  const [answer] = await creditAll(worker, [one.item]);
  expect(await findPosting(api, one.data.transactionCode)).toBe(answer!.postingId);
  expect(await findPosting(api, transactionCode())).toBeNull();
});
