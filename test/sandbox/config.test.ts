import { expect, test } from 'vitest';
import { loadSandboxConfig, SandboxConfigError } from '../../sandbox/config.ts';

const DATABASE_URL = 'postgres://localhost/sandbox';

const problemsOf = (env: Record<string, string>): string => {
  try {
    loadSandboxConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(SandboxConfigError);
    return (error as Error).message;
  }
  return '';
};

test('only a database is needed; everything else has a stated default', () => {
  const config = loadSandboxConfig({ DATABASE_URL });
  expect(config.listen).toEqual({ host: '127.0.0.1', port: 8290 });
  expect(config.settings).toEqual({
    speed: 1,
    retryReading: 'gaps',
    resign: 'fresh',
    repeatedOrder: 'error',
    frozen: false,
    prices: { CNY: '7.2', HKD: '7.8', TWD: '32' },
    fees: { percent: '0', fixed: '0', borneBy: 'merchant', report: 'net' },
    signsWith: 'placing',
    autoRelease: true,
    releaseDelayMs: 2_000,
    orderLifetimeMs: 1_800_000,
    timestampWindowMs: 300_000,
    usedStamps: 'accept',
    answerTimeoutMs: 10_000,
    acks: ['text:SUCCESS', 'json:{"success":true}', 'json:"SUCCESS"'],
    callbackHosts: ['loopback'],
  });
  expect(config.controlTokenIsGenerated).toBe(true);
  expect(config).toMatchObject({ tlsDirectory: '.data/sandbox-tls', plainHttp: 'none' });
});

test('a problem says the form that is expected', () => {
  const wrong = {
    DATABASE_URL,
    SANDBOX_SPEED: 'abc',
    SANDBOX_CONNECTIONS: '1.5',
    SANDBOX_LOG_LEVEL: 'loud',
    SANDBOX_RELEASE_DELAY: 'soon',
  };
  expect(problemsOf(wrong).split('\n')).toEqual([
    'The sandbox cannot start:',
    '  SANDBOX_CONNECTIONS must be a whole number',
    '  SANDBOX_LOG_LEVEL must be one of trace, debug, info, warn, error, silent',
    '  SANDBOX_SPEED must be a number',
    '  SANDBOX_RELEASE_DELAY must be a duration such as 500ms, 2s, 30m, 73h',
  ]);
});

test('a database of its own goes before the common one', () => {
  const own = 'postgres://localhost/own';
  expect(loadSandboxConfig({ DATABASE_URL, DATABASE_URL_SANDBOX: own }).databaseUrl).toBe(own);
});

test('every problem is told at once, by the name of its variable', () => {
  const problems = problemsOf({
    SANDBOX_LISTEN: 'here',
    SANDBOX_PUBLIC_URL: 'http://host/path',
    SANDBOX_SHOP_URL: 'javascript:alert(1)',
    SANDBOX_SPEED: 'fast',
    SANDBOX_RETRY_READING: 'both',
    SANDBOX_RELEASE_DELAY: '2 seconds',
    SANDBOX_PRICE_CNY: '-1',
    SANDBOX_ACK: 'SUCCESS',
    SANDBOX_USED_STAMPS: 'refuse',
    SANDBOX_TIME_ZONE: 'Mars/Olympus',
  });
  for (const name of [
    'LISTEN',
    'PUBLIC_URL',
    'SHOP_URL',
    'SPEED',
    'RETRY_READING',
    'RELEASE_DELAY',
    'PRICE_CNY',
    'ACK',
    'USED_STAMPS',
    'TIME_ZONE',
  ]) {
    expect(problems).toContain(`SANDBOX_${name} `);
  }
});

test('a shop has an address of http or https, with the order number nowhere but in path or query', () => {
  const of = (SANDBOX_SHOP_URL: string) => problemsOf({ DATABASE_URL, SANDBOX_SHOP_URL });
  for (const right of ['https://shop.example', 'http://127.0.0.1:1/{externalOrderNumber}?n={externalOrderNumber}']) {
    expect(of(right)).toBe('');
  }
  for (const wrong of [
    'data:text/html,x',
    '//shop.example',
    'https://me@shop.example',
    'https://{externalOrderNumber}/',
  ])
    expect([wrong, of(wrong)]).toEqual([wrong, expect.stringContaining('SANDBOX_SHOP_URL must be an http or https')]);
});

test('no database, or half a key pair, is a problem', () => {
  expect(problemsOf({})).toContain('DATABASE_URL_SANDBOX');
  expect(problemsOf({ DATABASE_URL, SANDBOX_ACCESS_KEY: 'x'.repeat(32) })).toContain('SANDBOX_SECRET_KEY');
});

test('a refused secret is not repeated in the message', () => {
  expect(
    problemsOf({ DATABASE_URL, SANDBOX_ACCESS_KEY: 'a'.repeat(32), SANDBOX_SECRET_KEY: 'hush-hush' }),
  ).not.toContain('hush');
});

test('spaces in an acknowledgement body count', () => {
  const { settings } = loadSandboxConfig({ DATABASE_URL, SANDBOX_ACK: 'text:OK |json:{"ok": 1}' });
  expect(settings.acks).toEqual(['text:OK ', 'json:{"ok": 1}']);
});

test('without TLS it must be said who is answered over plain HTTP', () => {
  expect(problemsOf({ DATABASE_URL, SANDBOX_TLS: 'off' })).toContain('SANDBOX_ALLOW_PLAIN_HTTP');
  const config = loadSandboxConfig({ DATABASE_URL, SANDBOX_TLS: 'off', SANDBOX_ALLOW_PLAIN_HTTP: 'loopback' });
  expect(config).toMatchObject({ tlsDirectory: null, plainHttp: 'loopback' });
});

test.each(['-1', '100', '1e1', '0.0000001', ''])('a fee of %j percent is refused or not set', (percent) => {
  const problems = problemsOf({ DATABASE_URL, SANDBOX_FEE_PERCENT: percent });
  expect(problems.includes('SANDBOX_FEE_PERCENT')).toBe(percent !== '');
});
