import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { Worker } from '@temporalio/worker';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createArchiver } from '../../activities/archiving.ts';
import { archiveFirst } from '../../audit/command.ts';
import { canonicalHistory, parseHistory } from '../../archive/canonical-history.ts';
import { archivedRuns } from '../../archive/chain.ts';
import { archiveObjects } from '../../archive/objects.ts';
import type { HistorySource } from '../../archive/history-source.ts';
import { temporalHistories } from '../../worker/temporal-histories.ts';
import { reviewStart } from '../../workflows/messages.ts';
import { memoryLog, raised } from '../api/evidence.ts';
import { paid } from '../support/builders.ts';
import { required } from '../support/database.ts';
import { until } from '../support/until.ts';
import { resetTo, taskOf } from '../support/workflows/reset.ts';
import { startWorkflowWorld } from '../support/workflows/workflow-world.ts';
import { depositWorkflowId, reviewWorkflowId } from '../../domain/ids.ts';

/** The archiving of closed workflows, on a real server and a real database, driven by hand. */
const world = await startWorkflowWorld('real');
const { owner } = world.db;
const pool = world.db.poolFor('app_worker');
const objects = archiveObjects(pool, undefined);
const histories = temporalHistories(world.client);

function archiver(source: Partial<HistorySource> = {}) {
  const { log, lines } = memoryLog();
  const { archiveClosed } = createArchiver({
    pool,
    histories: { ...histories, ...source },
    objects,
    version: 'test',
    log,
  });
  const alarms = () => raised(log, lines);
  return { archiveClosed, alarms };
}

/** A deposit that is credited: its workflow ends. */
async function credited(): Promise<{ readonly order: string; readonly handle: WorkflowHandle }> {
  const reserved = await world.reserve();
  const handle = await world.start(reserved);
  await world.signal(handle, await world.receive(paid(reserved.order)));
  expect(await handle.result()).toMatchObject({ state: 'CREDITED' });
  return { order: reserved.order.externalOrderNumber, handle };
}
/** Makes all due at once. */
const allDue = () =>
  owner.query(`update engine.archive_due set look_at = clock_timestamp() where look_at < 'infinity'`);
const queued = async (workflowId: string) => {
  const { rowCount } = await owner.query('select from engine.archive_due where workflow_id = $1', [workflowId]);
  return rowCount === 1;
};
const rowsOf = (workflowId: string) => archivedRuns(owner, workflowId);
const remove = async (workflowId: string, runId?: string) => {
  await world.client.workflowService.deleteWorkflowExecution({
    namespace: world.client.options.namespace,
    workflowExecution: { workflowId, ...(runId === undefined ? {} : { runId }) },
  });
  const isGone = async () => (await histories.fetch(workflowId, runId ?? '')) === null;
  // The server deletes slowly.
  await until('the workflow to be gone', isGone);
};

/** One that was archived before Temporal lost it, and one that was not. */
let kept: WorkflowHandle;
let lost: WorkflowHandle;
beforeAll(async () => {
  kept = (await credited()).handle;
  await allDue();
  await archiver().archiveClosed(100);
  lost = (await credited()).handle;
  await Promise.all([kept, lost].map(({ workflowId }) => remove(workflowId)));
  await owner.query(`update engine.archive_due set look_at = 'infinity' where workflow_id = $1`, [lost.workflowId]);
});

/** What the test before has left on the queue. */
beforeEach(async () => {
  await until('an empty queue', async () => {
    await allDue();
    await archiver().archiveClosed(100);
    const { rowCount } = await owner.query(`select from engine.archive_due where look_at < 'infinity'`);
    return rowCount === 0;
  });
});

