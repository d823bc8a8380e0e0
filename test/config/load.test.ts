import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { KeySource } from '../../config/key-source.ts';
import { Secret } from '../../config/secret.ts';
import { loadApiConfig } from '../../config/settings/api.ts';
import { loadMigrationUrl } from '../../config/settings/migration.ts';
import { ConfigError } from '../../config/settings/read-environment.ts';
import { loadSealConfig } from '../../config/settings/seals.ts';
import { loadWorkerConfig } from '../../config/settings/worker.ts';
import { SEAL_ENV } from '../support/seals.ts';

type Env = Readonly<Record<string, string | undefined>>;

const keyText = () => randomBytes(32).toString('base64url');
const COMMON: Env = {
  DATABASE_URL: 'postgres://owner@db.example/deposits',
  MTPAY_BASE_URL: 'https://api.mtpay.example',
  MTPAY_ACCESS_KEY: keyText(),
  MTPAY_SECRET_KEY: keyText(),
  CALLBACK_BASE_URL: 'https://pay.example',
  CALLBACK_KEY: keyText(),
  PAYER_NAME_KEY: keyText(),
  INBOX_SEAL_PUBLIC_KEYS: SEAL_ENV.INBOX_SEAL_PUBLIC_KEYS,
};
const FINGERPRINT: Env = { FINGERPRINT_KEY: keyText(), INBOX_SEAL_KEY: SEAL_ENV.INBOX_SEAL_KEY };
const api = (change: Env = {}) => loadApiConfig({ ...COMMON, ...FINGERPRINT, ...change });
const worker = (change: Env = {}) => loadWorkerConfig({ ...COMMON, ...change });

/** The problems that are told, one a line, without the line that counts them. */
function problems(load: () => unknown): string[] {
  try {
    load();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    const [head, ...lines] = (error as Error).message.split('\n');
    expect(head).toBe(`the configuration has ${lines.length} problem(s):`);
    return lines.map((line) => line.trim());
  }
  return [];
}

describe('what is not configured', () => {
  it('has the documented default in the API', () => {
    expect(api()).toEqual({
      database: { url: COMMON['DATABASE_URL'] },
      connections: 8,
      keys: expect.any(KeySource),
      apiListen: { host: '127.0.0.1', port: 8080 },
      callbackListen: { host: '127.0.0.1', port: 8081 },
      ack: { contentType: 'text/plain', body: 'SUCCESS' },
      links: { redirectHosts: ['api.mtpay.example'], plainHttpHosts: ['127.0.0.1', 'localhost', '[::1]'] },
      limits: { key: { perSecond: 500, burst: 1_000 }, failure: { perSecond: 20, burst: 200 } },
      sealEpoch: null,
      signatures: { required: false, keys: new Map() },
      settings: {
        rateBands: { CNY: { from: '6.5', to: '8.0' }, HKD: { from: '7.0', to: '8.6' }, TWD: { from: '28', to: '36' } },
        feeBand: '0',
        latePolicy: 'credit',
        paymentWindowMs: 30 * 60_000,
        listeningWindowMs: 73 * 3_600_000,
        reviewLimit: '0',
      },
      restoredFromEmpty: false,
      logLevel: 'info',
    });
  });

  it('has the documented default in the worker', () => {
    expect(worker()).toEqual({
      database: { url: COMMON['DATABASE_URL'] },
      decisions: { url: COMMON['DATABASE_URL'] },
      connections: 20,
      keys: expect.any(KeySource),
      mtpay: {
        placeUrl: 'https://api.mtpay.example/api/buy-coin/transaction',
        redirectHosts: ['api.mtpay.example'],
        plainHttpHosts: ['127.0.0.1', 'localhost', '[::1]'],
      },
      callbackBaseUrl: 'https://pay.example',
      payerNameRetentionMs: 24 * 3_600_000,
      pruneAfterMs: 90 * 24 * 3_600_000,
      placeWithinMs: 2 * 60_000,
      callDeadlineMs: 25_000,
      ownStampGridMs: 1_000,
      sealEpoch: null,
      signatures: { required: false, keys: new Map() },
      restoredFromEmpty: false,
      logLevel: 'info',
    });
  });

  it('and an empty variable are the same thing', () => {
    const names = ['PAYMENT_WINDOW', 'RATE_BAND_CNY', 'MTPAY_ACK', 'TEMPORAL_UI_URL', 'API_LISTEN', 'DATABASE_URL_API'];
    const empty = Object.fromEntries(names.map((name) => [name, '']));
    expect(JSON.stringify(api(empty))).toBe(JSON.stringify(api()));
    expect(problems(() => api({ CALLBACK_KEY: '' }))).toEqual(['CALLBACK_KEY: is not set']);
  });
});

