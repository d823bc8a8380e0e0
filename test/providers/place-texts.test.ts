import { describe, expect, it } from 'vitest';
import type { MtpayOptions } from '../../providers/mtpay/place.ts';
import type { PlacementOutcome } from '../../providers/port.ts';
import { documentKey } from './keys.ts';
import {
  DATA,
  NAME,
  SIGNATURE,
  SUCCESS,
  envelope,
  options,
  place,
  placedAgainst,
  refusal,
  request,
  says,
} from './placing.ts';
import { http, standIn } from './stand-in.ts';

describe('a checkout link', () => {
  const linked = (redirectUrl: string, change: Partial<MtpayOptions> = {}) =>
    placedAgainst(says(http(200, envelope({}, { ...DATA, redirectUrl }))), change);

  it.each([
    'https://checkout.example/pay/1',
    'https://checkout.example:443/pay/1?lang=en#top',
    'HTTPS://Checkout.Example/pay/1',
  ])('to an allowed host reaches the customer: %s', async (url) => {
    expect(await linked(url)).toMatchObject({ kind: 'placed', redirectUrl: new URL(url).href });
  });

  it('over plain HTTP reaches the customer only for a host that is named for it', async () => {
    const change = { redirectHosts: ['localhost', 'checkout.example'], plainHttpHosts: ['localhost'] };
    expect(await linked('http://localhost:8090/pay/1', change)).toMatchObject({ kind: 'placed' });
    expect(await linked('http://checkout.example/pay/1', change)).toEqual({
      kind: 'unknown',
      cause: 'FOREIGN_REDIRECT',
    });
  });

  it.each([
    'https://evil.example/pay/1',
    'https://checkout.example.evil.example/',
    'https://evil.example/checkout.example',
    'https://evil.example/?https://checkout.example/',
    'https://evil.example#checkout.example',
    'https://checkout.example@evil.example/',
    'https://user@checkout.example/',
    'https://user:word@checkout.example/',
    'https://sub.checkout.example/',
    'https://checkout.example./',
    'https:\\\\evil.example\\checkout.example',
    '//checkout.example/pay/1',
    '/pay/1',
    'checkout.example/pay/1',
    'javascript:alert(1)',
    'javascript://checkout.example/%0aalert(1)',
    'data:text/html,<script>1</script>',
    'file:///etc/hostname',
    'ftp://checkout.example/',
    'wss://checkout.example/',
    'blob:https://checkout.example/1',
    ' ',
    '',
    'https://',
    `https://checkout.example/${'a'.repeat(2_000)}`,
  ])('T19: that leads elsewhere reaches nobody, and the order stays unknown: %s', async (url) => {
    expect(await linked(url)).toEqual({ kind: 'unknown', cause: 'FOREIGN_REDIRECT' });
  });

  it('to another port than the named one reaches nobody', async () => {
    const change = { redirectHosts: ['checkout.example:8443'] };
    expect(await linked('https://checkout.example:8443/1', change)).toMatchObject({ kind: 'placed' });
    expect(await linked('https://checkout.example/1', change)).toEqual({ kind: 'unknown', cause: 'FOREIGN_REDIRECT' });
  });
});