describe('a closed deposit', () => {
  test('is archived once, however often that is done, and its hashes are those of what Temporal holds', async () => {
    const { order, handle } = await credited();
    await allDue();
    const { archiveClosed, alarms } = archiver();
    expect(await archiveClosed(100)).toEqual({ archived: 1, left: 0 });
    expect(await archiveClosed(100)).toEqual({ archived: 0, left: 0 });
    // Even when it is queued again.
    await owner.query(`select engine.await_archive($1, now())`, [depositWorkflowId(order)]);
    await allDue();
    await archiveClosed(100);
    expect(await queued(depositWorkflowId(order))).toBe(false);
    const [row, ...more] = await rowsOf(depositWorkflowId(order));
    expect(more).toEqual([]);
    const history = await handle.fetchHistory();
    expect(row).toMatchObject({
      n: 2,
      workflowType: 'deposit',
      status: 'COMPLETED',
      events: history.events!.length,
      runId: (await handle.describe()).runId,
    });
    // Computed here, from the server's own export: sorted keys, no white space.
    const text = JSON.stringify(JSON.parse(historyToJSON(history)), (_key, member: unknown) =>
      typeof member === 'object' && member !== null && !Array.isArray(member)
        ? Object.fromEntries(Object.entries(member).toSorted(([a], [b]) => (a < b ? -1 : 1)))
        : member,
    );
    expect(row!.historyHash.toString('hex')).toBe(createHash('sha256').update(text).digest('hex'));
    const { rows } = await owner.query<{ bytes: Buffer; ok: boolean }>(
      `select o.bytes, (select ok from engine.verify_archive() v where v.n = a.n) as ok
         from engine.archive a join engine.archive_object o on o.hash = a.history_hash where a.n = $1`,
      [row!.n],
    );
    expect(gunzipSync(rows[0]!.bytes).toString()).toBe(text);
    expect(rows[0]!.ok).toBe(true);
    expect(alarms()).toEqual([]);
  });

  test('replays from the archive after it has left Temporal', async () => {
    expect(await histories.newest(kept.workflowId)).toBeNull();
    const [row] = await rowsOf(kept.workflowId);
    const history = parseHistory(await objects.get(row!.historyHash));
    expect(canonicalHistory(history).hash.equals(row!.historyHash)).toBe(true);
    await Worker.runReplayHistory(
      { workflowBundle: { codePath: required('TEST_WORKFLOW_BUNDLE') } },
      history,
      row!.workflowId,
    );
  });

  test('waits while its workflow still runs, and comes again', async () => {
    const reserved = await world.reserve();
    const { externalOrderNumber } = reserved.order;
    const handle = await world.start(reserved);
    await until(
      'the payment window',
      async () => (await world.state(externalOrderNumber)).state === 'AWAITING_PAYMENT',
    );
    // The row is ahead of its workflow, as between the commit of an activity and the end of the run.
    await owner.query('insert into engine.archive_due values ($1, clock_timestamp(), 0, clock_timestamp())', [
      handle.workflowId,
    ]);
    await allDue();
    const { archiveClosed } = archiver();
    expect(await archiveClosed(100)).toEqual({ archived: 0, left: 0 });
    expect(await queued(handle.workflowId)).toBe(true);
    expect(await rowsOf(handle.workflowId)).toEqual([]);
    await world.signal(handle, await world.receive(paid(reserved.order)));
    await handle.result();
    await allDue();
    expect(await archiveClosed(100)).toEqual({ archived: 1, left: 0 });
    expect(await rowsOf(handle.workflowId)).toHaveLength(1);
  });

  test('is archived later when Temporal or the store is away: nothing is skipped, nothing is half done', async () => {
    const { order } = await credited();
    const id = depositWorkflowId(order);
    const away = () => Promise.reject(new Error('away'));
    for (const broken of [archiver({ listed: away }), archiver({ newest: away })]) {
      await allDue();
      await expect(broken.archiveClosed(100)).rejects.toThrow('away');
      expect(broken.alarms()).toEqual([]);
    }
    const full = createArchiver({
      pool,
      histories,
      objects: { ...objects, put: () => Promise.reject(new Error('disk full')) },
      version: 'test',
      log: memoryLog().log,
    });
    await allDue();
    await expect(full.archiveClosed(100)).rejects.toThrow('disk full');
    expect(await rowsOf(id)).toEqual([]);
    expect(await queued(id)).toBe(true);
    await allDue();
    expect(await archiver().archiveClosed(100)).toEqual({ archived: 1, left: 0 });
  });
});