describe('a wrong configuration', () => {
  it('is told whole: every variable at fault, at once', () => {
    expect(problems(() => loadApiConfig({}))).toEqual([
      'MTPAY_BASE_URL: is not set',
      'MTPAY_ACCESS_KEY: is not set',
      'MTPAY_SECRET_KEY: is not set',
      'CALLBACK_KEY: is not set',
      'PAYER_NAME_KEY: is not set',
      'FINGERPRINT_KEY: is not set',
      'INBOX_SEAL_KEY: is not set',
      'INBOX_SEAL_PUBLIC_KEYS: is not set',
      'DATABASE_URL: neither it nor DATABASE_URL_API is set',
    ]);
    const wrong = {
      DATABASE_URL: undefined,
      MTPAY_BASE_URL: 'http://api.mtpay.example',
      PLACE_WITHIN: 'soon',
      CALLBACK_KEY: 'short',
    };
    const told = problems(() => worker(wrong));
    expect(told.map((line) => line.split(':')[0]!).toSorted()).toEqual([
      'CALLBACK_KEY',
      'DATABASE_URL',
      'DATABASE_URL',
      'MTPAY_BASE_URL',
      'PLACE_WITHIN',
    ]);
  });

  it.each([
    'MTPAY_SECRET_KEY',
    'MTPAY_ACCESS_KEY',
    'CALLBACK_KEY',
    'PAYER_NAME_KEY',
    'FINGERPRINT_KEY',
    'DATABASE_URL',
  ])('is told without a value: %s', (name) => {
    const hush = 'hush-hush';
    const told = problems(() =>
      api({
        [name]: `${hush} `,
        MTPAY_ACK: hush,
        PAYMENT_WINDOW: hush,
        LATE_POLICY: hush,
        RATE_BAND_CNY: hush,
        API_LISTEN: hush,
        LOG_LEVEL: hush,
        TEMPORAL_UI_URL: hush,
        FEE_BAND: hush,
      }),
    );
    expect(told.length).toBeGreaterThanOrEqual(8);
    expect(told.join('\n')).not.toContain(hush);
  });
});

describe('a secret', () => {
  const secret = new Secret(Buffer.from('hush-hush'));
  const config = () => api({ MTPAY_SECRET_KEY: 'hush-hush,keep-it' });
  const { mtpay } = config().keys.rings;

  it('is shown to nobody who prints it or what holds it', () => {
    for (const printed of [
      String(secret),
      JSON.stringify({ secret }),
      inspect(secret, { showHidden: true, depth: 9 }),
      inspect(config(), { showHidden: true, depth: 9 }),
      JSON.stringify(config()),
      inspect(mtpay.verifying, { showHidden: true, depth: 9 }),
    ]) {
      expect(printed).not.toContain('hush');
      expect(printed).not.toContain(Buffer.from('hush-hush').toString('hex'));
      expect(printed).not.toContain('68 75 73 68');
    }
    expect(Object.keys(secret)).toEqual([]);
  });

  it('is itself when it is asked for', () => {
    expect(mtpay.current.secretKey.reveal().toString()).toBe('hush-hush,keep-it');
  });

  it.each([
    ['base64url', keyText(), 32],
    ['base64url with padding', `${keyText()}=`, 32],
    ['longer', randomBytes(64).toString('base64url'), 64],
  ])('of ours is read as %s', (_, text, length) => {
    expect(api({ CALLBACK_KEY: text }).keys.rings.callback.current.reveal()).toHaveLength(length);
  });

  it.each([
    ['too short', randomBytes(31).toString('base64url')],
    ['plain base64', Buffer.alloc(33, 0xfb).toString('base64')],
    ['with a blank', `${keyText()} `],
    ['a sentence', 'this is surely a secret that nobody will ever guess'],
  ])('of ours that is %s is refused', (_, text) => {
    for (const name of ['CALLBACK_KEY', 'FINGERPRINT_KEY_NEXT'])
      expect(problems(() => api({ [name]: text }))).toEqual([
        `${name}: expected at least 32 random bytes as base64url`,
      ]);
  });
});

