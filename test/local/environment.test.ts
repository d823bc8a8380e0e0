import { describe, expect, test } from 'vitest';
import {
  embeddedUrl,
  engineEnvironments,
  LocalSettingsError,
  migrationEnvironment,
  notifierEnvironment,
  ownerUrl,
  placesOf,
  readEmbedded,
  sandboxEnvironment,
  type Sources,
} from '../../local/stack/environment.ts';
import { SEAL_ENV } from '../support/seals.ts';

const keys = {
  callback: 'callback-key',
  payerName: 'payer-name-key',
  fingerprint: 'fingerprint-key',
  mtpayAccess: 'access',
  mtpaySecret: 'secret',
  sandboxControl: 'control',
  inboxSeal: SEAL_ENV.INBOX_SEAL_KEY,
  endpointSecret: 'endpoint-secret-key',
};
const ports = { api: 1, callback: 2, sandbox: 3, temporalUi: 4, temporal: 5, postgres: 6, shop: 7, listen: 8 };
const temporal = { address: '127.0.0.1:5', uiUrl: 'http://127.0.0.1:4' };
const server = 'postgres://postgres:its-password@127.0.0.1:6/postgres';
const sourcesOf = (env: Record<string, string>): Sources => ({ env, embedded: readEmbedded(env), keys, ports });

describe('each part is switched off by its own variable', () => {
  test.each([
    { env: {}, off: [] },
    { env: { DATABASE_URL: 'postgres://db/x' }, off: ['postgres'] },
    { env: { TEMPORAL_ADDRESS: 'temporal:7233' }, off: ['temporal'] },
    { env: { TEMPORAL_PROFILE: 'staging' }, off: ['temporal'] },
    { env: { MTPAY_BASE_URL: 'https://p', MTPAY_ACCESS_KEY: 'a', MTPAY_SECRET_KEY: 's' }, off: ['sandbox'] },
    { env: { DATABASE_URL: '', TEMPORAL_ADDRESS: '', MTPAY_BASE_URL: '' }, off: [] },
  ])('$env switches off $off', ({ env, off }) => {
    const embedded = Object.entries(readEmbedded(env));
    expect(embedded.flatMap(([name, isEmbedded]) => (isEmbedded ? [] : [name]))).toEqual(off);
  });

  test('half a setting is refused by name', () => {
    expect(() => readEmbedded({ MTPAY_BASE_URL: 'https://p', MTPAY_ACCESS_KEY: 'a' })).toThrow(LocalSettingsError);
    expect(() => readEmbedded({ DATABASE_URL_API: 'postgres://db/x' })).toThrow(
      /DATABASE_URL_API set without DATABASE_URL/,
    );
  });
});

