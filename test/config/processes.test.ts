import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { armCrashPoint, crashPoint } from '../../telemetry/crash-points.ts';
import { Secret } from '../../config/keys/secret.ts';
import { raiseAlarm } from '../../telemetry/alarms.ts';
import { createLog } from '../../telemetry/log.ts';
import { isTemporalGiven, loadTemporal } from '../../config/temporal.ts';

describe('a crash point', () => {
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
  afterEach(() => {
    kill.mockClear();
    armCrashPoint({ CRASH_AT: 'none' });
  });

  it('kills the process the nth time it is reached, as hard as can be, and no other point does', () => {
    armCrashPoint({ CRASH_AT: 'credit.afterCommit:2' });
    crashPoint('credit.beforeTx');
    crashPoint('credit.afterCommit');
    expect(kill).not.toHaveBeenCalled();
    crashPoint('credit.afterCommit');
    expect(kill.mock.calls).toEqual([[process.pid, 'SIGKILL']]);
  });

  it('is the first time when nothing else is said', () => {
    armCrashPoint({ CRASH_AT: 'cb.afterCommit' });
    crashPoint('cb.afterCommit');
    expect(kill).toHaveBeenCalledTimes(1);
  });

  it('is harmless in production, and when none is named', () => {
    for (const env of [{ CRASH_AT: 'cb.afterCommit', NODE_ENV: 'production' }, { CRASH_AT: '' }, {}]) {
      armCrashPoint(env);
      crashPoint('cb.afterCommit');
    }
    expect(kill).not.toHaveBeenCalled();
  });
});

describe('a log', () => {
  it('says who speaks, and what a person must look at in a field of its own', () => {
    const lines: string[] = [];
    const log = pino({ base: { part: 'worker' } }, { write: (line: string) => void lines.push(line) });
    raiseAlarm(log, 'ledger_conflict', { deposit: 'o-1', key: new Secret(Buffer.from('hush')) });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      level: 50,
      part: 'worker',
      alarm: 'ledger_conflict',
      deposit: 'o-1',
      key: '[redacted]',
    });
    expect(createLog('api', 'silent').bindings()).toMatchObject({ part: 'api' });
    expect(createLog('api', 'warn').isLevelEnabled('info')).toBe(false);
  });
});

describe('Temporal', () => {
  const file = (name: string, text: string) => {
    const folder = mkdtempSync(join(tmpdir(), 'temporal-config-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('is where its own variables say', () => {
    const env = {
      TEMPORAL_CONFIG_FILE: '/dev/null',
      TEMPORAL_ADDRESS: 'temporal.example:7233',
      TEMPORAL_NAMESPACE: 'pay',
    };
    expect(loadTemporal(env)).toMatchObject({
      namespace: 'pay',
      connectionOptions: { address: 'temporal.example:7233' },
    });
    expect(loadTemporal({ ...env, TEMPORAL_NAMESPACE: undefined }).namespace).toBe('default');
  });

  it('is where a profile says, unless a variable says otherwise', () => {
    const path = file(
      'temporal.toml',
      '[profile.default]\naddress = "profile.example:7233"\nnamespace = "from-profile"\n',
    );
    expect(loadTemporal({ TEMPORAL_CONFIG_FILE: path })).toMatchObject({
      namespace: 'from-profile',
      connectionOptions: { address: 'profile.example:7233' },
    });
    expect(loadTemporal({ TEMPORAL_CONFIG_FILE: path, TEMPORAL_NAMESPACE: 'mine' }).namespace).toBe('mine');
  });

  it('takes an empty file for none', () => {
    const path = file('empty.toml', '');
    expect(loadTemporal({ TEMPORAL_CONFIG_FILE: path, TEMPORAL_ADDRESS: 'a.example:7233' })).toMatchObject({
      namespace: 'default',
      connectionOptions: { address: 'a.example:7233' },
    });
  });

  it('is given by any of its variables, and not by an empty one', () => {
    expect(isTemporalGiven({})).toBe(false);
    expect(isTemporalGiven({ TEMPORAL_ADDRESS: '' })).toBe(false);
    for (const name of ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE']) {
      expect(isTemporalGiven({ [name]: 'x' })).toBe(true);
    }
  });
});
