import { randomBytes } from 'node:crypto';
import { BlockList } from 'node:net';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { sealPublicKeys } from '../../config/keys/inbox-seal.ts';
import { KeySource } from '../../config/keys/key-source.ts';
import { Secret } from '../../config/keys/secret.ts';
import { loadApiConfig } from '../../config/settings/api.ts';
import { loadMigrationUrl } from '../../config/settings/migration.ts';
import { ConfigError } from '../../config/settings/read-environment.ts';
import { loadSealTrust } from '../../config/settings/seals.ts';
import { SEAL_ENV } from '../support/seals.ts';
import { api, COMMON, keyText, problems, worker } from './settings.ts';

describe('what is not configured', () => {
  it('has the documented default in the API', () => {
    expect(api()).toEqual({
      database: { url: COMMON['DATABASE_URL'] },
      connections: 8,
      keys: expect.any(KeySource),
      endpointSecrets: null,
      targets: { localTargets: [], deny: expect.any(BlockList) },
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
      pollers: 40,
      cachedWorkflows: 2_000,
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
    expect(problems(() => loadSealTrust(null, {}))).toEqual(['INBOX_SEAL_PUBLIC_KEYS: is not set']);
    expect(loadSealTrust(ours, {})).toMatchObject({ epoch: null });
    const given = keyText();
    const { publicKeys, epoch } = loadSealTrust(ours, { INBOX_SEAL_PUBLIC_KEYS: given, INBOX_SEAL_EPOCH: '0' });
    expect([[...publicKeys.keys()], epoch]).toEqual([[...sealPublicKeys(new Secret(Buffer.from(given))).keys()], '0']);
    expect(problems(() => loadSealTrust(ours, { INBOX_SEAL_EPOCH: 'x' }))).toHaveLength(1);
  });
});
