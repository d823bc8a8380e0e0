import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { checkCallback } from '../../../audit/tables/inbox.ts';
import type { CallbackRecord } from '../../../audit/tables/rows.ts';
import { readData, readEnvelope } from '../../../providers/mtpay/callback.ts';

const FIELDS = [
  '"currencyCode":"CNY"',
  '"externalOrderNumber":"o-1"',
  '"paymentFinishedTime":"2021-07-01T00:05:00"',
  '"paymentPrice":36000',
  '"transactionAmount":5E+3',
  '"transactionCode":"AT1"',
  '"transactionCreateTime":"2021-07-01T00:00:00"',
];
const raw = Buffer.from(`{"signature":"[signature]","timestamp":1625546438154,"data":{${FIELDS.join(',')}}}`);
/** The content hash of an unreadable message: its fields in order, numbers as written. */
const hashOfUnreadable = createHash('sha256')
  .update(`unreadable|{${FIELDS.join(',')}}`)
  .digest();
const today = readData(readEnvelope(raw));

const record = (change: Partial<CallbackRecord>): CallbackRecord => ({
  id: '7',
  uid: null,
  externalOrderNumber: 'o-1',
  deposit: 'o-1',
  transactionCode: 'AT1',
  data: today.readable ? today.data : null,
  contentHash: today.contentHash,
  raw,
  receipt: 'first',
  receivedAt: '2026-03-01T12:05:00.000Z',
  acked: true,
  outcome: 'posting:1',
  stamped: true,
  ...change,
});
const unreadable = { data: null, transactionCode: null, receipt: 'unreadable', contentHash: hashOfUnreadable };
const details = (change: Partial<CallbackRecord>) => checkCallback(record(change)).map(({ detail }) => detail);

describe('a kept message with an exponent', () => {
  test('is whole as it is read today, and as it stands from before exponents were read', () => {
    expect(details({})).toEqual([]);
    expect(details(unreadable)).toEqual([]);
  });

  test('is a difference under any other hash, and with fields that are not those of its hash', () => {
    const otherHash = 'its bytes do not hash to its content hash';
    const otherFields = 'its fields are not those of its bytes';
    expect(details({ contentHash: Buffer.alloc(32) })).toEqual([otherHash]);
    expect(details({ ...unreadable, contentHash: Buffer.alloc(32) })).toEqual([otherHash]);
    expect(details({ data: null, transactionCode: null })).toEqual([otherFields]);
    expect(details({ ...unreadable, data: record({}).data, transactionCode: 'AT1' })).toEqual([otherFields]);
    expect(details({ data: { ...record({}).data!, transactionAmount: '5E+3' } })).toEqual([otherFields]);
    expect(details({ ...unreadable, raw: Buffer.from(raw.toString().replace('5E+3', '5E+4')) })).toEqual([otherHash]);
    expect(details({ raw: Buffer.from('no message') })).toEqual([otherHash]);
  });
});
