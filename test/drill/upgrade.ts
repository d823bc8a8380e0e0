import { connect, createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { readArgumentsOr } from '../../config/command-line.ts';
import { root } from '../../local/servers/paths.ts';
import { freePort } from '../../local/servers/ports.ts';
import { SEAL_ENV } from '../support/seals.ts';
import { until } from '../support/until.ts';
import { attemptsAfter, call, creditsOf, newestAttempt, order } from './drill.ts';
import { openStage, type Piece, type Stage } from './stage.ts';
import { checkout, command, commitOr } from '../../harness/version.ts';

/**
 * `npm run drill:upgrade -- --from COMMIT`: upgrades an engine of that version under load to this version as
 * docs/guides/deployment.md describes, each process beside its successor. Exit code 1 when a request was refused or
 * lost, or a payment was credited more than once.
 */

const USAGE = `npm run drill:upgrade -- --from COMMIT [--workers-first] [--registered]
  --workers-first  the new worker before the new API, as the usual order is
  --registered     the key of the seals is registered in the version before, and payments wait for a worker while the
                   database is migrated`;
const options = {
  from: { type: 'string' },
  'workers-first': { type: 'boolean', default: false },
  registered: { type: 'boolean', default: false },
} as const;
const { values } = readArgumentsOr(USAGE, options, { allowPositionals: false });
const from = commitOr(USAGE, 'from', values.from);

const LANES = 6;
/** The duration of each step under load, in ms. */
const STEP_MS = 5_000;

/** The fixed address for callers; the process behind it may change. */
async function front(port: number): Promise<{ readonly server: Server; to: number }> {
  const door = {
    to: 0,
    server: createServer((caller) => {
      const served = connect(door.to, '127.0.0.1');
      for (const [one, other] of [
        [caller, served],
        [served, caller],
      ] as const) {
        one.pipe(other);
        one.once('error', () => other.destroy());
      }
    }),
  };
  await new Promise<void>((resolve) => door.server.listen(port, '127.0.0.1', resolve));
  return door;
}

const before = await checkout(from);
let stage: Stage | null = null;
try {
  stage = await openStage({
    programs: ['sandbox'],
    migrateTo: async (url) => void (await command(before.at, 'worker/migrate.ts', [], { DATABASE_URL: url })),
    issueKey: (url) =>
      command(before.at, 'commands/keys.ts', ['create', 'drill', '--scopes', 'deposits:create,deposits:read'], {
        DATABASE_URL: url,
      }),
  });
  process.exitCode = (await upgrade(stage)) ? 0 : 1;
} finally {
  await stage?.stop();
  await before.drop();
}

async function upgrade({ apiUrl, callbackUrl, ...on }: Stage): Promise<boolean> {
  const doors = {
    api: await front(Number(new URL(apiUrl).port)),
    callback: await front(Number(new URL(callbackUrl).port)),
  };
  const startApi = async (at?: string): Promise<Piece> => {
    const ports = { api: await freePort(), callback: await freePort() };
    const api = on.another(
      'api',
      {
        API_LISTEN: `127.0.0.1:${ports.api}`,
        CALLBACK_LISTEN: `127.0.0.1:${ports.callback}`,
        WORKFLOW_BUNDLE: undefined,
      },
      at,
    );
    await api.start();
    doors.api.to = ports.api;
    doors.callback.to = ports.callback;
    return api;
  };
  const workersStarted: ReturnType<Stage['another']>[] = [];
  const startWorker = async (at?: string): Promise<Piece> => {
    const worker = on.another('worker', at === undefined ? {} : { WORKFLOW_BUNDLE: undefined }, at);
    workersStarted.push(worker);
    await worker.start();
    return worker;
  };
  const stage = { apiUrl, callbackUrl, ...on };
  const { registered } = values;
  const after = await newestAttempt(stage);
  const [oldApi, oldWorker] = [await startApi(before.at), await startWorker(before.at)];

  const paid: string[] = [];
  const refused = new Map<string, number>();
  let during = 'the start';
  const refuse = (what: string) => {
    const told = `${what}, during ${during}`;
    refused.set(told, (refused.get(told) ?? 0) + 1);
  };
  const over = new AbortController();
  let made = 0;
  const load = Array.from({ length: LANES }, async () => {
    while (!over.signal.aborted) {
      const n = `upgrade-${(made += 1)}`;
      const created = await call(`${apiUrl}/v1/deposits`, 'POST', on.apiKey, order(n));
      // Without a worker nothing is placed.
      if (created.status !== 201 && !(registered && created.status === 202))
        refuse(`create ${created.status} ${String(created.body?.code)} ${String(created.body?.detail)}`);
      if (created.status < 200 || created.status >= 300) continue;
      const read = await call(`${apiUrl}/v1/deposits/${n}`, 'GET', on.apiKey);
      if (read.status !== 200) refuse(`read ${read.status}`);
      await until(`${n} to be paid`, async () => {
        const { status } = await call(`${on.sandboxUrl}/control/orders/${n}/pay`, 'POST', on.controlToken, {
          immediately: true,
        });
        return status < 300;
      });
      paid.push(n);
      await sleep(50);
    }
  });
  const step = async (what: string, work: () => Promise<unknown>) => {
    during = what;
    await work();
    const from = paid.length;
    await sleep(STEP_MS);
    console.log(`${what}: ${paid.length - from} deposits paid meanwhile`);
  };
  const owner = { DATABASE_URL: on.db.url };
  const workers = () =>
    step('workers', async () => {
      await startWorker();
      await oldWorker.end('stop');
    });
  const apis = () =>
    step('APIs', async () => {
      await startApi();
      // A connection that was routed to the old one a moment ago has not sent its request yet.
      await sleep(1_000);
      await oldApi.end('stop');
      // By docs/guides/deployment.md: rows that the old API wrote have no seal.
      await on.admin((client) =>
        client.query(
          'insert into engine.seal_epoch (callback) select coalesce(max(id), 0) from engine.callback on conflict do nothing',
        ),
      );
    });
  await step('the version before', async () => undefined);
  if (registered) {
    await step('the version before registers its key', async () =>
      console.log(await command(before.at, 'commands/seal-key.ts', ['--register'], { ...owner, ...SEAL_ENV })),
    );
    await step('no worker', () => oldWorker.end('stop'));
  }
  let told = '';
  await step('migrate', async () => console.log((told = await command(root, 'worker/migrate.ts', [], owner))));
  if (registered) {
    if (!/no registered key vouches for: [1-9]/.test(told)) refuse('migrate does not say that payments wait');
    await step('the worker of before', () => oldWorker.start());
  }
  for (const each of values['workers-first'] ? [workers, apis] : [apis, workers]) await each();
  await step('migrate -- --contract', async () =>
    console.log(await command(root, 'worker/migrate.ts', ['--contract'], owner)),
  );
  if (registered)
    await until('an alarm to say that payments wait', async () =>
      workersStarted.at(-1)!.log().includes('payment_not_vouched'),
    ).catch((error: Error) => refuse(error.message));
  await step('seal-key -- --register', async () =>
    console.log(await command(root, 'commands/seal-key.ts', ['--register'], { ...owner, ...SEAL_ENV })),
  );
  over.abort();
  await Promise.all(load);

  await until(
    'everything to be credited',
    async () => (await creditsOf(stage, paid)).length >= paid.length,
    120_000,
  ).catch((error: Error) => refuse(error.message));
  const credits = await creditsOf(stage, paid);
  const credited = new Set(credits.map(({ deposit }) => deposit));
  for (const n of paid.filter((one) => !credited.has(one)).slice(0, 5)) {
    const { body } = await call(`${apiUrl}/v1/deposits/${n}`, 'GET', on.apiKey);
    refuse(
      `${n} is ${body?.state}; ${JSON.stringify(body)}; ${workersStarted
        .at(-1)!
        .log()
        .split('\n')
        .filter((line) => line.includes(n))
        .slice(-5)
        .join(' ')}`,
    );
  }
  for (const { deposit, n } of credits) if (n !== 1) refuse(`${deposit} was credited ${n} times`);
  const audit = await on.admin((client) =>
    client.query<{ fault: string }>('select fault from ledger.audit() where found <> 0'),
  );
  for (const { fault } of audit.rows) refuse(`the ledger's audit: ${fault}`);
  const cases = await on.admin((client) =>
    client.query<{ reason: string; n: number }>('select reason, count(*)::int as n from engine.review_case group by 1'),
  );
  for (const { reason, n } of cases.rows) refuse(`${n} given to people: ${reason}`);
  const answers = await attemptsAfter(stage, after);
  // An honest stamp may equal one of ours, and is then refused once.
  for (const status of Object.keys(answers))
    if (status !== '200' && status !== '503') refuse(`${answers[status]} callbacks answered ${status}`);
  for (const { server } of Object.values(doors)) server.close();
  console.log(
    `${made} created, ${credits.length} of ${paid.length} paid ones credited, each once; callbacks ${JSON.stringify(answers)}`,
  );
  for (const [what, n] of refused) console.log(`  ✗ ${what}${n > 1 ? ` (${n} times)` : ''}`);
  return refused.size === 0;
}
