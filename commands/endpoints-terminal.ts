import type {
  DepositClient,
  Endpoint,
  ChangeEndpointRequest,
  EndpointWithSecret,
  CreateEndpointRequest,
} from '../client/src/client.ts';
import { UsageError } from '../config/command-line.ts';
import { clientIn, type Given, needed, reported, type Terminal } from './api-caller.ts';

/** The commands at the terminal and their output. The API decides; this code only calls it. */

export const ENDPOINT_OPTIONS = {
  types: { type: 'string' },
  signature: { type: 'string' },
  url: { type: 'string' },
  overlap: { type: 'string' },
  missing: { type: 'boolean', default: false },
  deposit: { type: 'string' },
  event: { type: 'string' },
  since: { type: 'string' },
} as const;

export type EndpointOptions = Given<typeof ENDPOINT_OPTIONS>;

export const ENDPOINTS_USAGE = `npm run endpoints -- list
npm run endpoints -- create URL [--types TYPE,…] [--signature v1|v1a]
npm run endpoints -- show ENDPOINT
npm run endpoints -- change ENDPOINT [--url URL] [--types TYPE,…|all]
npm run endpoints -- enable|disable ENDPOINT
npm run endpoints -- rotate ENDPOINT [--overlap HOURS]
npm run endpoints -- delete ENDPOINT
npm run endpoints -- deliveries ENDPOINT [--missing] [--deposit ORDER_NUMBER]
npm run endpoints -- redeliver ENDPOINT --event EVENT | --since TIME

create and rotate print the new secret once, alone on standard output; everything for people goes to standard error.
HOURS, 24 if not given: for so long the secret of before signs as well. --missing: only what did not arrive.

API_URL says where the private API is, API_KEY is a key with the scope endpoints:manage.`;

/**
 * Runs the command in `words` and returns the exit code: 0 done, 1 failed, as when the API refuses, 2 not understood.
 */
export const runEndpoints = (
  words: readonly string[],
  options: EndpointOptions,
  env: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
): Promise<number> => reported(() => run(words, options, env, terminal), terminal, ENDPOINTS_USAGE);

type Option = keyof typeof ENDPOINT_OPTIONS;
/** Each command with the options that it takes. */
const TAKES: Readonly<Record<string, readonly Option[]>> = {
  list: [],
  create: ['types', 'signature'],
  show: [],
  change: ['url', 'types'],
  enable: [],
  disable: [],
  rotate: ['overlap'],
  delete: [],
  deliveries: ['missing', 'deposit'],
  redeliver: ['event', 'since'],
};

async function run(
  [command, target, ...more]: readonly string[],
  options: EndpointOptions,
  env: Readonly<Record<string, string | undefined>>,
  terminal: Terminal,
): Promise<void> {
  if (command === undefined) throw new UsageError('what shall be done?');
  if (!Object.hasOwn(TAKES, command)) throw new UsageError(`there is no ${command}`);
  const tooMuch = command === 'list' && target !== undefined ? [target, ...more] : more;
  if (tooMuch.length > 0) throw new UsageError(`${tooMuch.join(' ')} is too much`);
  const given = (Object.keys(options) as Option[]).filter(
    (name) => options[name] !== undefined && options[name] !== false,
  );
  const other = given.find((name) => !TAKES[command]!.includes(name));
  if (other !== undefined) throw new UsageError(`--${other} does not belong here`);
  const client = clientIn(env);
  const { endpoints } = client;
  const id = () => needed(target, 'ENDPOINT');
  const shown = async (answer: Promise<Endpoint>) => terminal.out(showEndpointText(await answer));
  switch (command) {
    case 'list': {
      const items = await endpoints.list();
      for (const one of items)
        terminal.out([one.id, one.state, one.types?.join(',') ?? 'every type', one.url].join('  '));
      return terminal.out(items.length === 1 ? '1 endpoint' : `${items.length} endpoints`);
    }
    case 'create':
      return withSecret(terminal, endpoints.create({ url: needed(target, 'URL'), ...chosen(options) }));
    case 'show':
      return shown(endpoints.read(id()));
    case 'change':
      if (given.length === 0) throw new UsageError('--url or --types is missing');
      return shown(endpoints.change(id(), chosen(options)));
    case 'enable':
    case 'disable':
      return shown(endpoints.change(id(), { enabled: command === 'enable' }));
    case 'rotate':
      return withSecret(terminal, endpoints.rotate(id(), overlapIn(options)));
    case 'delete':
      await endpoints.delete(id());
      return terminal.out(`${target} is deleted`);
    case 'deliveries':
      return listAll(client, id(), options, terminal);
    case 'redeliver': {
      const { event, since } = options;
      if ((event === undefined) === (since === undefined)) throw new UsageError('expected one of --event and --since');
      const asked = await endpoints.redeliver(id(), event === undefined ? { since: since! } : { event });
      return terminal.out(
        `redelivery ${asked.id} of ${asked.endpoint}: events that were published up to ${asked.upTo}`,
      );
    }
  }
}

/** The API checks what was typed. */
function chosen({ url, types, signature }: EndpointOptions) {
  return {
    ...(url === undefined ? {} : { url }),
    ...(types === undefined ? {} : { types: types === 'all' ? null : types.split(',').map((type) => type.trim()) }),
    ...(signature === undefined ? {} : { signature }),
  } as ChangeEndpointRequest & Pick<CreateEndpointRequest, 'signature'>;
}

function overlapIn({ overlap }: EndpointOptions) {
  if (overlap === undefined) return {};
  if (!/^\d{1,3}$/.test(overlap)) throw new UsageError('--overlap: expected whole hours, such as 24');
  return { overlapHours: Number(overlap) };
}

const showEndpointText = (found: Endpoint): string =>
  [
    ['endpoint', `${found.id} (${found.state})`],
    ['url', found.url],
    ['types', found.types?.join(', ') ?? 'every type'],
    ['wallets', found.wallets?.join(', ') ?? 'every wallet'],
    ['signature', found.signature],
    ['public key', found.publicKey],
    ['made', found.createdAt],
    ['old secret until', found.previousSecretUntil],
    ['failing since', found.failingSince],
    ['nothing before', found.pausedUntil],
  ]
    .flatMap(([name, value]) => (value === null ? [] : `${name!.padEnd(17)} ${value}`))
    .join('\n');

/** The secret alone goes to standard output, so that a file can take it; of `v1a` it is the public key. */
async function withSecret(terminal: Terminal, answer: Promise<EndpointWithSecret>): Promise<void> {
  const found = await answer;
  terminal.error(showEndpointText(found));
  terminal.error(
    found.secret === null
      ? 'The public key follows.'
      : 'The secret follows; it is stored encrypted and cannot be shown again.',
  );
  terminal.out(found.secret ?? found.publicKey ?? '');
}

async function listAll(
  client: DepositClient,
  endpoint: string,
  { missing, deposit }: EndpointOptions,
  terminal: Terminal,
): Promise<void> {
  const filter = {
    ...(missing === true ? { delivered: false } : {}),
    ...(deposit === undefined ? {} : { deposit }),
  };
  let count = 0;
  for await (const found of client.deliveries.list({ endpoint, limit: 200, ...filter })) {
    const { event, type, outcome, publishedAt, attempts } = found;
    const said = attempts.map((one) => `${one.redelivery ? 'again ' : ''}${one.status ?? one.fault ?? 'under way'}`);
    terminal.out([publishedAt, event, type, outcome ?? 'waits', said.join(', ') || 'not tried'].join('  '));
    count += 1;
  }
  terminal.out(count === 1 ? '1 delivery' : `${count} deliveries`);
}