describe('the database', () => {
  it('of the role goes before the common one', () => {
    const own = 'postgres://app_api@db.example/deposits';
    expect(api({ DATABASE_URL_API: own }).database).toEqual({ url: own });
    expect(api({ DATABASE_URL_API: own, DATABASE_URL: undefined }).database).toEqual({ url: own });
    expect(worker({ DATABASE_URL_API: own }).database).toEqual({ url: COMMON['DATABASE_URL'] });
    expect(worker({ DATABASE_URL_WORKER: own }).database).toEqual({ url: own });
  });

  it('of another role is no replacement', () => {
    const other = { DATABASE_URL: undefined, DATABASE_URL_API: 'postgres://app_api@db.example/deposits' };
    expect(problems(() => worker(other))).toEqual([
      'DATABASE_URL: neither it nor DATABASE_URL_WORKER is set',
      'DATABASE_URL: neither it nor DATABASE_URL_DECISIONS is set',
    ]);
  });

  it('to migrate is the owner’s', () => {
    const [own, common] = ['postgres://migrator@db.example/x', 'postgres://owner@db.example/x'];
    expect(loadMigrationUrl({ DATABASE_URL_MIGRATOR: own, DATABASE_URL: common })).toBe(own);
    expect(loadMigrationUrl({ DATABASE_URL_MIGRATOR: '', DATABASE_URL: common })).toBe(common);
    expect(() => loadMigrationUrl({ DATABASE_URL: '' })).toThrow(ConfigError);
    expect(() => loadMigrationUrl({ DATABASE_URL_API: own })).toThrow(ConfigError);
  });
});

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
    // What no eye sees: a provider that compares bytes would send the callback again for three days.
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

describe('a duration', () => {
  it.each([
    ['500ms', 500],
    ['90s', 90_000],
    ['30m', 1_800_000],
    ['73h', 262_800_000],
    ['2d', 172_800_000],
    ['0s', 0],
  ])('%s is %i ms', (text, ms) => {
    expect(api({ PAYMENT_WINDOW: text, LISTENING_WINDOW: text }).settings).toMatchObject({
      paymentWindowMs: ms,
      listeningWindowMs: ms,
    });
    expect(worker({ PLACE_WITHIN: text }).placeWithinMs).toBe(ms);
  });

  it.each(['30', '30 m', '-30m', '1.5h', '30M', '1h30m', 'm', '1w', '١m', '30m\n'])('is not %j', (text) => {
    expect(problems(() => api({ PAYMENT_WINDOW: text }))).toEqual([
      'PAYMENT_WINDOW: expected a duration such as 30m, 73h or 500ms',
    ]);
  });

  it.each(['3661d', '87841h', '999999999999999999d'])('is not as long as %s', (text) => {
    expect(problems(() => api({ LISTENING_WINDOW: text }))).toEqual(['LISTENING_WINDOW: at most 3660d']);
    expect(problems(() => worker({ PLACE_WITHIN: text }))).toEqual(['PLACE_WITHIN: at most 3660d']);
  });

  it.each([
    ['0s', 0],
    ['0ms', 0],
    ['1s', 1_000],
    ['2000ms', 2_000],
    ['60s', 60_000],
    ['1m', 60_000],
  ])('of the grid of own stamps is %s', (text, ms) => {
    expect(worker({ OWN_STAMP_GRID: text }).ownStampGridMs).toBe(ms);
  });

  it.each(['1ms', '500ms', '1500ms', '61s', '2m', '1h'])('of the grid of own stamps is not %s', (text) => {
    expect(problems(() => worker({ OWN_STAMP_GRID: text }))).toEqual([
      'OWN_STAMP_GRID: expected 0s, or whole seconds from 1s to 60s',
    ]);
  });

  it('of one call stays below that of its activity', () => {
    expect(worker({ MTPAY_DEADLINE: '25s' }).callDeadlineMs).toBe(25_000);
    expect(problems(() => worker({ MTPAY_DEADLINE: '25001ms' }))).toEqual([
      'MTPAY_DEADLINE: at most 25s, below the 30s of the activity',
    ]);
  });
});

