import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { workflowSource } from '../../../worker/workflow-source.ts';
import { createTestDatabase } from '../../support/database.ts';
import { openTemporal } from '../../support/temporal.ts';
import { contentOf, runAudit } from '../command.ts';
import { makeBook } from '../scale/book.ts';

/** A part of 250 and one of 50: when the short one has ended, the long one has not. */
const COUNT = 300;

test('an audit that is killed goes on with what it had not finished, and comes to the same report', async () => {
  const db = await createTestDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'deposit-audit-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const { workflowBundle, buildId } = await workflowSource({}, false);
  await makeBook(db.url, COUNT, workflowBundle.code, buildId);
  const { address, namespace, stop } = await openTemporal();
  onTestFinished(stop);
  const servers = { databaseUrl: db.url, temporalAddress: address, temporalNamespace: namespace };

  const whole = await runAudit(servers, join(folder, 'whole'));
  expect(whole.told).toContain('nothing is unexplained');
  expect(whole.code).toBe(0);

  const cutOff = await runAudit(servers, join(folder, 'killed'), (_, child) => child.kill('SIGKILL'));
  expect({ code: cutOff.code, paths: cutOff.paths }).toEqual({ code: null, paths: [] });

  const goesOn = await runAudit(servers, join(folder, 'killed'));
  expect(goesOn.code).toBe(0);
  expect(goesOn.told[0]).toMatch(/^going on where it stopped: 1 of 2 parts are done$/);
  expect(JSON.parse(await contentOf(goesOn.paths[0]!))).toEqual(JSON.parse(await contentOf(whole.paths[0]!)));
});
