import { describe, expect, it } from 'vitest';
import type { MtpayOptions } from '../../providers/mtpay/place.ts';
import type { CallOptions } from '../../providers/port.ts';
import { makeCertificate } from '../../sandbox/certificate.ts';
import { PATH, SUCCESS, options, place, placedAgainst, request, says } from './placing.ts';
import { babbler, closedPort, http, openProxy, standIn } from './stand-in.ts';

describe('an order that was surely not sent', () => {
  it('when the connection is refused', async () => {
    const answer = await place(options(`localhost:${await closedPort()}`));
    expect(answer).toEqual({ kind: 'not_sent', cause: 'ECONNREFUSED' });
  });

  it('when the name is unknown', async () => {
    const answer = await place(options('mtpay.invalid'));
    expect(answer.kind).toBe('not_sent');
    expect(answer).toHaveProperty('cause', expect.stringMatching(/^(ENOTFOUND|EAI_AGAIN|connect timeout)$/));
  });

  it('when the time to send is over once there is a connection', async () => {
    const provider = await standIn(says(http(200, SUCCESS)));
    expect(await place(options(provider.host), request(), { maySend: () => false })).toEqual({
      kind: 'not_sent',
      cause: 'too late to send',
    });
    expect(provider.received).toEqual([]);
  });

  it('when the other side does not speak TLS', async () => {
    const { host } = await babbler(http(400, 'The plain HTTP request was sent to HTTPS port'));
    const answer = await place(options(host, { placeUrl: `https://${host}${PATH}` }));
    expect(answer.kind).toBe('not_sent');
    expect(answer).toHaveProperty('cause', expect.stringMatching(/^(ERR_SSL_|EPROTO|ECONNRESET)/));
  });

  it('when the other side never finishes the TLS handshake', async () => {
    const provider = await standIn(() => undefined);
    const secure = options(provider.host, { placeUrl: `https://${provider.host}${PATH}` });
    expect(await place(secure, request(), { deadlineMs: 500 })).toEqual({ kind: 'not_sent', cause: 'deadline' });
  });
});

const own = await makeCertificate(['localhost']);

describe('a certificate', () => {
  const secure = async (change: Partial<MtpayOptions>, certificate = own) => {
    const provider = await standIn(says(http(200, SUCCESS)), certificate);
    const answer = await place(options(provider.host, { placeUrl: `https://${provider.host}${PATH}`, ...change }));
    return { answer, sent: provider.received.length };
  };

  it('that is trusted is spoken to', async () => {
    expect(await secure({ ca: own.ca })).toMatchObject({ answer: { kind: 'placed' }, sent: 1 });
  });

  it('that nobody vouches for is not: nothing leaves', async () => {
    expect(await secure({})).toEqual({
      answer: { kind: 'not_sent', cause: 'SELF_SIGNED_CERT_IN_CHAIN' },
      sent: 0,
    });
  });

  it('for another host is not, though trusted: nothing leaves', async () => {
    const other = await makeCertificate(['other.example']);
    expect(await secure({ ca: other.ca }, other)).toEqual({
      answer: { kind: 'not_sent', cause: 'ERR_TLS_CERT_ALTNAME_INVALID' },
      sent: 0,
    });
  });
});

describe('a proxy', () => {
  const through = async (proxy: string, change: Partial<MtpayOptions> = {}, call: Partial<CallOptions> = {}) => {
    const provider = await standIn(says(http(200, SUCCESS)), own);
    const placeUrl = `https://${provider.host}${PATH}`;
    const to = options(provider.host, { placeUrl, ca: own.ca, proxy, ...change });
    return { answer: await place(to, request(), call), provider };
  };

  it('opens the way and sees the host alone: the signature and the payer go to the provider', async () => {
    const proxy = await openProxy();
    const { answer, provider } = await through(`http://user:p%40ss@${proxy.host}`);
    expect(answer).toMatchObject({ kind: 'placed' });
    expect(provider.received).toHaveLength(1);
    const login = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    expect(proxy.asked).toEqual([{ target: provider.host, login }]);
    expect(proxy.seen()).not.toMatch(/POST|signature|external/);
  });

  it('that refuses, is not there or says nothing means that nothing was sent', async () => {
    const refuses = await openProxy(407);
    const silent = await standIn(() => undefined);
    for (const [host, cause] of [
      [refuses.host, 'proxy: HTTP 407'],
      [`localhost:${await closedPort()}`, 'proxy: ECONNREFUSED'],
      [silent.host, 'proxy: deadline'],
    ] as const) {
      const { answer, provider } = await through(`http://${host}`, {}, { deadlineMs: 500 });
      expect(answer).toEqual({ kind: 'not_sent', cause });
      expect(provider.connections()).toBe(0);
    }
  });

  it('does not stand in for the provider: its certificate is checked as ever', async () => {
    const { answer, provider } = await through(`http://${(await openProxy()).host}`, {
      ca: (await makeCertificate(['localhost'])).ca,
    });
    expect(answer).toEqual({ kind: 'not_sent', cause: 'SELF_SIGNED_CERT_IN_CHAIN' });
    expect(provider.received).toEqual([]);
  });
});

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308])('T19: %i is not followed: the signature goes nowhere else', async (status) => {
    const elsewhere = await standIn(says(http(200, SUCCESS)));
    const answer = await placedAgainst(says(http(status, '', { location: `http://${elsewhere.host}${PATH}` })));
    expect(answer).toEqual({ kind: 'unknown', cause: `HTTP ${status}` });
    expect(elsewhere.connections()).toBe(0);
  });
});
