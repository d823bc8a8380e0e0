import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { expect, onTestFinished, test, vi } from 'vitest';
import { askTemporalElsewhere } from '../../local/stack/external-servers.ts';
import { isAlive } from '../../local/servers/process.ts';
import { startTemporal, type TemporalOptions, TemporalStartError } from '../../local/servers/temporal.ts';
import { makeDirectory, occupyPort, writeScript } from './support.ts';

async function started(options: TemporalOptions) {
  const server = await startTemporal(options);
  onTestFinished(() => server.stop());
  return server;
}

async function describeNamespace(address: string) {
  const connection = await Connection.connect({ address });
  try {
    return await connection.workflowService.describeNamespace({ namespace: 'default' });
  } finally {
    await connection.close();
  }
}

/** In a directory whose name means something in a URL, to a shell and in a query; a clone's may. */
const makeOddFile = () => join(makeDirectory(), `%41?b#c d'e"f é中`, 'temporal.db');

test('the server keeps histories 30 days, knows the search attributes, and survives a restart on its file', async () => {
  const dbFile = makeOddFile();
  // A company's network: a request to the proxy for this machine fails.
  vi.stubEnv('http_proxy', 'http://127.0.0.1:9');
  onTestFinished(() => void vi.unstubAllEnvs());
  const first = await started({ dbFile });
  const elsewhere = { TEMPORAL_ADDRESS: first.address, TEMPORAL_CONFIG_FILE: '/dev/null' };
  await askTemporalElsewhere(elsewhere);
  await expect(askTemporalElsewhere({ ...elsewhere, TEMPORAL_NAMESPACE: 'nope' })).rejects.toThrow(
    `The Temporal server at ${first.address} has no namespace "nope" (TEMPORAL_NAMESPACE). Make it with`,
  );
  vi.unstubAllEnvs();
  const { config, namespaceInfo } = await describeNamespace(first.address);
  expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(30 * 24 * 3600);
  expect(Object.values(config?.customSearchAttributeAliases ?? {}).toSorted()).toEqual([
    'BuyCoinMode',
    'Currency',
    'DepositState',
    'MtcAmount',
    'ReviewReason',
    'TransactionCode',
  ]);
  expect((await fetch(first.uiUrl ?? '')).status).toBe(200);
  await first.stop();
  expect(isAlive(first.pid)).toBe(false);

  const second = await started({ dbFile, port: first.port });
  expect(second).toMatchObject({ adopted: false, port: first.port });
  expect((await describeNamespace(second.address)).namespaceInfo?.id).toBe(namespaceInfo?.id);
});

test('a server that still works on the file is taken over; a wished port that is taken is not insisted on', async () => {
  const dbFile = join(makeDirectory(), 'temporal.db');
  const taken = await occupyPort();
  const first = await started({ dbFile, port: taken, uiPort: 'headless' });
  expect(first.port).not.toBe(taken);
  expect(first.uiUrl).toBeNull();
  const second = await started({ dbFile });
  expect(second).toMatchObject({ adopted: true, pid: first.pid, address: first.address, uiUrl: null });
  await second.stop();
  await first.exited;
  expect(isAlive(first.pid)).toBe(false);
});

test('a server whose start was killed before it could be noted is ended: two on one file would ruin it', async () => {
  const dbFile = makeOddFile();
  const first = await started({ dbFile, uiPort: 'headless' });
  rmSync(`${dbFile}.server.json`);
  const second = await started({ dbFile, uiPort: 'headless' });
  expect(second.adopted).toBe(false);
  expect(isAlive(first.pid)).toBe(false);
});

test('a server that ends at once is reported with the end of its log', async () => {
  const directory = makeDirectory();
  const executable = writeScript(join(directory, 'temporal'), 'echo "disk I/O error" >&2; exit 3');
  const failure = startTemporal({ dbFile: join(directory, 'temporal.db'), executable });
  await expect(failure).rejects.toThrow(TemporalStartError);
  await expect(failure).rejects.toThrow(/ended with code 3[^]*disk I\/O error/);
});
