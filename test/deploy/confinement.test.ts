import { describe, expect, test } from 'vitest';
import { documentedVariables } from '../docs/variables.ts';
import { file, networksOf, once, ours, read, services, text } from './compose-file.ts';

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
      'notifier',
      'sandbox',
      'settings',
      'tools',
      'worker',
    ]);
    for (const [name, service] of [...ours, ...services.filter(([, { image }]) => image.startsWith('postgres:'))]) {
      expect(service.user, name).toMatch(/^(node|postgres)$/);
    }
    for (const [name, service] of services) expect(service.read_only, name).toBe(true);
  });

  test('everything is bounded: memory, processes, what it writes into /tmp and into its log', () => {
    for (const [name, { mem_limit, pids_limit, tmpfs, logging }] of services) {
      expect(mem_limit, name).toMatch(/^\d+[mg]$/);
      expect(pids_limit, name).toBeGreaterThan(0);
      for (const mount of tmpfs!) expect(mount, name).toMatch(/:size=\d+m/);
      expect(logging!.options, name).toEqual({ 'max-size': '20m', 'max-file': '5' });
    }
  });

  test('what runs once is not tried for ever: it ends with its reason', () => {
    expect(once.toSorted()).toEqual([
      'audit',
      'logins',
      'migrate',
      'settings',
      'temporal-namespace',
      'temporal-schema',
      'tools',
    ]);
    for (const [name, { restart }] of services) expect(restart, name).toMatch(/^(no|unless-stopped)$/);
  });

  test('every process works as its own database login', () => {
    const login = (name: string) =>
      Object.values(file.services[name]!.environment!)
        .map((value) => /postgres:\/\/(\w+):/.exec(value)?.[1])
        .filter((found) => found !== undefined);
    expect(login('api')).toEqual(['app_api']);
    expect(login('callbacks')).toEqual(['app_api']);
    expect(login('worker')).toEqual(['app_worker', 'app_decisions']);
    expect(login('notifier')).toEqual(['app_notifier']);
    expect(login('migrate')).toEqual(['deposits_migrator']);
    expect(login('sandbox')).toEqual(['sandbox']);
    expect(login('audit')).toEqual(['auditor', 'archiver']);
  });

  const neighbours = (name: string) => {
    const own = networksOf(file.services[name]!);
    return services
      .filter(([other, service]) => other !== name && networksOf(service).some((network) => own.includes(network)))
      .map(([other]) => other)
      .toSorted();
  };

  test('databases and Temporal are on inner networks only', () => {
    for (const name of ['postgres', 'temporal']) {
      for (const network of networksOf(file.services[name]!))
        expect(file.networks[network], network).toEqual({ internal: true });
      expect(file.services[name]!.ports).toBeUndefined();
    }
    const { api, callbacks } = file.services;
    expect(callbacks!.environment).toMatchObject({ API_LISTEN: '127.0.0.1:8080', CALLBACK_LISTEN: '0.0.0.0:8081' });
    expect(api!.environment).toMatchObject({ API_LISTEN: '0.0.0.0:8080', CALLBACK_LISTEN: '127.0.0.1:8081' });
  });

  test('who is talked to from outside can reach what it needs and nothing else', () => {
    expect(neighbours('callbacks')).toEqual(['callbacks-proxy', 'postgres']);
    expect(neighbours('callbacks-proxy')).toEqual(['callbacks', 'sandbox', 'worker']);
    expect(neighbours('api-proxy')).toEqual(['api']);
    expect(neighbours('notifier')).toEqual(['postgres']);
    expect(neighbours('sandbox')).toEqual(['callbacks-proxy', 'postgres', 'worker']);
    expect(neighbours('temporal-ui')).toEqual(['temporal']);
  });

  test('only worker and notifier have a way out, each its own', () => {
    const leadsOut = Object.entries(file.networks)
      .filter(
        ([, network]) =>
          network.internal !== true &&
          JSON.stringify(network.driver_opts) !== '{"com.docker.network.bridge.enable_ip_masquerade":"false"}',
      )
      .map(([name]) => name);
    expect(leadsOut).toEqual(['outbound', 'notifier-outbound']);
    for (const [owner, way] of [
      ['worker', 'outbound'],
      ['notifier', 'notifier-outbound'],
    ] as const) {
      const inIt = services.filter(([, service]) => networksOf(service).includes(way));
      expect(inIt.map(([name]) => name)).toEqual([owner]);
      // Docker uses the first of a container's networks, by name, for all targets outside of them.
      expect(
        networksOf(file.services[owner]!)
          .filter((network) => file.networks[network]!.internal !== true)
          .toSorted()[0],
      ).toBe(way);
    }
  });

  test('what is published is published on this machine only', () => {
    for (const [name, { ports = [] }] of services) {
      // One port, not a range: it is the same after a crash, and a proxy in front still finds it.
      for (const port of ports) expect(port, name).toMatch(/^(\$\{[A-Z_]+:-)?127\.0\.0\.1:\d+\}?:\d+$/);
    }
  });

  test('worker, API, callbacks and notifier can be run several times', () => {
    for (const name of ['worker', 'api', 'callbacks', 'notifier']) {
      const { container_name, ports } = file.services[name]!;
      expect(container_name).toBeUndefined();
      // A host port can be taken only once; the proxies have it.
      expect(ports).toBeUndefined();
    }
  });

  test('the sandbox, the notifier, the audit and the tools start only when they are asked for', () => {
    const profiled = services.filter(([, { profiles }]) => profiles !== undefined).map(([name]) => name);
    expect(profiled.toSorted()).toEqual(['audit', 'notifier', 'sandbox', 'tools']);
  });

  test('all connections to PostgreSQL fit into its limit, at the documented scale, with one more of each and everything else running', () => {
    const numberOf = (name: string, variable: string): number => {
      const value = file.services[name]!.environment![variable]!;
      // An unset variable means the program's default.
      const own = documentedVariables().find((one) => one.name === variable)?.default;
      return Number(value === `\${${variable}:-}` ? own : value);
    };
    const documented = /docker compose up -d --scale worker=(\d+) --scale api=(\d+) --scale callbacks=(\d+)/.exec(
      read('docs/guides/deployment.md'),
    )!;
    const [workers, apis, callbacks] = documented.slice(1).map((count) => Number(count) + 1);
    const perApi = 3 * numberOf('api', 'API_CONNECTIONS');
    const perWorker = numberOf('worker', 'WORKER_CONNECTIONS') + 2;
    const perNotifier = Number(/const CONNECTIONS = (\d+)/.exec(read('notifications/start.ts'))![1]) + 1;
    const temporal = 4 * (numberOf('temporal', 'SQL_MAX_CONNS') + numberOf('temporal', 'SQL_VIS_MAX_CONNS'));
    const others = { migrate: 2, logins: 1, audit: 8, schema: 1, tools: 1, people: 5, reserved: 3 };
    const all =
      workers! * perWorker +
      apis! * (perApi + 1) +
      callbacks! * perApi +
      2 * perNotifier +
      numberOf('sandbox', 'SANDBOX_CONNECTIONS') +
      temporal +
      Object.values(others).reduce((sum, count) => sum + count);
    const limit = Number(/max_connections=\$\{POSTGRES_CONNECTIONS:-(\d+)\}/.exec(text)![1]);
    expect(all).toBeLessThanOrEqual(limit);
    // The page gives these numbers.
    for (const said of [
      `${perWorker} each`,
      `${perApi} each`,
      `${perApi + 1} each`,
      `${perNotifier} each`,
      `${temporal}`,
      `${all}`,
      `${limit}`,
    ])
      expect(read('docs/guides/deployment.md')).toContain(`| ${said}`);
  });
});