describe('a band', () => {
  it.each([
    ['7-7', { from: '7', to: '7' }],
    ['6.50-8.00', { from: '6.50', to: '8.00' }],
    ['0.00000001-999999999999999', { from: '0.00000001', to: '999999999999999' }],
  ])('of rates is %s', (text, band) => {
    expect(api({ RATE_BAND_HKD: text }).settings.rateBands.HKD).toEqual(band);
  });

  it.each(['8-7', '7', '7-', '-8', '0-8', '7-8-9', '7--8', '7 - 8', '7,8', '7-8.123456789', 'a-b', '-'])(
    'of rates is not %s',
    (text) => {
      expect(problems(() => api({ RATE_BAND_TWD: text }))).toEqual([
        'RATE_BAND_TWD: expected FROM-TO, two positive decimals, such as 6.5-8.0',
      ]);
    },
  );

  it.each(['0', '0.01', '0.99999999'])('of fees is a share below one: %s', (text) => {
    expect(api({ FEE_BAND: text }).settings.feeBand).toBe(text);
  });

  it.each(['1', '1.5', '-0.1', '1%', '.5', '0.000000001'])('of fees is not %s', (text) => {
    expect(problems(() => api({ FEE_BAND: text }))).toHaveLength(1);
    expect(problems(() => api({ FEE_BAND_HKD: text }))).toHaveLength(1);
  });

  it('of fees may be another for one currency, and only what was said is frozen', () => {
    expect(api().settings).not.toHaveProperty('feeBands');
    expect(api({ FEE_BAND: '0.01', FEE_BAND_TWD: '0.02' }).settings).toMatchObject({
      feeBand: '0.01',
      feeBands: { TWD: '0.02' },
    });
  });
});

describe('the credit cap', () => {
  it('is absent unless it was said', () => {
    expect(api().settings).not.toHaveProperty('creditCap');
    expect(api({ CREDIT_CAP: '50000.5' }).settings).toMatchObject({ creditCap: '50000.5' });
  });

  it.each(['0', '-1', '1e5', 'none', '0.000000001'])('is not %s', (text) => {
    expect(problems(() => api({ CREDIT_CAP: text }))).toEqual([expect.stringContaining('CREDIT_CAP: expected')]);
  });
});

describe('a choice', () => {
  it('takes limits that are whole numbers from 1', () => {
    const names = ['API_RATE_LIMIT', 'API_RATE_BURST', 'API_FAILURE_LIMIT', 'API_FAILURE_BURST'];
    expect(api(Object.fromEntries(names.map((name, at) => [name, String(at + 1)])))).toMatchObject({
      limits: { key: { perSecond: 1, burst: 2 }, failure: { perSecond: 3, burst: 4 } },
    });
    for (const wrong of ['0', '-1', '1.5', '1e3', 'off', '1000000']) {
      expect(problems(() => api(Object.fromEntries(names.map((name) => [name, wrong]))))).toHaveLength(4);
    }
  });

  it('takes numbers of connections from 2 to 999', () => {
    expect(api({ API_CONNECTIONS: '4' }).connections).toBe(4);
    expect(worker({ WORKER_CONNECTIONS: '12' }).connections).toBe(12);
    for (const wrong of ['1', '0', '-2', '2.5', '1000', 'many']) {
      expect(problems(() => api({ API_CONNECTIONS: wrong }))).toEqual([expect.stringContaining('API_CONNECTIONS: ')]);
    }
  });

  it('is one of those there are', () => {
    expect(api({ LATE_POLICY: 'review', LOG_LEVEL: 'silent', REVIEW_LIMIT: '1000.5' })).toMatchObject({
      settings: { latePolicy: 'review', reviewLimit: '1000.5' },
      logLevel: 'silent',
    });
    expect(problems(() => api({ LATE_POLICY: 'CREDIT', LOG_LEVEL: 'loud', REVIEW_LIMIT: '-1' }))).toHaveLength(3);
  });

  it('of an address to listen on has a host and a port', () => {
    expect(api({ API_LISTEN: '0.0.0.0:0', CALLBACK_LISTEN: 'localhost:65535' })).toMatchObject({
      apiListen: { host: '0.0.0.0', port: 0 },
      callbackListen: { host: 'localhost', port: 65_535 },
    });
    expect(api({ API_LISTEN: '[::1]:8080', CALLBACK_LISTEN: '[::]:0' })).toMatchObject({
      apiListen: { host: '::1', port: 8080 },
      callbackListen: { host: '::', port: 0 },
    });
    for (const wrong of [
      '8080',
      ':8080',
      'localhost',
      'localhost:',
      'localhost:http',
      'localhost:65536',
      'a b:1',
      'a:1:2',
      '::1:8080',
      '[::1]',
      '[::1]8080',
      '[localhost]:8080',
      '[127.0.0.1]:8080',
      '[::1]:65536',
    ]) {
      expect(
        problems(() => api({ API_LISTEN: wrong })),
        wrong,
      ).toHaveLength(1);
    }
  });
});