test('two archivers at once, over the same work: each run has one row, and the chain holds', async () => {
  const all = await Promise.all(Array.from({ length: 12 }, () => credited()));
  await allDue();
  // Each gets every workflow: the first look does not hide them from the second.
  const source: Partial<HistorySource> = {
    async newest(workflowId) {
      await owner.query('update engine.archive_due set look_at = clock_timestamp() where workflow_id = $1', [
        workflowId,
      ]);
      return histories.newest(workflowId);
    },
  };
  const work = async () => {
    const { archiveClosed } = archiver(source);
    while ((await archiveClosed(3)).left > 0);
  };
  await Promise.all([work(), work(), work()]);
  for (const { handle } of all) {
    expect(await rowsOf(handle.workflowId)).toHaveLength(1);
    expect(await queued(handle.workflowId)).toBe(false);
  }
  const { rows } = await owner.query('select n from engine.verify_archive() where not ok');
  expect(rows).toEqual([]);
});

test('a batch is listed in one call, and an id that somebody made up holds up nobody else', async () => {
  const done = await Promise.all([credited(), credited(), credited()]);
  const quoted = "deposit:' or WorkflowId != '";
  // Together more than the server takes in one call.
  const long = Array.from({ length: 50 }, (_, i) => `deposit:${i}${'x'.repeat(100_000)}`);
  const madeUp = [quoted, ...long];
  for (const id of madeUp) await owner.query('select engine.await_archive($1, clock_timestamp())', [id]);
  await allDue();
  const asked: (readonly string[])[] = [];
  const { archiveClosed } = archiver({
    listed: (ids) => {
      asked.push(ids);
      return histories.listed(ids);
    },
  });
  await expect(archiveClosed(100)).rejects.toThrow('is no id of ours');
  expect(asked).toHaveLength(1);
  for (const { handle } of done) expect(await rowsOf(handle.workflowId)).toHaveLength(1);
  for (const id of [quoted, long[0]!]) expect(await queued(id)).toBe(true);
  await owner.query('delete from engine.archive_due where workflow_id = any($1)', [madeUp]);
});

/** A case whose workflow was terminated, opened again, and closed. */
async function openedTwice() {
  const { order } = await credited();
  const { rows } = await owner.query<{ id: string; uid: string | null }>(
    'select id, uid from engine.callback where deposit = $1',
    [order],
  );
  const inboxId = rows[0]!.id;
  const id = reviewWorkflowId(rows[0]!);
  await owner.query(`insert into engine.review_case (workflow_id, callback, reason) values ($1, $2, 'SECOND_CODE')`, [
    id,
    inboxId,
  ]);
  const start = reviewStart({
    workflowId: id,
    inboxId,
    externalOrderNumber: order,
    reason: 'SECOND_CODE',
    transactionCode: null,
    payment: null,
  });
  const runs: string[] = [];
  for (const why of ['by mistake', 'decided by hand']) {
    const handle = await world.client.workflow.start('review', start);
    runs.push(handle.firstExecutionRunId);
    await taskOf(handle, 'first');
    await handle.terminate(why);
  }
  await until('both runs to be listed', async () => {
    const known = await histories.listed([id]);
    return known.get(id)?.length === 2;
  });
  const close = () =>
    owner.query(
      `update engine.review_case set closed_at = clock_timestamp(), decision = 'reject', decided_by = 'alice' where workflow_id = $1`,
      [id],
    );
  return { id, runs, close };
}

