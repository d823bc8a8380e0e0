import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { Secret } from '../../config/keys/secret.ts';
import { freePort } from '../../local/servers/ports.ts';
import { sign } from '../../providers/mtpay/signature.ts';
import { root } from '../docs/variables.ts';
import { until } from '../support/until.ts';
import { openProject, run } from './docker.ts';
import {
  allUp,
  createDeposits,
  type Kill,
  killEach,
  pay,
  type Placed,
  statesOf,
  type Shop,
  watchConnections,
} from './load.ts';
import { tryNetworks } from './networks.ts';
import { certificate, post, tryProxy } from './proxy.ts';

/**
 * `npm run test:containers [-- STEP…]`: docs/guides/deployment.md on a real Docker engine (deploy/try-containers.sh
 * gets one). Each step continues from the one before; `up` comes first. Exit code 1 when one fails; the project is
 * taken down unless KEEP=1 is set.
 */

const started = performance.now();
const say = (line: string) =>
  console.log(`${((performance.now() - started) / 1_000).toFixed(0).padStart(5)} s  ${line}`);
function demand(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

const NODE = /^ARG NODE_IMAGE=(.*)$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8'))![1]!;
const PROXY = /image: (haproxy:.*)/.exec(readFileSync(join(root, 'docker-compose.yml'), 'utf8'))![1]!;
/** The scale of docs/guides/deployment.md, which a test adds up. */
const SCALE = ['--scale', 'worker=3', '--scale', 'api=2', '--scale', 'callbacks=2'];
const COUNT = 60;
const PER_SECOND = 10;

const folder = mkdtempSync(join(tmpdir(), 'deposit-containers-'));
await certificate(folder);
const ports = {
  api: await freePort(),
  callbacks: await freePort(),
  tls: await freePort(),
  ui: await freePort(),
  sandbox: await freePort(),
};
const { stdout: commit } = await run('git', ['rev-parse', '--short=12', 'HEAD']);
const project = await openProject(join(folder, '.env'), {
  API_PUBLISH: `127.0.0.1:${ports.api}`,
  CALLBACK_PUBLISH: `127.0.0.1:${ports.callbacks}`,
  CALLBACK_TLS_PUBLISH: `127.0.0.1:${ports.tls}`,
  CALLBACK_CERTIFICATES: folder,
  TEMPORAL_UI_PUBLISH: `127.0.0.1:${ports.ui}`,
  SANDBOX_PUBLISH: `127.0.0.1:${ports.sandbox}`,
  SANDBOX_PUBLIC_URL: `http://localhost:${ports.sandbox}`,
  MTPAY_REDIRECT_HOSTS: `localhost:${ports.sandbox}`,
  COMMIT: commit.trim(),
});
const { compose, composed } = project;
let shop: Shop = {
  api: `http://127.0.0.1:${ports.api}`,
  sandbox: `http://127.0.0.1:${ports.sandbox}`,
  controlToken: project.env['SANDBOX_CONTROL_TOKEN']!,
  key: '',
};

async function up(...args: readonly string[]): Promise<void> {
  await composed(['up', '-d', ...args]);
  await allUp(project);
}

/** The published ports are unchanged, and each has a listener. */
async function portsStand(): Promise<void> {
  const at = async (service: string, inside: string) => (await composed(['port', service, inside])).split(':').at(-1);
  const found = {
    api: await at('api-proxy', '8080'),
    callbacks: await at('callbacks-proxy', '8081'),
    tls: await at('callbacks-proxy', '8443'),
    ui: await at('temporal-ui', '8080'),
    sandbox: await at('sandbox', '8290'),
  };
  for (const [name, port] of Object.entries(ports))
    demand(
      found[name as keyof typeof ports] === String(port),
      `the port of ${name} is ${found[name as keyof typeof ports]} and was ${port}`,
    );
  await until('the API behind its port', () =>
    fetch(`${shop.api}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  const ca = readFileSync(join(folder, 'proxy.pem'));
  const refused = await until('the callbacks behind their port', () =>
    post({
      port: ports.tls,
      ca,
      path: '/v1/callbacks/mtpay/a/b',
      body: Buffer.from('{}'),
      headers: { 'content-type': 'application/json' },
    }).then(
      (answer) => answer.status < 500 && answer,
      () => null,
    ),
  );
  demand(refused.status >= 400, `a callback of nobody is answered ${refused.status}`);
}

/** Runs a command of the audit's service, expects this exit status and returns the output. */
async function auditing(expected: number, ...command: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await compose(['run', '--rm', '-T', 'audit', ...command]);
  demand(status === expected, `audit ${command.join(' ')} ended with ${status}\n${stdout}${stderr}`);
  return stdout + stderr;
}

/** Audits the whole book, and returns the report's path in the volume. */
async function audit(expected: number): Promise<string> {
  const said = await auditing(expected);
  const report = said.split('\n').find((line) => line.trim().endsWith('.json'));
  demand(report !== undefined, `the audit named no report:\n${said}`);
  return report.trim();
}

/** Straight into the table, past every trigger, as only the database's superuser can. */
const tamper = (statement: string) => project.sql('deposits', `set session_replication_role = replica; ${statement}`);

/**
 * Pays the orders that the provider knows and waits. Returns a summary of the rest; throws where money or an order is
 * lost.
 */
async function finish(placed: readonly Placed[], kills: readonly Kill[], paceMs = 0): Promise<string> {
  const numbers = placed.map(({ externalOrderNumber }) => externalOrderNumber);
  // A response may have come before the order was placed.
  const made = await statesOf(shop, numbers, (state) => state !== '' && state !== 'PLACING', 120_000);
  const paid = new Set<string>();
  for (const number of numbers) {
    if (await pay(shop, number)) paid.add(number);
    await sleep(paceMs);
  }
  const states = await statesOf(shop, [...paid], (state) => state === 'CREDITED', 240_000);
  const credited = [...states.values()].filter((state) => state === 'CREDITED').length;
  const lost = [...states].filter(([, state]) => state !== 'CREDITED');
  demand(lost.length === 0, `paid and not credited: ${lost.map(([number, state]) => `${number} ${state}`).join(', ')}`);
  // An order that the provider does not know was refused or is unknown; its call has to have been in progress when a
  // container died.
  const unknown = numbers.filter((number) => !paid.has(number));
  for (const number of unknown) {
    const attempts = (
      await project.sql(
        'deposits',
        `select extract(epoch from started_at), outcome from engine.placement_attempt where external_order_number = '${number}'`,
      )
    ).split('\n');
    const underWay = attempts.some((line) => {
      const begun = Number(line.split('|')[0]) * 1_000;
      return kills.some(({ at }) => at.getTime() >= begun - 1_000 && at.getTime() <= begun + 30_000);
    });
    demand(underWay, `${number} is not known to the provider, and nothing died during its call: ${attempts.join(' ')}`);
  }
  const doubtful = [...made.values()].filter((state) => state.startsWith('PLAC'));
  const repeats = placed.flatMap(({ repeated }) => repeated);
  const counts = [...new Set(repeats)].map((one) => `${repeats.filter((other) => other === one).length} × ${one}`);
  return `${placed.length} created (${repeats.length} requests repeated${counts.length === 0 ? '' : `: ${counts.join(', ')}`}), ${doubtful.length} of them unknown or refused at first, ${credited} credited, ${unknown.length} in flight when something died and not known to the provider`;
}

const STEPS: Readonly<Record<string, () => Promise<string>>> = {
  /** Wrong settings end `up` with every reason; so does a one-shot that fails. */
  async refusals() {
    project.rewrite({ CALLBACK_KEY: '', WORKER_DATABASE_PASSWORD: '', MTPAY_BASE_URL: 'ftp://x' });
    const first = await compose(['up', '-d', '--build'], { withinMs: 900_000 });
    const settings = await composed(['logs', '--no-log-prefix', 'settings']);
    for (const name of ['CALLBACK_KEY', 'WORKER_DATABASE_PASSWORD', 'MTPAY_BASE_URL'])
      demand(settings.includes(name), `settings does not name ${name}: ${settings}`);
    demand(first.status !== 0 && first.stderr.includes('settings'), `up went on with wrong settings: ${first.stderr}`);
    demand(
      (await compose(['ps', '-q', 'postgres'])).stdout.trim() === '',
      'PostgreSQL was started with wrong settings',
    );
    project.rewrite();
    return 'up ends at once with wrong settings, and all of them are named';
  },
  async up() {
    await up('--build');
    const registered = await composed(['logs', '--no-log-prefix', 'migrate']);
    demand(/INBOX_SEAL_KEY [0-9a-f]{16} is registered/.test(registered), `migrate says ${registered}`);
    const version = await composed(['exec', '-T', 'api', 'cat', '/app/dist/version.txt']);
    demand(version.endsWith(`+${project.env['COMMIT']}`), `the image says it is ${version}`);
    const cores = await composed(['exec', '-T', 'worker', 'ls', '/app/node_modules/@temporalio/core-bridge/releases']);
    demand(cores.split('\n').length === 1, `the image has the native cores ${cores}`);
    const said = await composed([
      'run',
      '--rm',
      '-T',
      'tools',
      'keys',
      'create',
      'backend',
      '--scopes',
      'deposits:create,deposits:read',
    ]);
    shop = { ...shop, key: said.split('\n').at(-1)!.trim() };
    await portsStand();
    return `everything is healthy; version ${version}, one native core`;
  },
  async deposit() {
    return finish(await createDeposits(shop, 'first', 1, PER_SECOND), []);
  },
  /**
   * The key of the seals was registered on the way up: the API's login cannot insert rows that the API has not made.
   */
  async inbox() {
    const row = `'nobody-1', sha256('x'), null, 'x', 'unknown_order', 'UNKNOWN_ORDER', 'x', 1, 1, sha256('x'), 'x', 1`;
    /** Each row that a login could try, and its result; all are rolled back. */
    const tried = async (): Promise<string[]> => {
      const input = ['', ', null', `, sha256('x')`].map(
        (mac) =>
          `begin;\nselect 'written' from engine.receive(${row}${mac});\n\\if :ERROR\n\\echo :SQLSTATE\n\\endif\nrollback;\n`,
      );
      const psql = ['exec', '-T', 'postgres', 'psql', '-U', 'app_api', '-XAtq', 'deposits'];
      return (await composed(psql, { input: input.join('') })).split('\n');
    };
    const refused = (await tried()).join(' ');
    demand(refused === 'P0E61 P0E61 P0E61', `rows without the MAC: ${refused}`);
    // The check can fail: without a demand for MACs the same rows are accepted.
    await tamper('create table public.demanded as table engine.seal_demand; delete from engine.seal_demand');
    const written = (await tried()).join(' ');
    await tamper('insert into engine.seal_demand table public.demanded; drop table public.demanded');
    demand(written === 'written written written', `where nothing is demanded: ${written}`);
    return 'whoever has only the login of the API writes nothing into the inbox: P0E61';
  },
  /** With the files of the image: audits the whole book, one deposit, a report; all three fail after tampering. */
  async audit() {
    const report = await audit(0);
    await auditing(0, 'node', 'dist/audit/main.js', '--deposit', 'first-1');
    await auditing(0, 'node', 'dist/audit/main.js', 'verify', report);
    const copy = `cp audit-reports/* /tmp && sed -i 's/first-1/first-2/' /tmp/*.json && node dist/audit/main.js verify /tmp/${report.split('/').at(-1)}`;
    await auditing(1, 'sh', '-c', copy);
    await tamper(`update engine.deposit set mtc_amount = mtc_amount + 1 where external_order_number = 'first-1'`);
    await audit(1);
    await auditing(1, 'node', 'dist/audit/main.js', '--deposit', 'first-1');
    // The step `again` finds nothing any more.
    await tamper(`update engine.deposit set mtc_amount = mtc_amount - 1 where external_order_number = 'first-1'`);
    return 'book, deposit and report end with 0; with 1 where an amount or the report was changed';
  },
  async networks() {
    return tryNetworks(project, NODE);
  },
  async proxy() {
    return tryProxy({ proxy: PROXY, node: NODE });
  },
  /** A real callback once more, over TLS: the sandbox got the acknowledgement byte for byte. */
  async acknowledgement() {
    const kept = await project.sql(
      'deposits',
      `select convert_from(raw, 'utf8') from engine.callback where deposit = 'first-1' limit 1`,
    );
    const address = await project.sql(
      'sandbox',
      `select callback_url from sandbox.buy_order where external_order_number = 'first-1'`,
    );
    // Stored without its signature.
    const [accessKey, secretKey] = ['MTPAY_ACCESS_KEY', 'MTPAY_SECRET_KEY'].map(
      (name) => new Secret(Buffer.from(project.env[name]!)),
    );
    const signature = sign(
      { accessKey: accessKey!, secretKey: secretKey! },
      Number(/"timestamp":(\d+)/.exec(kept)![1]),
    );
    const answer = await post({
      port: ports.tls,
      ca: readFileSync(join(folder, 'proxy.pem')),
      path: new URL(address).pathname,
      body: Buffer.from(kept.replace('[signature]', signature)),
      headers: { 'content-type': 'application/json' },
    });
    const { status, headers, body } = answer;
    const seen = JSON.stringify([status, headers['content-type'], headers['content-length'], body.toString('latin1')]);
    demand(seen === JSON.stringify([200, 'text/plain', '7', 'SUCCESS']), `the acknowledgement is ${seen}`);
    return 'a genuine callback over TLS is acknowledged with SUCCESS, 7 bytes';
  },
  async runbook() {
    const none = await compose(['run', '--rm', '-T', 'tools']);
    demand(none.status === 2 && none.stderr.includes('tools reviews'), `tools without a name: ${none.stderr}`);
    const list = await composed(['run', '--rm', '-T', 'tools', 'keys', 'list']);
    demand(list.includes('backend'), `keys list: ${list}`);
    const people = await composed([
      'run',
      '--rm',
      '-T',
      'tools',
      'keys',
      'create',
      'anna',
      '--scopes',
      'reviews:decide',
    ]);
    const reviews = await compose([
      'run',
      '--rm',
      '-T',
      '-e',
      `API_KEY=${people.split('\n').at(-1)}`,
      'tools',
      'reviews',
      'list',
    ]);
    demand(reviews.status === 0, `reviews list: ${reviews.stderr}`);
    const rows = await composed([
      'exec',
      '-T',
      'postgres',
      'psql',
      '-U',
      'auditor',
      '-XAt',
      'deposits',
      '-c',
      'select count(*) from engine.deposit',
    ]);
    demand(rows === '1', `the auditor counts ${rows}`);
    const written = await compose([
      'exec',
      '-T',
      'postgres',
      'psql',
      '-U',
      'auditor',
      'deposits',
      '-c',
      'delete from engine.deposit',
    ]);
    demand(written.status !== 0, 'the auditor may delete');
    return 'keys, reviews and SQL as auditor work from the compose project';
  },
  /** A one-shot that fails ends `up` with its reason, and no process is left waiting. */
  async failure() {
    project.rewrite({ MIGRATOR_DATABASE_PASSWORD: 'another' });
    const begun = performance.now();
    const { status } = await compose(['up', '-d']);
    const seconds = ((performance.now() - begun) / 1_000).toFixed(0);
    const said = await composed(['logs', '--no-log-prefix', 'migrate']);
    demand(status !== 0 && said.includes('password authentication failed'), `up ended with ${status}: ${said}`);
    project.rewrite();
    await up();
    return `a migration that fails ends up after ${seconds} s, with its reason in the log`;
  },
  /** Later changes of `.env`: a wrong value changes nothing, a right one restarts only the services that use it. */
  async changes() {
    const containers = async () => (await composed(['ps', '--format', '{{.Service}} {{.ID}}'])).split('\n').toSorted();
    const changed = () =>
      run('sh', ['deploy/up.sh'], { env: { ...project.place, COMPOSE_PROFILES: 'sandbox,notifications' } });
    const before = await containers();
    project.rewrite({ PAYMENT_WINDOW: '31x' });
    const wrong = await changed();
    demand(wrong.status !== 0 && wrong.stderr.includes('PAYMENT_WINDOW'), `with a wrong value: ${wrong.stderr}`);
    demand((await containers()).join() === before.join(), 'a wrong value touched what was running');
    project.rewrite({ PAYMENT_WINDOW: '31m' });
    const right = await changed();
    demand(right.status === 0, `with another value: ${right.stderr}`);
    await allUp(project);
    const now = await containers();
    const anew = now.filter((line) => !before.includes(line)).map((line) => line.split(' ')[0]!);
    const mayBe = ['api', 'api-proxy', 'callbacks', 'callbacks-proxy'];
    demand(
      anew.includes('api') && anew.every((service) => mayBe.includes(service)),
      `made anew for another PAYMENT_WINDOW: ${anew.join(', ')}`,
    );
    project.rewrite();
    await changed();
    await allUp(project);
    return `a wrong value is told and touches nothing; of another right one ${anew.join(', ')} are made anew`;
  },
  async load() {
    await up(...SCALE);
    const watch = watchConnections(project);
    const placed = await createDeposits(shop, 'load', COUNT, PER_SECOND);
    const told = await finish(placed, []);
    await finish(await createDeposits(shop, 'quiet', 20, 4), [], 250);
    const waits = await project.sql(
      'deposits',
      `select string_agg(round(ms)::text, '|') from (
         select unnest(percentile_cont(array[0.5, 0.9]) within group (order by extract(epoch from t.posted_at - c.received_at) * 1000)) as ms
           from engine.deposit d join engine.callback c on c.id = d.bound_callback join ledger.transaction t on t.id = d.posting_id
          where d.external_order_number like 'quiet-%') p`,
    );
    const most = await watch.stop();
    // A shared machine may respond to one in twenty with a 503, and the backend retries it; none is ever lost.
    const repeats = placed.flatMap(({ repeated }) => repeated);
    demand(
      placed.every(({ state }) => state !== 'PLACEMENT_UNKNOWN') &&
        repeats.length <= COUNT / 20 &&
        repeats.every((status) => status === '503'),
      `at the documented scale, with nothing killed: ${told}`,
    );
    const [half, ninety] = waits.split('|');
    return `${told}; of 20 more at 4 a second: from a callback to its credit ${half} ms (median), ${ninety} ms (p90); connections at most ${JSON.stringify(most)}`;
  },
  async kills() {
    const placing = createDeposits(shop, 'kill', COUNT, PER_SECOND);
    const [placed, kills] = await Promise.all([placing, killEach(project, NODE, 300)]);
    await allUp(project);
    const told = await finish(placed, kills);
    await portsStand();
    return `${kills.length} containers killed (${kills.map(({ service }) => service).join(', ')}): ${told}; the ports stand`;
  },
  async roll() {
    const rolling = new AbortController();
    const rolled = run('sh', ['deploy/roll.sh', 'worker', 'api', 'callbacks', 'notifier'], {
      env: { ...project.place, COMPOSE_PROFILES: 'sandbox,notifications' },
      withinMs: 900_000,
    }).finally(() => rolling.abort());
    const placed: Placed[] = [];
    // For as long as it takes: everything is replaced under load.
    for (let round = 1; !rolling.signal.aborted; round += 1)
      placed.push(...(await createDeposits(shop, `roll${round}`, 10, 2)));
    const { status, stdout, stderr } = await rolled;
    demand(status === 0, `deploy/roll.sh: ${stdout}${stderr}`);
    const told = await finish(placed, []);
    demand(
      placed.every(({ repeated, state }) => repeated.length === 0 && state !== 'PLACEMENT_UNKNOWN'),
      `during an update: ${told}`,
    );
    await portsStand();
    return `${stdout.split('\n').filter((line) => line.includes('replaced')).length} containers replaced: ${told}; the ports stand`;
  },
  async again() {
    await composed(['down']);
    const begun = performance.now();
    await up(...SCALE);
    const seconds = ((performance.now() - begun) / 1_000).toFixed(0);
    await portsStand();
    return `down and up, ${seconds} s: ${await finish(await createDeposits(shop, 'again', 1, PER_SECOND), [])}; the ports stand; the audit ends with 0: ${await audit(0)}`;
  },
  /** Keys as files, each for the processes that may know it; none is left in the environment. */
  async keys() {
    const override = parse(readFileSync(join(root, 'deploy/keys-in-files.yml'), 'utf8'), { merge: true }) as {
      readonly services: Readonly<Record<string, { readonly environment: Readonly<Record<string, string>> }>>;
    };
    const names = new Set<string>();
    for (const [owner, { environment }] of Object.entries(override.services)) {
      // `settings` reads the folder of the API.
      if (owner === 'settings') continue;
      const current = join(folder, 'keys', owner, 'current');
      mkdirSync(current, { recursive: true });
      for (const name of Object.keys(environment).filter((name) => !name.endsWith('_FILE'))) {
        names.add(name);
        writeFileSync(join(current, name), project.env[name] ?? '');
      }
    }
    await run('chmod', ['-R', 'a+rX', join(folder, 'keys')]);
    project.rewrite(Object.fromEntries([...names].map((name) => [name, ''])));
    const env = { COMPOSE_FILE: 'docker-compose.yml:deploy/keys-in-files.yml', KEYS_DIRECTORY: join(folder, 'keys') };
    await composed(['up', '-d', ...SCALE], { env });
    await allUp(project);
    // The sandbox signs with the provider's pair, which is given to it in the environment.
    const ids = await Promise.all(['api', 'callbacks', 'worker', 'notifier'].map((service) => project.ids(service)));
    const seen = (await run('docker', ['inspect', ...ids.flat()])).stdout;
    const shown = [...names].filter((name) => (project.env[name] ?? '') !== '' && seen.includes(project.env[name]!));
    demand(shown.length === 0, `in the environment of a container: ${shown.join(', ')}`);
    return finish(await createDeposits(shop, 'keys', 1, PER_SECOND), []);
  },
};

const wanted = process.argv.slice(2);
const steps = Object.entries(STEPS).filter(([name]) => wanted.length === 0 || name === 'up' || wanted.includes(name));
let failed = false;
try {
  for (const [name, step] of steps) {
    const begun = performance.now();
    const told = await step();
    say(`✓ ${name}, ${((performance.now() - begun) / 1_000).toFixed(0)} s: ${told}`);
  }
} catch (error) {
  failed = true;
  say(`✗ ${(error as Error).message}`);
  console.error(await composed(['ps', '-a', '--format', 'table {{.Service}}\t{{.Status}}']));
  console.error((await compose(['logs', '--no-color', '--tail', '15'])).stdout);
} finally {
  // oxlint-disable-next-line node/no-process-env -- of this program alone
  if (process.env['KEEP'] === '1') console.error(`kept: ${JSON.stringify({ ...project.place, key: shop.key })}`);
  else {
    await compose(['--profile', '*', 'down', '--volumes', '--remove-orphans']);
    rmSync(folder, { recursive: true, force: true });
  }
}
console.log(`${failed ? 0 : steps.length} passed, ${failed ? 1 : 0} failed`);
process.exit(failed ? 1 : 0);
