import { expect, test } from 'vitest';
import { callbackBody, fieldsOf } from '../../../sandbox/wire/callback-body.ts';
import { sign } from '../../../sandbox/wire/signature.ts';
import { zonelessTime } from '../../../sandbox/wire/zoneless-time.ts';

const KEY = {
  accessKey: 'B6QKwx0NnKaQ14zf24Ux5Oc9Gy1xlf2R',
  secretKey: 'WUYx7DTQZakugtP9gOAimYUphcnc3jWuPRi1UVnWmwXSnMnsCVBzz1ILdaxisvz9',
};
const SIGNATURE = 'EDB15CF33C232128BDF118CEB147C453181939F8B37EC43886F68B3BCC2C19CD';

test('the key pair and timestamp of the documents give the golden signature', () => {
  expect(sign(KEY.accessKey, KEY.secretKey, '1625546438154')).toBe(SIGNATURE);
});

test('a callback is byte for byte the documented body, numbers with two decimals', () => {
  const fields = fieldsOf({
    externalOrderNumber: 'ORDER_CODE',
    transactionCode: 'ATSA6E40D5FE7UZHE',
    transactionAmount: '200.00',
    currencyCode: 'CNY',
    paymentPrice: '1000.00',
    transactionCreateTime: '2021-07-01T00:00:00',
    paymentFinishedTime: '2021-07-01T00:05:00',
  });
  expect(callbackBody({ ...KEY, placement: null }, 1625546438154, fields)).toBe(
    `{"signature":"${SIGNATURE}","timestamp":1625546438154,"data":{"externalOrderNumber":"ORDER_CODE",` +
      '"transactionCode":"ATSA6E40D5FE7UZHE","transactionAmount":200.00,"currencyCode":"CNY","paymentPrice":1000.00,' +
      '"transactionCreateTime":"2021-07-01T00:00:00","paymentFinishedTime":"2021-07-01T00:05:00"}}',
  );
});

test('times carry the wall clock of the configured zone and no zone', () => {
  const at = new Date('2021-06-30T16:05:09.900Z');
  expect(zonelessTime(at, 'UTC')).toBe('2021-06-30T16:05:09');
  expect(zonelessTime(at, 'Asia/Shanghai')).toBe('2021-07-01T00:05:09');
});