describe('a workflow id with several runs', () => {
  test('is archived whole: the terminated run, then the one that followed', async () => {
    const { id, runs, close } = await openedTwice();
    await close();
    await allDue();
    await archiver().archiveClosed(100);
    const rows = await rowsOf(id);
    expect(rows.map(({ runId }) => runId)).toEqual(runs);
    expect(rows.map(({ status }) => status)).toEqual(['TERMINATED', 'TERMINATED']);
    expect(rows[1]!.n).toBe(rows[0]!.n + 1);
  });

  test('of which an earlier one is gone: the other is archived, and the loss is told with its run', async () => {
    const { id, runs, close } = await openedTwice();
    await close();
    await allDue();
    const { archiveClosed, alarms } = archiver({
      fetch: async (workflowId, runId) => (runId === runs[0] ? null : histories.fetch(workflowId, runId)),
    });
    await archiveClosed(100);
    expect((await rowsOf(id)).map(({ runId }) => runId)).toEqual([runs[1]]);
    expect(alarms()).toMatchObject([{ alarm: 'history_lost', workflowId: id, runId: runs[0] }]);
  });
});

describe('a run that a list lacks', () => {
  const reset = async (workflowId: string, runId: string) => {
    const handle = world.client.workflow.getHandle(workflowId, runId);
    return resetTo(world.client.workflow, handle, runId, await taskOf(handle, 'first'));
  };
  const runsOf = async (id: string) => (await rowsOf(id)).map(({ runId }) => runId);
  const look = async (source: Partial<HistorySource> = {}) => {
    await allDue();
    await archiver(source).archiveClosed(100);
  };
  const lookUntilConfirmed = (id: string) =>
    until('the runs to be confirmed', async () => {
      await look();
      return !(await queued(id));
    });
  /** Lists these runs of it, if Temporal does. */
  const listing = (id: string, lists: (runId: string) => boolean): Partial<HistorySource> => ({
    listed: async (ids) => {
      const all = new Map(await histories.listed(ids));
      const runs = all.get(id);
      return runs === undefined ? all : all.set(id, runs.filter(lists));
    },
  });

  test('is archived: two resets between the list and the look at its runs', async () => {
    const { id, runs, close } = await openedTwice();
    await close();
    const made: string[] = [];
    await look({
      fetch: async (workflowId, runId) => {
        if (workflowId === id && made.length === 0) {
          made.push(await reset(id, runs[1]!), await reset(id, runs[1]!));
          await world.client.workflow.getHandle(id).terminate('decided by hand');
        }
        return histories.fetch(workflowId, runId);
      },
    });
    expect(await runsOf(id)).toEqual(runs);
    expect(await queued(id)).toBe(true);
    await lookUntilConfirmed(id);
    expect(await runsOf(id)).toEqual([...runs, ...made]);
  });

  test.each([
    ['the earlier one', (runs: readonly string[], runId: string) => runId !== runs[0]],
    ['both', () => false],
  ])('is archived once a list has it: %s', async (_, lists) => {
    const { id, runs, close } = await openedTwice();
    await close();
    const lagging = listing(id, (runId) => lists(runs, runId));
    await look(lagging);
    expect(await runsOf(id)).toEqual([runs[1]]);
    expect(await queued(id)).toBe(true);
    await lookUntilConfirmed(id);
    expect((await runsOf(id)).toSorted()).toEqual([...runs].toSorted());
  });

  test('is waited for while the list lacks the newest, however often it is looked at', async () => {
    const { handle } = await credited();
    for (let looks = 0; looks < 3; looks += 1) await look(listing(handle.workflowId, () => false));
    expect(await rowsOf(handle.workflowId)).toHaveLength(1);
    expect(await queued(handle.workflowId)).toBe(true);
    await lookUntilConfirmed(handle.workflowId);
    expect(await rowsOf(handle.workflowId)).toHaveLength(1);
  });

  test('is waited for, although a list names an older run that is archived', async () => {
    const { id, runs, close } = await openedTwice();
    await close();
    const lagging = listing(id, (runId) => runId === runs[0]);
    for (let looks = 0; looks < 3; looks += 1) await look(lagging);
    expect(await runsOf(id)).toEqual(runs);
    expect(await queued(id)).toBe(true);
    await lookUntilConfirmed(id);
  });

  test('is not confirmed as absent by a list from before the others were archived', async () => {
    const { id, runs, close } = await openedTwice();
    await close();
    const lagging = listing(id, (runId) => runId === runs[1]);
    await look({
      async listed(ids) {
        const before = await lagging.listed!(ids);
        await look(lagging);
        return before;
      },
    });
    expect(await runsOf(id)).toEqual([runs[1]]);
    expect(await queued(id)).toBe(true);
    await lookUntilConfirmed(id);
    expect((await runsOf(id)).toSorted()).toEqual([...runs].toSorted());
  });

  test('is found by the run that was reset from it, although no list ever has it', async () => {
    const { id, runs, close } = await openedTwice();
    const newest = await reset(id, runs[0]!);
    await world.client.workflow.getHandle(id).terminate('decided by hand');
    await close();
    await look(listing(id, (runId) => runId === newest));
    expect(await runsOf(id)).toEqual([runs[0], newest]);
    await lookUntilConfirmed(id);
  });

  test('and that Temporal has no more is told by its name', async () => {
    const { id, runs, close } = await openedTwice();
    const newest = await reset(id, runs[0]!);
    await world.client.workflow.getHandle(id).terminate('decided by hand');
    await close();
    const { archiveClosed, alarms } = archiver({
      ...listing(id, (runId) => runId === newest),
      fetch: async (workflowId, runId) => (runId === runs[0] ? null : histories.fetch(workflowId, runId)),
    });
    for (let looks = 0; looks < 2; looks += 1) {
      await allDue();
      await archiveClosed(100);
    }
    expect(alarms()).toMatchObject([{ alarm: 'history_lost', workflowId: id, runId: runs[0] }]);
    await lookUntilConfirmed(id);
  });

  test('of a workflow that closed anew is waited for, too', async () => {
    const { handle } = await credited();
    await look();
    await owner.query(`update engine.archive_due set closed_at = clock_timestamp() + interval '1 minute'`);
    const again = await reset(handle.workflowId, (await handle.describe()).runId);
    await world.client.workflow
      .getHandle(handle.workflowId)
      .terminate('by hand')
      .catch(() => undefined);
    await look(listing(handle.workflowId, (runId) => runId !== again));
    expect(await runsOf(handle.workflowId)).toContain(again);
    await lookUntilConfirmed(handle.workflowId);
  });
});

