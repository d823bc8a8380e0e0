import { describe, expect, it } from 'vitest';
import { api, type Env, problems, worker } from './settings.ts';

describe('the provider', () => {
  it.each(['http://127.0.0.1:9000', 'http://localhost:9000', 'http://[::1]:9000'])(
    'may be met in plain HTTP on this machine: %s',
    (url) => {
      expect(api({ MTPAY_BASE_URL: url }).keys.rings.mtpay.verifying).toHaveLength(1);
      expect(worker({ MTPAY_BASE_URL: url }).mtpay.redirectHosts).toEqual([new URL(url).host]);
    },
  );

  it.each([
    'http://api.mtpay.example',
    'http://127.0.0.1.evil.example',
    'http://localhost@evil.example',
    'http://10.0.0.1',
  ])('is not met in plain HTTP anywhere else: %s', (url) => {
    const host = new URL(url).hostname;
    const told = `MTPAY_BASE_URL: plain HTTP; use https or name ${host} in MTPAY_PLAIN_HTTP_HOSTS`;
    expect(problems(() => api({ MTPAY_BASE_URL: url }))).toEqual([told]);
    expect(problems(() => worker({ MTPAY_BASE_URL: url }))).toEqual([told]);
  });

  it('is met in plain HTTP where it is named for it, and only there', () => {
    const named = { MTPAY_BASE_URL: 'http://sandbox:9000', MTPAY_PLAIN_HTTP_HOSTS: ' sandbox , other ' };
    expect(worker(named).mtpay.plainHttpHosts).toEqual(['sandbox', 'other']);
    expect(worker({ ...named, MTPAY_PLAIN_HTTP_HOSTS: 'sandbox:9000' }).mtpay.redirectHosts).toEqual(['sandbox:9000']);
    expect(problems(() => worker({ ...named, MTPAY_PLAIN_HTTP_HOSTS: 'sandbox:9001' }))).toHaveLength(1);
    expect(problems(() => worker({ ...named, MTPAY_BASE_URL: 'http://localhost:9000' }))).toHaveLength(1);
  });

  it.each(['ftp://api.mtpay.example', 'api.mtpay.example', 'javascript:1', 'https://'])(
    'has no address like %s',
    (url) => {
      expect(problems(() => api({ MTPAY_BASE_URL: url }))).toHaveLength(1);
    },
  );

  it('is asked at the configured path and may lead to the configured hosts', () => {
    const { mtpay } = worker({
      MTPAY_BASE_URL: 'https://api.mtpay.example:8443/ignored',
      MTPAY_PLACE_PATH: '/v2/buy',
      MTPAY_REDIRECT_HOSTS: 'checkout.example, pay.example:8443,',
      MTPAY_CA_FILE: '/etc/ca.pem',
    });
    expect(mtpay).toMatchObject({
      placeUrl: 'https://api.mtpay.example:8443/v2/buy',
      redirectHosts: ['checkout.example', 'pay.example:8443'],
      caFile: '/etc/ca.pem',
    });
    expect(problems(() => worker({ MTPAY_PLACE_PATH: 'v2/buy' }))).toHaveLength(1);
  });

  it('is acknowledged in the configured form', () => {
    expect(api({ MTPAY_ACK: 'text:OK' }).ack).toEqual({ contentType: 'text/plain', body: 'OK' });
    expect(api({ MTPAY_ACK: 'json:{"code": "OK"}' }).ack).toEqual({
      contentType: 'application/json',
      body: '{"code": "OK"}',
    });
    // Invisible differences: a provider that compares bytes would send the callback again for three days.
    const unseen = [
      'text:SUCCESS\r',
      'text:SUCCESS ',
      'text: SUCCESS',
      ' text:OK',
      'json:{}\n',
      'text:A\0B',
      'text:A\u0085B',
    ];
    for (const wrong of ['OK', 'text:', 'json:', 'json:{', 'xml:<ok/>', 'TEXT:OK', ...unseen]) {
      expect(
        problems(() => api({ MTPAY_ACK: wrong })),
        wrong,
      ).toEqual([
        'MTPAY_ACK: expected text:… or json:{…}, without control characters, and without blanks at either end',
      ]);
    }
  });
});