test('with embedded servers each process gets its own role and nobody but the migrations the owner', () => {
  const sources = sourcesOf({ PATH: '/bin', PGHOST: 'elsewhere', PAYMENT_WINDOW: '5m', npm_config_x: 'y' });
  const { api, worker } = engineEnvironments(sources, server, temporal);
  const sandbox = sandboxEnvironment(sources, server);
  const notifier = notifierEnvironment(sources, server);
  const own = [
    api['DATABASE_URL_API'],
    worker['DATABASE_URL_WORKER'],
    sandbox['DATABASE_URL_SANDBOX'],
    notifier['DATABASE_URL_NOTIFIER'],
  ];
  const roles = [
    /^app_api@.*\/deposits$/,
    /^app_worker@.*\/deposits$/,
    /^sandbox@.*\/sandbox$/,
    /^app_notifier@.*\/deposits$/,
  ];
  for (const [index, role] of roles.entries()) {
    expect(own[index]?.replace(/^postgres:\/\/(\w+):[\w-]{43}@127\.0\.0\.1:6/, '$1@')).toMatch(role);
  }
  // A verifier of seals cannot make any.
  expect(api).toMatchObject(SEAL_ENV);
  expect(worker).toMatchObject({ ...SEAL_ENV, INBOX_SEAL_KEY: '' });
  expect(JSON.stringify(sandbox)).not.toContain(SEAL_ENV.INBOX_SEAL_KEY);
  // No process can log in with another's password.
  expect(new Set(own.map((url) => new URL(url ?? '').password)).size).toBe(4);
  expect(JSON.stringify([api, worker, sandbox, notifier])).not.toContain('its-password');
  expect(embeddedUrl(server, 'app_api', 'deposits')).toBe(own[0]);
  expect(migrationEnvironment(sources, server)['DATABASE_URL']).toBe(server.replace(/postgres$/, 'deposits'));
  for (const environment of [api, worker, sandbox, notifier]) {
    expect(environment).not.toHaveProperty('DATABASE_URL');
    expect(environment).not.toHaveProperty('PGHOST');
    expect(environment).not.toHaveProperty('npm_config_x');
    expect(environment).toMatchObject({ PATH: '/bin', PAYMENT_WINDOW: '5m' });
  }
  expect(api).toMatchObject({
    API_LISTEN: '127.0.0.1:1',
    CALLBACK_LISTEN: '127.0.0.1:2',
    CALLBACK_BASE_URL: 'http://127.0.0.1:2',
    MTPAY_BASE_URL: 'http://127.0.0.1:3',
    MTPAY_ACCESS_KEY: 'access',
    MTPAY_SECRET_KEY: 'secret',
    MTPAY_ACK: 'text:SUCCESS',
    TEMPORAL_ADDRESS: '127.0.0.1:5',
    TEMPORAL_UI_URL: 'http://127.0.0.1:4',
  });
});

test('the sandbox knows no key of the engine but the pair they share', () => {
  const given = { CALLBACK_KEY: 'c', PAYER_NAME_KEY: 'n', TEMPORAL_CODEC_KEY: 't', TEMPORAL_CODEC_KEY_PREVIOUS: 'p' };
  const environment = sandboxEnvironment(sourcesOf(given), server);
  for (const name of Object.keys(given)) expect(environment).not.toHaveProperty(name);
  const values = Object.values(environment);
  expect(values).toEqual(expect.arrayContaining([keys.mtpayAccess, keys.mtpaySecret, keys.sandboxControl]));
  for (const key of [keys.callback, keys.payerName, keys.fingerprint]) expect(values).not.toContain(key);
});

describe('the notifier', () => {
  test('knows the key of endpoints’ secrets as the API does, and nothing that leads to the provider or to Temporal', () => {
    const given = {
      PATH: '/bin',
      CALLBACK_KEY_PREVIOUS_UNTIL: '2026-03-01T12:00:00Z',
      TEMPORAL_CODEC_KEY: 't',
      TEMPORAL_ADDRESS: 'temporal:7233',
      MTPAY_BASE_URL: 'https://mtpay.example',
      MTPAY_ACCESS_KEY: 'real-access',
      MTPAY_SECRET_KEY: 'real-secret',
      MTPAY_SECRET_KEY_NEXT_FILE: '/keys/next',
      HTTPS_PROXY: 'http://user:password@proxy.example',
      NOTIFY_AT_ONCE: '8',
    };
    const sources = sourcesOf(given);
    const { api, worker } = engineEnvironments(sources, server, null);
    const local = '127.0.0.1:7,localhost:7,127.0.0.1:8,localhost:8';
    expect(notifierEnvironment(sources, server)).toEqual({
      PATH: '/bin',
      NOTIFY_AT_ONCE: '8',
      NOTIFY_LOCAL_TARGETS: local,
      ENDPOINT_SECRET_KEY: keys.endpointSecret,
      DATABASE_URL_NOTIFIER: embeddedUrl(server, 'app_notifier', 'deposits'),
      LOG_LEVEL: 'info',
    });
    expect(api).toMatchObject({ ENDPOINT_SECRET_KEY: keys.endpointSecret, NOTIFY_LOCAL_TARGETS: local });
    expect(worker['ENDPOINT_SECRET_KEY']).toBe('');
  });

  test('takes the user’s database, key and local endpoints; in production no endpoint is local', () => {
    const env = {
      DATABASE_URL: 'postgres://db/x',
      DATABASE_URL_API: 'postgres://api@db/x',
      DATABASE_URL_NOTIFIER: 'postgres://notifier@db/x',
      ENDPOINT_SECRET_KEY_FILE: '/keys/endpoints',
      NOTIFY_LOCAL_TARGETS: '127.0.0.1:4010',
    };
    const notifier = notifierEnvironment(sourcesOf(env), null);
    const { DATABASE_URL_API: _, ...theirs } = env;
    expect(notifier).toMatchObject({
      ...theirs,
      ENDPOINT_SECRET_KEY: '',
      NOTIFY_LOCAL_TARGETS: '127.0.0.1:7,localhost:7,127.0.0.1:8,localhost:8,127.0.0.1:4010',
    });
    expect(notifier).not.toHaveProperty('DATABASE_URL_API');
    expect(notifierEnvironment(sourcesOf({ NODE_ENV: 'production' }), server)).not.toHaveProperty(
      'NOTIFY_LOCAL_TARGETS',
    );
  });
});

