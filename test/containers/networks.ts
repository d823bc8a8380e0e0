import { run, text, type Project } from './docker.ts';

/**
 * Compares the targets that each container can connect to with those that it needs. `outside` is a machine of its own
 * without a route back to the containers' addresses: only translated connections get a response.
 */

const PORTS = {
  postgres: 5432,
  temporal: 7233,
  'temporal-ui': 8080,
  api: 8080,
  'callback-listener': 8081,
  callbacks: 8081,
  'api-proxy': 8080,
  'callbacks-proxy': 8081,
  sandbox: 8290,
  outside: 8000,
} as const;
type Target = keyof typeof PORTS;

/** `callbacks` is the proxy to the sandbox's side, and the listener itself to its proxy's. */
const NEEDS: Readonly<Record<string, readonly Target[]>> = {
  postgres: ['postgres', 'temporal', 'api', 'sandbox', 'callbacks'],
  temporal: ['postgres', 'temporal', 'temporal-ui', 'api'],
  'temporal-ui': ['temporal', 'temporal-ui'],
  worker: ['postgres', 'temporal', 'api', 'sandbox', 'callbacks', 'callbacks-proxy', 'outside'],
  notifier: ['postgres', 'outside'],
  api: ['postgres', 'temporal', 'api', 'api-proxy'],
  callbacks: ['postgres', 'callback-listener', 'callbacks', 'callbacks-proxy'],
  'api-proxy': ['api', 'api-proxy'],
  'callbacks-proxy': ['callback-listener', 'callbacks', 'callbacks-proxy', 'sandbox'],
  sandbox: ['postgres', 'sandbox', 'callbacks', 'callbacks-proxy'],
};

const OUTSIDE = '198.51.100.2';
const PROBE = `
const targets = JSON.parse(process.argv[1]);
Promise.all(Object.entries(targets).map(([name, [host, port]]) => new Promise((resolve) => {
  const socket = require('net').connect({ host, port });
  const done = (reached) => { socket.destroy(); resolve([name, reached]); };
  socket.once('connect', () => done(true)).once('error', () => done(false)).setTimeout(4000, () => done(false));
}))).then((found) => console.log(JSON.stringify(found.filter(([, reached]) => reached).map(([name]) => name))));`;

/** Throws with every difference at once. `node`: an image with Node. */
export async function tryNetworks(project: Project, node: string): Promise<string> {
  const outside = await openOutside();
  const targets = Object.fromEntries(
    Object.entries(PORTS)
      .filter(([name]) => name !== 'outside' || outside !== null)
      .map(([name, port]) => [name, [name === 'outside' ? OUTSIDE : name, port]]),
  );
  const wrong: string[] = [];
  try {
    const probes = Object.entries(NEEDS).map(async ([service, needs]) => {
      const [id] = await project.ids(service);
      // Unknown names are resolved outside, which is slow: each has a thread of its own.
      const args = ['--rm', '--network', `container:${id}`, '-e', 'UV_THREADPOOL_SIZE=16', node];
      const reached = JSON.parse(
        await text('docker', ['run', ...args, 'node', '-e', PROBE, JSON.stringify(targets)]),
      ) as string[];
      const expected = needs.filter((name) => name in targets);
      const more = reached.filter((name) => !(expected as string[]).includes(name));
      const less = expected.filter((name) => !reached.includes(name));
      if (more.length > 0) wrong.push(`${service} reaches ${more.join(', ')}`);
      if (less.length > 0) wrong.push(`${service} does not reach ${less.join(', ')}`);
    });
    await Promise.all(probes);
  } finally {
    await outside?.();
  }
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
  const none = '; *** WHETHER ANYTHING LEADS OUTSIDE WAS NOT TRIED: that needs root and `ip` ***';
  return `from inside ${Object.keys(NEEDS).length} services, ${Object.keys(targets).length} addresses each: reached is what is needed${outside === null ? none : ', and only worker and notifier get outside'}`;
}

/** A network namespace with one listener, beside this machine's own; null where it cannot be made. */
async function openOutside(): Promise<(() => Promise<void>) | null> {
  const name = 'deposit-outside';
  const ip = async (line: string) => (await run('ip', line.split(' ')).catch(() => ({ status: 1 }))).status === 0;
  const close = async () => {
    await ip(`netns del ${name}`);
    await ip('link del deposit-out');
  };
  await close();
  const steps = [
    `netns add ${name}`,
    `link add deposit-out type veth peer name inner netns ${name}`,
    'addr add 198.51.100.1/30 dev deposit-out',
    'link set deposit-out up',
    `-n ${name} addr add ${OUTSIDE}/30 dev inner`,
    `-n ${name} link set inner up`,
  ];
  for (const step of steps) {
    if (!(await ip(step))) {
      await close();
      return null;
    }
  }
  const listen = `require('net').createServer((socket) => socket.end()).listen(${PORTS.outside}, '${OUTSIDE}')`;
  const listening = run('ip', [
    'netns',
    'exec',
    name,
    process.execPath,
    '-e',
    `${listen}; setTimeout(process.exit, 120000)`,
  ]);
  return async () => {
    const pids = (await text('ip', ['netns', 'pids', name])).split('\n').filter((pid) => pid !== '');
    for (const pid of pids) process.kill(Number(pid));
    await listening;
    await close();
  };
}