describe('a proxy to the provider', () => {
  const of = (env: Env) => worker({ MTPAY_BASE_URL: 'https://api.mtpay.example', ...env }).mtpay.proxy;
  const HTTPS_PROXY = 'http://company.example:3128';

  it('is used only when it is asked for', () => {
    expect(of({ HTTPS_PROXY, https_proxy: HTTPS_PROXY })).toBeUndefined();
    expect(of({ HTTPS_PROXY, MTPAY_PROXY: 'off' })).toBeUndefined();
    expect(of({ HTTPS_PROXY, MTPAY_PROXY: 'http://a:b@own.example:3128' })).toBe('http://a:b@own.example:3128');
    expect(of({ HTTPS_PROXY, MTPAY_PROXY: 'environment' })).toBe(HTTPS_PROXY);
    expect(of({ https_proxy: HTTPS_PROXY, MTPAY_PROXY: 'environment' })).toBe(HTTPS_PROXY);
  });

  it('of the environment is not used for hosts that the environment exempts, and none is for this machine', () => {
    const exempt = { HTTPS_PROXY, MTPAY_PROXY: 'environment' };
    for (const NO_PROXY of ['*', 'mtpay.example', '.mtpay.example', 'other.example, api.mtpay.example']) {
      expect(of({ ...exempt, NO_PROXY }), NO_PROXY).toBeUndefined();
    }
    for (const no_proxy of ['pay.example', 'i.mtpay.example', ''])
      expect(of({ ...exempt, no_proxy })).toBe(HTTPS_PROXY);
    expect(of({ MTPAY_PROXY: HTTPS_PROXY, MTPAY_BASE_URL: 'https://127.0.0.1:8290' })).toBeUndefined();
  });

  it('that cannot be used is told without its password, with everything else', () => {
    const told = (env: Env) => problems(() => of(env));
    expect(told({ MTPAY_PROXY: 'environment', PLACE_WITHIN: 'soon' })).toEqual([
      expect.stringContaining('PLACE_WITHIN'),
      'MTPAY_PROXY: is environment, and neither HTTPS_PROXY nor https_proxy is set',
    ]);
    for (const MTPAY_PROXY of [
      'on',
      'socks5://u:hidden@p.example',
      'https://u:hidden@p.example',
      'http://p.example/x',
      'http://u:100%hidden@p.example',
    ]) {
      expect(told({ MTPAY_PROXY })).toEqual([
        'MTPAY_PROXY: expected off, environment or an address such as http://proxy.example:3128',
      ]);
    }
    const plain = { MTPAY_BASE_URL: 'http://sandbox:8290', MTPAY_PLAIN_HTTP_HOSTS: 'sandbox' };
    expect(told({ ...plain, MTPAY_PROXY: HTTPS_PROXY })).toEqual([expect.stringContaining('which could read it')]);
  });
});

describe('the address of the callbacks', () => {
  it.each(['https://pay.example', 'https://pay.example/', 'https://pay.example:443'])('is an origin: %s', (url) => {
    expect(worker({ CALLBACK_BASE_URL: url }).callbackBaseUrl).toBe('https://pay.example');
  });

  it.each(['https://pay.example/callbacks', 'https://pay.example/?a=1', 'ftp://pay.example', 'pay.example'])(
    'is nothing else: %s',
    (url) => {
      expect(problems(() => worker({ CALLBACK_BASE_URL: url }))).toHaveLength(1);
    },
  );
});

describe('the address of the callbacks in plain HTTP', () => {
  it.each(['http://127.0.0.1:8081', 'http://localhost:8081', 'http://[::1]:8081'])(
    'is good on this machine, whoever else is named: %s',
    (url) => {
      expect(worker({ CALLBACK_BASE_URL: url }).callbackBaseUrl).toBe(url);
      expect(worker({ CALLBACK_BASE_URL: url, MTPAY_PLAIN_HTTP_HOSTS: 'sandbox' }).callbackBaseUrl).toBe(url);
    },
  );

  it.each(['http://pay.example', 'http://10.0.0.1:8081', 'http://callbacks:8081', 'http://127.0.0.1.evil.example'])(
    'is refused anywhere else: %s',
    (url) => {
      const host = new URL(url).hostname;
      expect(problems(() => worker({ CALLBACK_BASE_URL: url }))).toEqual([
        `CALLBACK_BASE_URL: plain HTTP; use https or name ${host} in MTPAY_PLAIN_HTTP_HOSTS`,
      ]);
      expect(worker({ CALLBACK_BASE_URL: url, MTPAY_PLAIN_HTTP_HOSTS: host }).callbackBaseUrl).toBe(url);
    },
  );

  it('is none of the API’s business: it is the worker that tells the provider', () => {
    expect(problems(() => api({ CALLBACK_BASE_URL: undefined }))).toEqual([]);
    expect(problems(() => api({ CALLBACK_BASE_URL: 'http://pay.example/x' }))).toEqual([]);
    expect(problems(() => worker({ CALLBACK_BASE_URL: undefined }))).toEqual(['CALLBACK_BASE_URL: is not set']);
  });
});