describe('what is kept of an answer', () => {
  const refused = (message: unknown) =>
    placedAgainst(
      says(http(200, JSON.stringify({ data: null, statusCode: 'PARAMETER_ERROR', message, success: false }))),
    );

  it.each([
    ['a text', 'amount too small', 'amount too small'],
    ['no text', undefined, ''],
    ['an object', { text: NAME }, ''],
    ['a list', [NAME], ''],
    ['control characters', 'a\u001b[31m\r\nb\u0000\u202ec', 'a [31m  b  c'],
    ['a mark that is no beginning', 'a\ufeffb', 'a b'],
    ['a long text', 'x'.repeat(1_000), 'x'.repeat(300)],
    ['a character that the cut would halve', `${'x'.repeat(299)}😀`, 'x'.repeat(299)],
    ["the payer's name", `payer ${NAME} (${NAME}) is blocked`, 'payer [payer] ([payer]) is blocked'],
    ["the payer's name at the cut", `${'x'.repeat(299)}${NAME}`, `${'x'.repeat(299)}[`],
    ['the access key', 'no merchant B6QKwx0NnKaQ14zf24Ux5Oc9Gy1xlf2R', 'no merchant [hidden]'],
    ['the signature', `${SIGNATURE} is wrong`, '[hidden] is wrong'],
    ['the signature in small letters', `${SIGNATURE.toLowerCase()} is wrong`, '[hidden] is wrong'],
    [
      'the token of the callback',
      'cannot call https://pay.example/v1/callbacks/mtpay/kid/token',
      'cannot call https://pay.example/v1/callbacks/mtpay/kid/[hidden]',
    ],
  ])('of its message: %s', async (_, message, kept) => {
    expect(await refused(message)).toEqual({ kind: 'refused', code: 'PARAMETER_ERROR', message: kept });
  });

  const long = 'Mary (Ann) O.Neil';
  it.each([
    [long, 'MARY (ANN) O.NEIL'],
    [long, 'mary (ann) o.neil'],
    [long, 'Mary  (Ann)\tO.Neil'],
    [long, 'Mary\u0000(Ann)\u200bO.Neil'],
    [long, 'Mary\n(Ann)\u00a0O.Neil'],
    ['Mary  Ann', 'Mary Ann'],
    ['مهدی\u200cزاده', 'مهدی\u200cزاده'],
  ])("is never the payer's name in any spelling: %j as %j", async (payerRealName, spelling) => {
    const provider = await standIn(
      says(http(200, refusal('PARAMETER_ERROR', { message: `payer ${spelling} unknown` }))),
    );
    const answer = await place(options(provider.host), request({ payerRealName }));
    expect(answer).toMatchObject({ kind: 'refused', message: 'payer [payer] unknown' });
  });

  it.each([
    ['Li', 'LI-20261129-LIMIT', '[payer]-20261129-LIMIT'],
    ['Li', 'Li is not alive: li, LI.', '[payer] is not alive: [payer], [payer].'],
    ['Li', '付款人Li不存在', '付款人[payer]不存在'],
    ['Wang', 'Wanger, Swang, payer:WANG123_wang', 'Wanger, Swang, payer:[payer]123_[payer]'],
    ['Ли', 'Плитка, плательщик Ли', 'Плитка, плательщик [payer]'],
    ['李', '付款人李明不存在', '付款人[payer]明不存在'],
    ['李明', '付款人李明不存在', '付款人[payer]不存在'],
    ['김철수', '김철수는 없다', '[payer]는 없다'],
    ['علي', 'وعلي', 'و[payer]'],
    ['Li Ming', 'payerLI  MINGx', 'payer[payer]x'],
    ['Zhang', 'ZHANGs', '[payer]s'],
    ['Li李', 'Li李x', '[payer]x'],
    ['oken', 'of token/oken', 'of [hidden]/[payer]'],
    ['to', '/token/ to', '/[hidden]/ [payer]'],
  ])('hides the name %j in %j as a word, or wherever it cannot be another: %j', async (payerRealName, said, kept) => {
    const provider = await standIn(says(http(200, envelope({}, { ...DATA, advertisementCode: said }))));
    const answer = await place(options(provider.host), request({ payerRealName }));
    expect(answer).toMatchObject({ kind: 'placed', advertisementCode: kept });
  });

  it('is read behind a byte order mark: the order is placed', async () => {
    expect(await placedAgainst(says(http(200, `\ufeff${SUCCESS}`)))).toMatchObject({
      kind: 'placed',
      advertisementCode: 'AD-1',
    });
  });

  /** Servers that echo their whole request. */
  const echo = (request: string): [string, string][] => [
    ['as the message of a refusal', http(400, refusal('PARAMETER_ERROR', { message: request }))],
    ['as the message of a system error', http(200, refusal('SYSTEM_ERROR', { message: request }))],
    ['as the message of a refused timestamp', http(200, refusal('TIMESTAMP_ERROR', { message: request }))],
    ['as a statusCode', http(200, refusal(request))],
    ['as a statusCode and success', http(200, envelope({ statusCode: request }))],
    ['as a page', http(500, `<pre>${request}</pre>`)],
    ['as it came', http(200, request)],
    ['as a checkout link', http(200, envelope({}, { ...DATA, redirectUrl: `https://evil.example/${request}` }))],
    ['as a header', http(200, '', { date: encodeURIComponent(request) })],
    ['as no HTTP at all', request],
  ];
  it.each(echo('').map(([how], i) => ({ how, i })))("is never the payer's name, thrown back $how", async ({ i }) => {
    const answer: PlacementOutcome = await placedAgainst((socket, { body }) => socket.end(echo(body)[i]![1]));
    const kept = decodeURIComponent(JSON.stringify(answer));
    expect(kept).not.toContain(NAME);
    expect(kept).not.toContain(documentKey.secretKey.reveal().toString());
  });
});