describe('alarms', () => {
  test('history_lost: each of two runs is told once, however often they are asked for', async () => {
    const { id, runs, close } = await openedTwice();
    await close();
    const { archiveClosed, alarms } = archiver({
      fetch: async (workflowId, runId) => (workflowId === id ? null : histories.fetch(workflowId, runId)),
      newest: async (workflowId) => (workflowId === id ? null : histories.newest(workflowId)),
    });
    for (let looks = 0; looks < 3; looks += 1) {
      await owner.query('select engine.await_archive($1, clock_timestamp())', [id]);
      await allDue();
      await archiveClosed(100);
    }
    expect(alarms().map(({ runId }) => runId)).toEqual(runs);
  });

  test('history_lost is not told of a run that another archiver has archived meanwhile', async () => {
    const { handle } = await credited();
    await allDue();
    const gone = async () => {
      await allDue();
      await archiver().archiveClosed(100);
      return null;
    };
    const { archiveClosed, alarms } = archiver({ fetch: gone, newest: gone });
    await archiveClosed(100);
    expect(await rowsOf(handle.workflowId)).toHaveLength(1);
    expect(alarms()).toEqual([]);
  });

  test('history_lost: a history that Temporal does not have is told once, noted, and not asked for again', async () => {
    await owner.query(`update engine.archive_due set look_at = clock_timestamp()`);
    const { archiveClosed, alarms } = archiver();
    expect(await archiveClosed(100)).toEqual({ archived: 0, left: 0 });
    expect(alarms()).toMatchObject([{ alarm: 'history_lost', workflowId: lost.workflowId }]);
    expect(await queued(lost.workflowId)).toBe(false);
    await allDue();
    await archiveClosed(100);
    // Requested once more, as in the runbook.
    await owner.query('select engine.await_archive(workflow_id, closed_at) from engine.archive_lost');
    await allDue();
    await archiveClosed(100);
    expect(alarms()).toHaveLength(1);
    const { rows } = await world.db
      .poolFor('auditor')
      .query('select workflow_id, lost_at is not null as lost from engine.unarchived');
    expect(rows).toEqual([{ workflow_id: lost.workflowId, lost: true }]);
  });

  test('a namespace that is not there is no loss', async () => {
    const { handle } = await credited();
    await allDue();
    const elsewhere = temporalHistories(
      new (await import('@temporalio/client')).Client({ connection: world.client.connection, namespace: 'nowhere' }),
    );
    const { archiveClosed, alarms } = archiver({ listed: (ids) => elsewhere.listed(ids) });
    await expect(archiveClosed(100)).rejects.toThrow();
    expect(alarms()).toEqual([]);
    await allDue();
    await archiver().archiveClosed(100);
    expect(await rowsOf(handle.workflowId)).toHaveLength(1);
  });

  test('history_at_risk: past half of the retention it is told, once until it is over', async () => {
    const { handle } = await credited();
    await owner.query(
      `update engine.archive_due set closed_at = now() - interval '16 days', look_at = now() + interval '1 hour'`,
    );
    const { archiveClosed, alarms } = archiver();
    expect(await histories.retentionMs()).toBe(720 * 3_600_000);
    await archiveClosed(100);
    await archiveClosed(100);
    expect(alarms()).toMatchObject([{ alarm: 'history_at_risk', workflowId: handle.workflowId }]);
    await owner.query(`update engine.archive_due set closed_at = now() - interval '14 days'`);
    await archiveClosed(100);
    await owner.query(`update engine.archive_due set closed_at = now() - interval '16 days'`);
    await archiveClosed(100);
    expect(alarms()).toHaveLength(2);
    await allDue();
    await archiveClosed(100);
    expect(await rowsOf(handle.workflowId)).toHaveLength(1);
  });
});