test('variables about another Temporal do not reach processes that use the embedded one', () => {
  const env = { TEMPORAL_NAMESPACE: 'prod', TEMPORAL_API_KEY: 'theirs', TEMPORAL_TLS: 'true' };
  const { worker } = engineEnvironments(sourcesOf(env), server, temporal);
  expect(worker['TEMPORAL_NAMESPACE']).toBe('default');
  expect(worker).not.toHaveProperty('TEMPORAL_API_KEY');
  expect(worker).not.toHaveProperty('TEMPORAL_TLS');
});

test('external servers are passed through as they were given', () => {
  const env = {
    DATABASE_URL: 'postgres://db/x',
    DATABASE_URL_API: 'postgres://api@db/x',
    PGSSLMODE: 'require',
    TEMPORAL_ADDRESS: 'temporal:7233',
    TEMPORAL_API_KEY: 'theirs',
    MTPAY_BASE_URL: 'https://mtpay.example',
    MTPAY_ACCESS_KEY: 'real-access',
    MTPAY_SECRET_KEY: 'real-secret',
    CALLBACK_BASE_URL: 'https://callbacks.example',
    CALLBACK_LISTEN: '0.0.0.0:8081',
    API_LISTEN: '0.0.0.0:8080',
  };
  const sources = sourcesOf(env);
  const { api, worker } = engineEnvironments(sources, null, null);
  for (const environment of [api, worker]) expect(environment).toMatchObject(env);
  expect(ownerUrl(env, null)).toBe('postgres://db/x');
  expect(placesOf(env, ports, sources.embedded)).toMatchObject({ apiUrl: 'http://127.0.0.1:8080', sandboxUrl: null });
});

test('what the user sets wins over what the stack would choose', () => {
  const env = { CALLBACK_KEY: 'mine', MTPAY_ACK: 'json:{"success":true}', SANDBOX_SPEED: '1', LOG_LEVEL: 'debug' };
  const sources = sourcesOf(env);
  expect(engineEnvironments(sources, server, temporal).api).toMatchObject({ ...env });
  expect(sandboxEnvironment(sources, server)['SANDBOX_SPEED']).toBe('1');
});

test("the codec's keys reach the engine also where Temporal is embedded; what says where another server is does not", () => {
  const given = { TEMPORAL_CODEC_KEY: 't', TEMPORAL_CODEC_KEY_PREVIOUS: 'p', TEMPORAL_API_KEY: 'elsewhere' };
  const { api, worker } = engineEnvironments(sourcesOf(given), server, { address: '127.0.0.1:5', uiUrl: null });
  for (const environment of [api, worker]) {
    expect(environment).toMatchObject({ TEMPORAL_CODEC_KEY: 't', TEMPORAL_CODEC_KEY_PREVIOUS: 'p' });
    expect(environment).not.toHaveProperty('TEMPORAL_API_KEY');
  }
});
