import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { loadCallbacksConfig } from '../../config/settings/callbacks.ts';
import { notifyTargets, targetRulesOf } from '../../config/settings/notifications.ts';
import { ConfigError, readVariables } from '../../config/settings/read-environment.ts';
import { SEAL_ENV } from '../support/seals.ts';

const read = (env: Record<string, string>) => readVariables(z.object(notifyTargets), env);

describe('local targets', () => {
  it('are hosts with ports, as a URL has them', () => {
    const list = '127.0.0.1:4010, 127.1:80,LOCALHOST:443,[0:0::1]:8290,sandbox:8290';
    expect(targetRulesOf(read({ NOTIFY_LOCAL_TARGETS: list })).localTargets).toEqual([
      '127.0.0.1:4010',
      '127.0.0.1:80',
      'localhost:443',
      '[::1]:8290',
      'sandbox:8290',
    ]);
    expect(targetRulesOf(read({}))).toMatchObject({ localTargets: [], deny: { rules: [] } });
  });

  it.each([
    '127.0.0.1',
    'localhost:',
    'localhost:0',
    'localhost:70000',
    'http://localhost:80',
    'a@b:80',
    'a/b:80',
    'x:1,:2',
  ])('are not %s', (list) => {
    expect(() => read({ NOTIFY_LOCAL_TARGETS: list })).toThrow('NOTIFY_LOCAL_TARGETS: expected host:port');
  });

  it('stop a process in production, and nothing else about them does', () => {
    const key = 'b1J5tP0Qm2h7cX9vR4sL8kD3nW6yZ1aFgT5uE0oIjVw';
    const env = {
      DATABASE_URL: 'postgres://localhost/x',
      MTPAY_ACCESS_KEY: 'Ck2dVb8Rm5',
      MTPAY_SECRET_KEY: 'q9Zt4XwL7s',
      CALLBACK_KEY: key,
      ...SEAL_ENV,
    };
    const local = { ...env, NOTIFY_LOCAL_TARGETS: '127.0.0.1:4010' };
    expect(loadCallbacksConfig(local)).toBeDefined();
    expect(loadCallbacksConfig({ ...env, NOTIFY_LOCAL_TARGETS: '', NODE_ENV: 'production' })).toBeDefined();
    const start = () => loadCallbacksConfig({ ...local, NODE_ENV: 'production' });
    expect(start).toThrow(ConfigError);
    expect(start).toThrow('NOTIFY_LOCAL_TARGETS: is set');
    expect(start).not.toThrow('4010');
  });
});

describe('denied addresses', () => {
  it('are ranges or single addresses of both families', () => {
    const { deny } = targetRulesOf(read({ NOTIFY_DENY: '8.8.8.0/24, 1.1.1.1,2606:4700::/32,2a00::1' }));
    const denied = ['8.8.8.8', '8.8.9.8', '1.1.1.1', '1.1.1.2'].map((address) => deny.check(address));
    const denied6 = ['2606:4700::1', '2606:4701::1', '2a00::1', '2a00::2'].map((address) =>
      deny.check(address, 'ipv6'),
    );
    expect([denied, denied6]).toEqual([
      [true, false, true, false],
      [true, false, true, false],
    ]);
  });

  it.each(['8.8.8', '8.8.8.8/33', '8.8.8.8/-1', '8.8.8.8/', '::/129', 'fe80::1%eth0', 'dns.google', '8.8.8.8;1.1.1.1'])(
    'are not %s',
    (list) => {
      expect(() => read({ NOTIFY_DENY: list })).toThrow('NOTIFY_DENY: expected addresses');
    },
  );
});
