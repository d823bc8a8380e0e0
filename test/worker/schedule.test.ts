import { Client, Connection } from '@temporalio/client';
import { afterAll, expect, test } from 'vitest';
import { loadArchiveEvery } from '../../config/settings/migration.ts';
import { scheduleArchive } from '../../local/stack/migrations.ts';
import { ARCHIVE_SCHEDULE, ensureArchiveSchedule } from '../../worker/schedule.ts';
import { startOwnTemporal } from '../support/temporal.ts';

/** The archive's schedule, as migrations make it. */
// The local stack knows one namespace, that of its own server.
const { temporal: server, remove } = await startOwnTemporal();
const connection = await Connection.connect({ address: server.address });
const client = new Client({ connection });
const schedule = client.schedule.getHandle(ARCHIVE_SCHEDULE);
afterAll(async () => {
  await connection.close();
  await remove();
});

test('is made once, by however many at the same time; another interval replaces the first; a pause stays', async () => {
  await Promise.all(Array.from({ length: 4 }, () => ensureArchiveSchedule(client, 60_000)));
  const made = await schedule.describe();
  expect(made).toMatchObject({
    spec: { intervals: [{ every: 60_000 }] },
    action: { type: 'startWorkflow', workflowType: 'archive', taskQueue: 'deposits' },
    policies: { overlap: 'SKIP' },
    state: { paused: false },
  });
  await schedule.pause('looking into something');
  await ensureArchiveSchedule(client, 60_000);
  await ensureArchiveSchedule(client, 300_000);
  expect(await schedule.describe()).toMatchObject({
    spec: { intervals: [{ every: 300_000 }] },
    policies: { overlap: 'SKIP' },
    state: { paused: true, note: 'looking into something' },
  });
});

test('the local stack makes it on the server it brings along', async () => {
  const embedded = { postgres: true, temporal: true, sandbox: true };
  const sources = { env: { ARCHIVE_EVERY: '2m' }, embedded } as unknown as Parameters<typeof scheduleArchive>[0];
  await scheduleArchive(sources, server.address);
  expect(await schedule.describe()).toMatchObject({ spec: { intervals: [{ every: 120_000 }] } });
});

test('the setting is a duration of a second or more, a minute unless said otherwise', () => {
  expect(loadArchiveEvery({})).toBe(60_000);
  expect(loadArchiveEvery({ ARCHIVE_EVERY: '' })).toBe(60_000);
  expect(loadArchiveEvery({ ARCHIVE_EVERY: '5m' })).toBe(300_000);
  for (const wrong of ['1', '500ms', '-1m', 'often']) {
    expect(() => loadArchiveEvery({ ARCHIVE_EVERY: wrong }), wrong).toThrow('ARCHIVE_EVERY: ');
  }
});
