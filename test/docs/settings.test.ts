import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { loadApiConfig } from '../../config/settings/api.ts';
import { loadNotifierConfig } from '../../config/settings/notifier.ts';
import { loadWorkerConfig } from '../../config/settings/worker.ts';
import { loadSandboxConfig } from '../../sandbox/config.ts';
import {
  documentedVariables,
  engineVariables,
  exampleVariables,
  sandboxVariables,
  temporalVariables,
} from './variables.ts';
import { SEAL_ENV } from '../support/seals.ts';

const documented = documentedVariables();
const example = exampleVariables();
const names = documented.map((variable) => variable.name);
const byName = new Map(documented.map((variable) => [variable.name, variable]));

test('docs/reference/settings.md has every variable that the programs read, once', () => {
  expect(new Set(names).size).toBe(names.length);
  expect(engineVariables.length).toBeGreaterThan(25);
  expect(sandboxVariables.length).toBeGreaterThan(20);
  expect(temporalVariables.length).toBeGreaterThan(10);
  const read = [...new Set([...engineVariables, ...sandboxVariables, ...temporalVariables])];
  expect(read.filter((name) => !names.includes(name))).toEqual([]);
});

test('.env.example lists the same variables, each under a comment, with the documented default and no secret', () => {
  expect(example.map((variable) => variable.name).toSorted()).toEqual(names.toSorted());
  expect(example.filter((variable) => !variable.hasComment)).toEqual([]);
  for (const { name, value } of example)
    expect({ name, value }).toEqual({ name, value: byName.get(name)?.default ?? '' });
});

const key = () => randomBytes(32).toString('base64url');
const required = {
  DATABASE_URL: 'postgres://localhost/x',
  MTPAY_BASE_URL: 'https://mtpay.example',
  MTPAY_ACCESS_KEY: key(),
  MTPAY_SECRET_KEY: key(),
  CALLBACK_BASE_URL: 'https://us.example',
  CALLBACK_KEY: key(),
  PAYER_NAME_KEY: key(),
  FINGERPRINT_KEY: key(),
  ...SEAL_ENV,
};
const ENDPOINT_KEY = { ENDPOINT_SECRET_KEY: key() };

describe('a documented default is the real one: saying it changes nothing', () => {
  const defaults = documented.filter((variable) => variable.default !== null);
  // Compares the JSON, where secrets are redacted: toEqual on the objects would compare key material too.
  const shown = (config: unknown) => JSON.parse(JSON.stringify(config)) as unknown;

  const engine = defaults.filter(({ name }) => engineVariables.includes(name) && !name.startsWith('TEMPORAL_'));
  test.each(engine.map((variable) => [variable.name, variable.default!] as const))('%s is %s', (name, value) => {
    const said = { ...required, [name]: value };
    expect(shown(loadApiConfig(said))).toEqual(shown(loadApiConfig(required)));
    expect(shown(loadWorkerConfig(said))).toEqual(shown(loadWorkerConfig(required)));
    const notifier = { ...required, ...ENDPOINT_KEY };
    expect(shown(loadNotifierConfig({ ...notifier, [name]: value }))).toEqual(shown(loadNotifierConfig(notifier)));
  });

  const sandbox = defaults.filter(({ name }) => sandboxVariables.includes(name));
  test.each(sandbox.map((variable) => [variable.name, variable.default!] as const))('%s is %s', (name, value) => {
    const base = { DATABASE_URL: required.DATABASE_URL, SANDBOX_CONTROL_TOKEN: required.CALLBACK_KEY };
    expect(loadSandboxConfig({ ...base, [name]: value })).toEqual(loadSandboxConfig(base));
  });

  test('and there are many of them', () => {
    expect(engine.length).toBeGreaterThan(14);
    expect(sandbox.length).toBeGreaterThan(14);
  });
});

test('what the page calls required is required', () => {
  for (const name of Object.keys(required).filter((variable) => variable !== 'DATABASE_URL')) {
    const load = name === 'CALLBACK_BASE_URL' ? loadWorkerConfig : loadApiConfig;
    expect(() => load({ ...required, [name]: '' }), name).toThrow(`${name}: is not set`);
  }
  expect(() => loadNotifierConfig(required)).toThrow('ENDPOINT_SECRET_KEY: is not set');
});
