import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { checkHosts } from '../../audit/tables/links.ts';
import { registeredSealKeys } from '../../database/queries/seal-macs.ts';
import { type Deposit, DepositEngineError, type NewDeposit, type ReviewPage } from '../../client/src/client.ts';
import { armAtSandbox, payAtSandbox } from '../../local/stack/sandbox-api.ts';
import { root } from '../../local/servers/paths.ts';
import { linkRulesOf } from '../../local/servers/state.ts';
import { isAlive } from '../../local/servers/process.ts';
import { proveAcknowledged, proveCreditedOnce } from '../../local/terminal/proof.ts';
import { walkSample } from '../../local/terminal/sample.ts';
import { createStack, type StackFacts } from '../../local/stack/stack.ts';
import { createStory } from '../../local/terminal/story.ts';
import { findBrowser, launchBrowser } from '../support/pages/browser.ts';
import { sendAfterRebinding, sendAsOwn, sendFromOtherSite } from './hostile-page.ts';
import { knowsListeners, listenersOf } from './listeners.ts';
import { until } from '../support/until.ts';
import { makeDataDirectory, occupyPort } from './support.ts';

/** Keeps the test run's own servers away from the stack. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(TEST_|DATABASE_URL|TEMPORAL_ADDRESS|MTPAY_)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)));
}

function makeStack(dataDirectory: string) {
  let text = '';
  const story = createStory({ isTerminal: false, columns: 80, write: (more) => (text += more) });
  const stack = createStack({ env: plainEnvironment(), dataDirectory, clone: root, story });
  return { stack, story, told: () => text };
}

/** `local.env` as a script would read it. */
function localEnv(dataDirectory: string): Record<string, string> {
  const file = join(dataDirectory, 'local.env');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line));
  return Object.fromEntries(lines.map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1)]));
}

const pidsOf = (env: Record<string, string>) =>
  ['API_PID', 'WORKER_PID', 'NOTIFIER_PID', 'SANDBOX_PID', 'SHOP_PID'].map((name) => Number(env[name]));

/** The process ids of all parts that the stack has started. */
const recordedPids = (dataDirectory: string): number[] =>
  readdirSync(join(dataDirectory, 'run')).map(
    (name) => (JSON.parse(readFileSync(join(dataDirectory, 'run', name), 'utf8')) as { pid: number }).pid,
  );

const orderOf = (externalOrderNumber: string, wallet: string): NewDeposit => ({
  externalOrderNumber,
  wallet,
  buyCoinMode: 'MtcAmount',
  mtcAmount: '250',
  currencyCode: 'HKD',
  supportLanguage: 'en',
  payerRealName: 'Test Person',
});

/** One stack for the tests below, in their order; the last one stops it. */
const dataDirectory = makeDataDirectory(afterAll);
const running = makeStack(dataDirectory);
let facts: StackFacts;
async function placedAs(externalOrderNumber: string, wallet: string): Promise<Deposit> {
  await facts.api.deposits.create(orderOf(externalOrderNumber, wallet));
  return facts.api.deposits.wait(externalOrderNumber, { until: ({ redirectUrl }) => redirectUrl !== null });
}
async function casesOf(number: string): Promise<ReviewPage['items']> {
  const found: ReviewPage['items'] = [];
  for await (const one of facts.api.reviews.list()) if (one.externalOrderNumber === number) found.push(one);
  return found;
}
afterAll(() => running.stack.stop());

