import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { Webhook } from 'standardwebhooks';
import { exampleOf } from '../../contract/events.ts';
import { CLIENT_SCHEMA, generateClientSchema, installClientTools } from '../../local/client-schema.ts';
import { root } from '../docs/variables.ts';

/** The client as others get it: its types are those of the document, and the packed package works in another folder. */
const run = promisify(execFile);
const tools = await installClientTools();
const scratch = await mkdtemp(join(tmpdir(), 'deposit-client-package-'));
afterAll(() => rm(scratch, { recursive: true, force: true }));
const shop = join(scratch, 'shop');

test('the types are those of the document', async () => {
  const isSame = (await generateClientSchema()) === (await readFile(CLIENT_SCHEMA, 'utf8'));
  expect(isSame, 'npm run client:schema writes them anew').toBe(true);
});

test('the package is packed without sources, and installed without anything else', async () => {
  const folder = join(scratch, 'package');
  await mkdir(folder);
  await mkdir(shop);
  await run('bash', ['deploy/build-client.sh', folder], { cwd: root });
  const [packed] = JSON.parse(
    (await run('npm', ['pack', '--json', '--pack-destination', scratch], { cwd: folder })).stdout,
  );
  const files = packed.files.map(({ path }: { path: string }) => path);
  expect(files).toEqual(expect.arrayContaining(['package.json', 'LICENSE', 'dist/client.js', 'dist/schema.d.ts']));
  expect(files.filter((path: string) => !/^(package\.json|LICENSE|dist\/\w+\.(js|d\.ts))$/.test(path))).toEqual([]);
  await writeFile(join(shop, 'package.json'), '{ "name": "shop", "private": true, "type": "module" }');
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', join(scratch, packed.filename)], { cwd: shop });
  const { packages } = JSON.parse(await readFile(join(shop, 'package-lock.json'), 'utf8'));
  expect(Object.keys(packages)).toEqual(['', 'node_modules/deposit-engine-client']);
});

/** The examples of its page, as one program. */
const EXAMPLES = [
  ...(await readFile(join(root, 'docs/reference/client.md'), 'utf8')).matchAll(/^```ts\n([^]*?)^```/gm),
].map(([, block]) => block);

/** Uses every part; the lines below @ts-expect-error must not compile. */
const PROGRAM = `
import { createDepositClient, type Deposit, DepositEngineError, type ProblemCode, webhooks } from 'deposit-engine-client';
import { verify, WebhookError } from 'deposit-engine-client/webhooks';

export async function buy(baseUrl: string, apiKey: string, signal: AbortSignal): Promise<Deposit | ProblemCode | null> {
  const client = createDepositClient({ baseUrl, apiKey, timeoutMs: 5_000 });
  const order = {
    externalOrderNumber: 'order-1', wallet: 'wallet-1', mtcAmount: '5', currencyCode: 'CNY',
    supportLanguage: 'en', payerRealName: 'Li Ming',
  } as const;
  try {
    // @ts-expect-error -- no mode
    await client.deposits.create(order);
    // @ts-expect-error -- no such mode
    await client.deposits.create({ ...order, buyCoinMode: 'Whatever' });
    // @ts-expect-error -- no such state
    client.deposits.list({ state: ['PAID'] });
    for await (const { state, credits } of client.deposits.list({ state: ['CREDITED'] })) console.log(state, credits[0]?.amount);
    for await (const { epoch, nextCursor, items } of client.events.list().pages()) console.log(epoch, nextCursor, items);
    const { redirectUrl } = await client.deposits.create({ ...order, buyCoinMode: 'MtcAmount' }, { signal });
    console.log(redirectUrl?.length);
    return await client.deposits.wait('order-1', { signal, timeoutMs: 1_000, until: ({ final }) => final });
  } catch (error) {
    if (!(error instanceof DepositEngineError)) throw error;
    // @ts-expect-error -- no such code
    if (error.code === 'no_money') return null;
    if (error.code === 'timeout' || error.code === 'no_answer' || error.code === 'unexpected_answer') return null;
    return error.code;
  }
}

export function receive(body: Uint8Array, headers: Record<string, string | string[] | undefined>, secrets: string[]) {
  const event = verify(body, headers, secrets, { now: new Date(), toleranceSeconds: 60 });
  if (event.type === 'deposit.credited') return event.data.creditedAt;
  // @ts-expect-error -- a deposit that was placed has no posting
  if (event.type === 'deposit.placed') return event.data.postingId;
  return event.type === 'case.opened' ? event.data.reason : null;
}
export const same: typeof verify = webhooks.verify;
export const isForged = (error: unknown): boolean => error instanceof WebhookError && error.fault === 'signature';
`;

test.each([
  ['5.9', join(tools, 'node_modules/typescript/bin/tsc'), '5.9.'],
  ['of this project', join(root, 'node_modules/typescript/bin/tsc'), '7.'],
])('its types are strict in TypeScript %s', async (_, compiler, version) => {
  expect((await run(process.execPath, [compiler, '--version'])).stdout).toContain(`Version ${version}`);
  expect(EXAMPLES.length).toBeGreaterThan(2);
  await writeFile(
    join(shop, 'page.ts'),
    `declare const process: { env: Record<string, string> };\n${EXAMPLES.join('')}`,
  );
  await writeFile(join(shop, 'buy.ts'), PROGRAM);
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'];
  // The package's own types are checked too, without those of Node.
  const checked = ['--skipLibCheck', 'false', '--skipDefaultLibCheck', 'true', '--lib', 'es2023,dom'];
  const form = ['--module', 'nodenext', '--target', 'es2023', '--noEmit'];
  const words = [compiler, ...strict, ...checked, ...form, 'buy.ts', 'page.ts'];
  const { stdout } = await run(process.execPath, words, { cwd: shop }).catch((error: { stdout: string }) => error);
  expect(stdout).toBe('');
});

test('it works on this Node, from that folder', async () => {
  const secret = `whsec_${randomBytes(32).toString('base64')}`;
  const [body, at] = [JSON.stringify(exampleOf('deposit.credited')), new Date()];
  const headers = {
    'webhook-id': 'evt_order-1001_2',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': new Webhook(secret).sign('evt_order-1001_2', at, body),
  };
  const program = `
    import { createDepositClient, webhooks } from 'deposit-engine-client';
    import { verify } from 'deposit-engine-client/webhooks';
    const { body, headers, secret } = JSON.parse(process.argv[1]);
    const client = createDepositClient({ baseUrl: 'http://127.0.0.1:1', apiKey: 'dek_test', retries: 0 });
    const { code } = await client.deposits.read('order-1001').catch((error) => error);
    console.log(verify === webhooks.verify, verify(body, headers, secret).type, code);`;
  const words = ['--input-type=module', '--eval', program, JSON.stringify({ body, headers, secret })];
  expect((await run(process.execPath, words, { cwd: shop })).stdout).toBe('true deposit.credited no_answer\n');
});