describe('the address of a database', () => {
  it.each([
    'postgres://app:pw@db.example:5432/deposits',
    'postgresql://db.example/deposits?sslmode=require',
    'postgres:///deposits?host=/var/run/postgresql',
    'postgres://app:pw@/deposits?host=/var/run/postgresql',
  ])('may be %s', (url) => {
    expect(worker({ DATABASE_URL: url }).database.url).toBe(url);
    expect(loadMigrationUrl({ DATABASE_URL: url })).toBe(url);
  });

  it.each([
    'postgres://app:hush@[db/x',
    'postgres://app:hush@db:port/x',
    'app:hush@db/x',
    'https://app:hush@db/x',
    'postgres://app:hush@db/x\r',
  ])('that is none is refused without being shown: %s', (url) => {
    const told = 'DATABASE_URL: expected postgres://user:password@host:port/database';
    expect(problems(() => worker({ DATABASE_URL: url }))).toEqual([told]);
    expect(problems(() => api({ DATABASE_URL: url }))).toEqual([told]);
    expect(() => loadMigrationUrl({ DATABASE_URL: url })).toThrow(new ConfigError(told));
  });
});

describe('the seals of inbox rows', () => {
  it('are verified with keys of one’s own settings, in whatever number; the row from which on they are asked for may be pinned', () => {
    const two = [SEAL_ENV.INBOX_SEAL_PUBLIC_KEYS, keyText()].join(', ');
    expect(worker({ INBOX_SEAL_PUBLIC_KEYS: two, INBOX_SEAL_EPOCH: '12' }).sealEpoch).toBe('12');
    expect(problems(() => worker({ INBOX_SEAL_PUBLIC_KEYS: 'half a key', INBOX_SEAL_EPOCH: '-1' }))).toEqual([
      'INBOX_SEAL_EPOCH: expected the id of an inbox row, or 0',
      'INBOX_SEAL_PUBLIC_KEYS: expected Ed25519 public keys, each 32 bytes as base64url, separated by commas',
    ]);
  });

  it('would be of no use under a key that nobody can verify: the API does not start', () => {
    expect(problems(() => api({ INBOX_SEAL_KEY: keyText() }))).toEqual([
      'INBOX_SEAL_PUBLIC_KEYS: the public key of INBOX_SEAL_KEY is not among them',
    ]);
    expect(problems(() => api({ INBOX_SEAL_KEY: `${keyText()}AAAA` }))).toEqual([
      'INBOX_SEAL_KEY: expected 32 random bytes as base64url',
    ]);
    expect(problems(() => api({ INBOX_SEAL_KEY: 'A'.repeat(43) }))).toEqual([
      'INBOX_SEAL_KEY: is a sample or easy to guess; use a key of your own',
    ]);
  });

  it('are verified by the audit with its own settings, or with those of the local stack where it is that', () => {
    const ours = SEAL_ENV.INBOX_SEAL_PUBLIC_KEYS;
    expect(problems(() => loadSealConfig(null, {}))).toEqual(['INBOX_SEAL_PUBLIC_KEYS: is not set']);
    expect(loadSealConfig(ours, {})).toMatchObject({ sealEpoch: null });
    const given = keyText();
    const { publicKeys, sealEpoch } = loadSealConfig(ours, { INBOX_SEAL_PUBLIC_KEYS: given, INBOX_SEAL_EPOCH: '0' });
    expect([publicKeys.reveal().toString(), sealEpoch]).toEqual([given, '0']);
    expect(problems(() => loadSealConfig(ours, { INBOX_SEAL_EPOCH: 'x' }))).toHaveLength(1);
  });
});