test('a deposit is credited, and a dead worker and a dead notifier come back', async () => {
  facts = await running.stack.start();
  const shop = facts.openShop(new AbortController().signal);
  const sandboxUrl = facts.places.sandboxUrl ?? '';
  const { signal } = new AbortController();
  const sample = { api: facts.api, sandboxUrl, controlToken: facts.controlToken, story: running.story, signal };
  const credited = await walkSample(sample);
  const findings = await proveCreditedOnce(facts.api, facts.databaseUrl, credited.externalOrderNumber, '5000');
  expect(findings.filter(({ holds }) => !holds)).toEqual([]);
  // The proof can fail: for another amount there is no posting.
  const wrong = await proveCreditedOnce(facts.api, facts.databaseUrl, credited.externalOrderNumber, '4999');
  expect(wrong.filter(({ holds }) => !holds)).toHaveLength(1);

  const acknowledged = (number: string) => proveAcknowledged(sandboxUrl, facts.controlToken, number);
  expect(await acknowledged(credited.externalOrderNumber)).toMatchObject({ holds: true });
  // A provider that wants another body sends its callback again, although the deposit is credited.
  const wantAcks = (acks: readonly string[] | null) =>
    fetch(`${sandboxUrl}/control/settings`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${facts.controlToken}`, 'content-type': 'application/json' },
      body: JSON.stringify({ acks }),
    });
  await wantAcks(['text:OTHER']);
  const refused = await walkSample(sample);
  expect(await acknowledged(refused.externalOrderNumber)).toEqual({
    holds: false,
    found: 'the provider does not take the callback for acknowledged: the body is none of the accepted success bodies',
  });
  expect(running.told()).toContain('MTPAY_ACK says what is answered.');
  await wantAcks(null);

  // The shop is told of its order by the notifier.
  expect(await shop).toBe(localEnv(dataDirectory)['SHOP_URL']);
  const order = /shop-[0-9a-f]{12}/.exec(await (await fetch(`${await shop}/`)).text())![0];
  await fetch(`${await shop}/orders`, { method: 'POST', body: new URLSearchParams({ order }) });
  await payAtSandbox(sandboxUrl, facts.controlToken, order);
  const page = async () => (await fetch(`${await shop}/orders/${order}`)).text();
  await until('the tick', async () => (await page()).includes('deposit.credited, number 2'));

  // A payment in review is found by its order.
  await expect(facts.api.deposits.read('none')).rejects.toThrow('not_found: no deposit none');
  await expect(payAtSandbox(sandboxUrl, facts.controlToken, 'none')).rejects.toThrow(/ answers 404: [^{]+$/);
  await expect(armAtSandbox(sandboxUrl, facts.controlToken, 'luck', 'pays-twice')).rejects.toThrow(
    /^There is no scenario "luck": .*customer-pays-twice/,
  );
  await armAtSandbox(sandboxUrl, facts.controlToken, 'customer-pays-twice', 'pays-twice');
  await placedAs('pays-twice', 'wallet-6');
  await payAtSandbox(sandboxUrl, facts.controlToken, 'pays-twice');
  await until('its case', async () => (await casesOf('pays-twice')).length > 0);
  expect(await casesOf('pays-twice')).toMatchObject([{ reason: 'SECOND_CODE' }]);
  expect(await casesOf(credited.externalOrderNumber)).toEqual([]);

  // The database itself verifies what its API writes.
  const owner = new pg.Client({ connectionString: facts.databaseUrl });
  await owner.connect();
  onTestFinished(() => owner.end());
  expect(await registeredSealKeys(owner)).toHaveLength(1);

  // An audit of this stack knows the allowed targets of checkout links.
  const { links } = linkRulesOf(dataDirectory);
  expect(await checkHosts(owner, links!)).toEqual([]);
  await owner.query('begin; set local session_replication_role = replica');
  await owner.query(
    `update engine.deposit set redirect_url = 'http://127.0.0.1.evil.example/pay/x' where external_order_number = $1`,
    [credited.externalOrderNumber],
  );
  expect(await checkHosts(owner, links!)).toMatchObject([
    { kind: 'link_differs', where: `deposit:${credited.externalOrderNumber}` },
  ]);
  await owner.query('rollback');

  const before = localEnv(dataDirectory);
  for (const part of ['worker', 'notifier']) {
    const pid = `${part.toUpperCase()}_PID`;
    process.kill(Number(before[pid]), 'SIGKILL');
    await until(`the ${part} to come back`, () => running.told().includes(`${part} is back`));
    expect(running.told()).toContain(`${part} was ended by SIGKILL; it is started again`);
    expect(localEnv(dataDirectory)[pid]).not.toBe(before[pid]);
  }
  const others = { WORKER_PID: '', NOTIFIER_PID: '' };
  expect({ ...localEnv(dataDirectory), ...others }).toEqual({ ...before, ...others });
});

const chromium = findBrowser();
if (chromium === null || !knowsListeners)
  console.warn(
    '\n*** SKIPPED: no Chromium or no /proc, so pages of other sites were NOT tried against the stack ***\n',
  );

describe.skipIf(chromium === null || !knowsListeners)('a page of another site', () => {
  test('changes nothing, at whatever listens', async () => {
    const open = await placedAs('watched', 'wallet-6');
    const browser = await launchBrowser(chromium ?? '');
    onTestFinished(() => browser.close());
    const context = await browser.newContext();
    // Logged in and open beside it, as an operator would have them.
    const consolePage = await context.newPage();
    await consolePage.goto(`${facts.places.sandboxUrl}/console/orders`);
    await consolePage.locator('input[type=password]').fill(facts.controlToken);
    await consolePage.locator('button').first().click();
    await consolePage.getByText('watched').first().waitFor();
    const webUi = await context.newPage();
    await webUi.goto(`${facts.temporalUiUrl}/namespaces/default/workflows`);
    await webUi.getByText('deposit:watched').first().waitFor();

    const own = new Set(recordedPids(dataDirectory));
    const listeners = listenersOf([process.pid, ...own]).filter(({ host }) => !host.startsWith('IPv6'));
    const target = { workflowId: open.workflowId, externalOrderNumber: 'watched' };
    const before = await everything();
    expect(before.workflows).toContainEqual(expect.stringContaining('deposit:watched RUNNING'));
    expect(await sendFromOtherSite(context, listeners, target)).toBeGreaterThan(100);
    // The Web UI's own address is 1 of 16 million: no page finds the name that it would have to rebind to.
    const named = listeners.filter(({ host }) => host === '127.0.0.1');
    expect(await sendAfterRebinding(context, named, target)).toContain(Number(new URL(facts.temporalUiUrl ?? '').port));
    expect(await everything()).toEqual(before);

    // Requests of its own pages still work.
    const path = `/api/v1/namespaces/default/workflows/${encodeURIComponent(open.workflowId)}/terminate`;
    expect(await webUi.evaluate(sendAsOwn, [[path, '{}'] as const])).toEqual([200]);
  });
});

test('cut connections end no process, and every deposit of that time is credited once', async () => {
  const before = recordedPids(dataDirectory);
  const told = running.told();
  const sandboxUrl = facts.places.sandboxUrl ?? '';
  const insist = (what: string, call: () => Promise<unknown>) =>
    until(what, () =>
      call().then(
        () => true,
        () => false,
      ),
    );
  const numbers = Array.from({ length: 20 }, (_, index) => `cut-${index}`);
  const cutting = cutConnections(8);
  const paid = await Promise.all(
    numbers.map(async (number) => {
      let state = 'PLACING';
      await insist(`${number} to be created`, async () => {
        await facts.api.deposits.create(orderOf(number, 'wallet-8')).catch((error: unknown) => {
          if (!(error instanceof DepositEngineError) || error.status !== 422) throw error;
        });
      });
      await until(`${number} to be placed`, async () => {
        state = (await facts.api.deposits.read(number).catch(() => null))?.state ?? 'PLACING';
        return state !== 'PLACING';
      });
      // The provider and the worker lose their connections as well; an order that may have been sent is never sent
      // again.
      if (state !== 'AWAITING_PAYMENT') return null;
      await insist(`${number} to be paid`, async () => {
        await payAtSandbox(sandboxUrl, facts.controlToken, number).catch((error: Error) => {
          // It was paid, and the response was cut off.
          if (!/ 409: /.test(error.message)) throw error;
        });
      });
      return number;
    }),
  );
  expect(await cutting).toBeGreaterThan(20);
  const credited = paid.filter((number) => number !== null);
  expect(credited.length).toBeGreaterThan(0);
  for (const number of credited) {
    expect(await facts.api.deposits.wait(number)).toMatchObject({ state: 'CREDITED' });
  }
  expect((await facts.api.wallets.read('wallet-8')).balance).toBe(`${250 * credited.length}`);
  expect(running.told()).toBe(told);
  expect(recordedPids(dataDirectory)).toEqual(before);
});

test('a second start goes on with what was open', async () => {
  const sandboxUrl = facts.places.sandboxUrl ?? '';
  const open = await placedAs('left-open', 'wallet-7');
  const before = localEnv(dataDirectory);
  await running.stack.stop();
  expect(pidsOf(before).filter(isAlive)).toEqual([]);

  const second = makeStack(dataDirectory);
  onTestFinished(() => second.stack.stop());
  const resumed = await second.stack.start();
  // Its port is taken: the stack goes on without a shop, and says why.
  await occupyPort(Number(new URL(facts.places.shopUrl!).port));
  expect(await resumed.openShop(new AbortController().signal)).toBeNull();
  expect(second.told()).toMatch(/The sample shop does not open: shop ended with code 1: .*EADDRINUSE/);
  expect(resumed.places).toEqual(facts.places);
  expect(localEnv(dataDirectory)['API_KEY']).toBe(before['API_KEY']);
  await payAtSandbox(sandboxUrl, facts.controlToken, open.externalOrderNumber);
  expect(await resumed.api.deposits.wait('left-open')).toMatchObject({ state: 'CREDITED' });
  expect((await resumed.api.wallets.read('wallet-7')).balance).toBe('250');
  const left = pidsOf(localEnv(dataDirectory)).filter((pid) => !Number.isNaN(pid));
  await second.stack.stop();
  expect(left.filter(isAlive)).toEqual([]);
});

test('a start that is told to stop ends with nothing running', async () => {
  const { stack, told } = makeStack(makeDataDirectory());
  onTestFinished(() => stack.stop());
  const starting = stack.start().catch((error: unknown) => error);
  await until('the first part', () => told().includes('✓ postgres'));
  await stack.stop();
  expect(await starting).toBeInstanceOf(Error);
});

/** Cuts every connection of the server but its own, that many times; returns how many connections. */
async function cutConnections(times: number): Promise<number> {
  const client = new pg.Client({ connectionString: facts.databaseUrl });
  await client.connect();
  let cut = 0;
  for (let time = 0; time < times; time += 1) {
    const { rows } = await client.query<{ n: number }>(
      `select count(pg_terminate_backend(pid))::int as n from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()`,
    );
    cut += rows[0]?.n ?? 0;
    await sleep(500);
  }
  await client.end();
  return cut;
}

/** Every row of both databases, and every workflow with its state: all that a page could have changed. */
async function everything(): Promise<{ tables: Record<string, string>; workflows: string[] }> {
  const tables: Record<string, string> = {};
  const { DATABASE_URL: url = '' } = localEnv(dataDirectory);
  for (const database of ['deposits', 'sandbox']) {
    const client = new pg.Client({ connectionString: url.replace(/\/deposits$/, `/${database}`) });
    await client.connect();
    // The sandbox's log counts its refusals as well; the archive continues by its own schedule.
    const { rows } = await client.query<{ name: string }>(
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
        where schemaname in ('engine', 'ledger', 'sandbox') and (schemaname, tablename) <> ('sandbox', 'event')
          and tablename !~ '^archive'`,
    );
    for (const { name } of rows) {
      const found = await client.query<{ hash: string }>(
        `select count(*) || ' ' || md5(coalesce(string_agg(t::text, ' ' order by t::text), '')) as hash from ${name} t`,
      );
      tables[name] = found.rows[0]?.hash ?? '';
    }
    await client.end();
  }
  const connection = await Connection.connect({ address: localEnv(dataDirectory)['TEMPORAL_ADDRESS'] ?? '' });
  const workflows: string[] = [];
  for await (const { workflowId, runId, status, historyLength } of new Client({ connection }).workflow.list()) {
    if (!workflowId.startsWith('archive-')) workflows.push(`${workflowId} ${status.name} ${runId} ${historyLength}`);
  }
  await connection.close();
  return { tables, workflows: workflows.toSorted() };
}
