import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PLACEMENT_PATH, type Sandbox } from '../../sandbox/server.ts';
import { ACCESS_KEY, control, createDatabase, newNumber, pay, SECRET_KEY, settled, start } from './support.ts';

const hasPython = spawnSync('python3', ['--version']).status === 0;
if (!hasPython) console.warn('SKIPPED: no python3 here, so nobody but our own TypeScript has spoken to the sandbox.');

interface Answer {
  readonly httpStatus: number;
  readonly answer: {
    readonly statusCode: string;
    readonly message: string;
    readonly success: boolean;
    readonly data: unknown;
  };
}
interface Received {
  readonly genuine: boolean;
  readonly callback: { readonly data: Record<string, string> };
}

describe.skipIf(!hasPython)('a client written from the documents alone, in another language, over HTTPS', () => {
  let sandbox: Sandbox;
  let folder: string;
  let python: ChildProcess;
  let answers: AsyncIterator<string>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sandbox-python-'));
    const secure = await start(await createDatabase(), {
      SANDBOX_TLS: 'on',
      SANDBOX_TLS_DIRECTORY: folder,
      SANDBOX_SPEED: '60000',
    });
    const main = fileURLToPath(new URL('client.py', import.meta.url));
    python = spawn('python3', ['-u', main], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        ACCESS_KEY,
        SECRET_KEY,
        ENDPOINT: `${secure.url}${PLACEMENT_PATH}`,
        CA_FILE: secure.caFile!,
      },
    });
    answers = createInterface({ input: python.stdout! })[Symbol.asyncIterator]();
    // The test itself calls the provider over loopback, which is allowed; the client knows only HTTPS.
    sandbox = { ...secure, url: secure.url.replace('https:', 'http:') };
  });
  afterAll(async () => {
    python.kill();
    await rm(folder, { recursive: true, force: true });
  });

  async function tell<T>(command: object): Promise<T> {
    python.stdin!.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await answers.next();
    if (done === true) throw new Error('the client has ended; what it wrote is above');
    return JSON.parse(value) as T;
  }
  const parameters = (change: object = {}): Record<string, unknown> => ({
    buyCoinMode: 'MtcAmount',
    mtcAmount: 5000,
    externalOrderNumber: newNumber(),
    callbackUrl: 'http://127.0.0.1:1/callback',
    supportLanguage: 'en',
    currencyCode: 'CNY',
    payerRealName: '王小明',
    ...change,
  });
  const place = (change: object = {}, headers: object = {}): Promise<Answer> =>
    tell({ do: 'place', parameters: parameters(change), headers });

  test.each([
    ['text/plain', 'SUCCESS'],
    ['application/json', '{"success":true}'],
  ])('orders in both modes and every currency, and acknowledges the callbacks as %s', async (...acknowledge) => {
    const { callbackUrl } = await tell<{ callbackUrl: string }>({ do: 'listen', acknowledge });
    for (const [currencyCode, price, total, mtc] of [
      ['CNY', '36000.00', 32551.2, '4521.00'],
      ['HKD', '39000.00', 780, '100.00'],
      ['TWD', '160000.00', 100, '3.125'],
    ] as const) {
      for (const [mode, paid, received] of [
        [{ buyCoinMode: 'MtcAmount' }, price, '5000.00'],
        [{ buyCoinMode: 'PaymentPrice', mtcAmount: undefined, totalPrice: total }, total.toFixed(2), mtc],
      ] as const) {
        const externalOrderNumber = newNumber();
        const placed = await place({ ...mode, currencyCode, callbackUrl, externalOrderNumber });
        expect(placed).toMatchObject({ httpStatus: 200, answer: { statusCode: 'SUCCESS', success: true } });
        await pay(sandbox, externalOrderNumber);
        const { genuine, callback } = await tell<Received>({ do: 'next' });
        expect(genuine).toBe(true);
        expect(callback.data).toMatchObject({
          externalOrderNumber,
          currencyCode,
          paymentPrice: paid,
          transactionAmount: received,
        });
        const [delivery] = await settled(sandbox, externalOrderNumber);
        expect(delivery!.progress).toBe('acknowledged at first delivery');
      }
    }
  });

  test('is refused with each status code of the documents, with a message', async () => {
    const refusedBy = async (statusCode: string, asking: Promise<Answer>): Promise<void> => {
      const { answer } = await asking;
      expect(answer).toMatchObject({ statusCode, success: false, data: null, message: expect.stringMatching(/\w/) });
    };
    await refusedBy('ACCESS_KEY_ERROR', place({}, { access_key: 'x'.repeat(32) }));
    await refusedBy('TIMESTAMP_ERROR', place({}, { timestamp: String(Date.now() - 3_600_000) }));
    await refusedBy('SIGNATURE_ERROR', place({}, { signature: 'AB'.repeat(32) }));
    await refusedBy('PARAMETER_ERROR', place({ currencyCode: 'USD' }));
    const change = (settings: object) => control(sandbox, 'PUT', '/settings', settings);
    await change({ frozen: true, prices: { TWD: 'none' } });
    await refusedBy('ACCOUNT_STATUS_ERROR', place());
    await change({ frozen: null });
    await refusedBy('NO_ADVERTISEMENT', place({ currencyCode: 'TWD' }));
    await change({ prices: null });
    await control(sandbox, 'POST', '/faults', { kind: 'status', params: { statusCode: 'SYSTEM_ERROR' } });
    await refusedBy('SYSTEM_ERROR', place());
    expect((await place()).answer.statusCode).toBe('SUCCESS');
  });
});