test('the workflow archives batch after batch until nothing is left', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => credited()));
  await allDue();
  const result = await world.client.workflow.execute('archive', { workflowId: 'archive', taskQueue: 'deposits' });
  expect(result).toEqual({ archived: 5 });
  for (const { handle } of all) expect(await rowsOf(handle.workflowId)).toHaveLength(1);
  const { rows } = await owner.query(`select from engine.archive where workflow_type = 'archive'`);
  expect(rows).toEqual([]);
});

test('what an audit finds lost before anybody else is told by the audit: nobody tells it again', async () => {
  await owner.query(
    `insert into engine.archive_due (workflow_id, closed_at, look_at) values ('deposit:never-ran', now() - interval '1 hour', now())`,
  );
  const told: string[] = [];
  const said = vi.spyOn(console, 'error').mockImplementation((line: string) => void told.push(line));
  onTestFinished(() => said.mockRestore());
  await archiveFirst({ url: world.db.urlFor('archiver') }, world.client, undefined);
  expect(told.map((line) => JSON.parse(line))).toMatchObject([
    { part: 'audit', alarm: 'history_lost', workflowId: 'deposit:never-ran' },
  ]);
  const { archiveClosed, alarms } = archiver();
  await archiveClosed(100);
  expect(alarms()).toEqual([]);
});
