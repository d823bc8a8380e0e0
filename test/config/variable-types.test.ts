import { describe, expect, it } from 'vitest';
import { loadMigrationUrl } from '../../config/settings/migration.ts';
import { ConfigError } from '../../config/settings/read-environment.ts';
import { api, problems, worker } from './settings.ts';

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

  it('takes pollers and kept workflows from 2', () => {
    expect(worker({})).toMatchObject({ pollers: 40, cachedWorkflows: 2_000 });
    expect(worker({ WORKER_POLLERS: '2', WORKER_CACHE: '20000' })).toMatchObject({
      pollers: 2,
      cachedWorkflows: 20_000,
    });
    for (const wrong of ['1', '0', '-2', '2.5', '1000000', 'many'])
      expect(problems(() => worker({ WORKER_POLLERS: wrong, WORKER_CACHE: wrong }))).toEqual([
        expect.stringContaining('WORKER_POLLERS: '),
        expect.stringContaining('WORKER_CACHE: '),
      ]);
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
