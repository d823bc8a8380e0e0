import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { sha256 } from '../../../archive/canonical-history.ts';
import { archiveObjects } from '../../../archive/objects.ts';
import { collectEvidence } from '../../../archive/evidence.ts';
import { fetchOpen } from '../../../audit/run/open-work.ts';
import { audit } from '../../../audit/run/coordinator.ts';
import { parseCommand } from '../../../audit/audit-arguments.ts';
import { byHand, required } from '../../support/database.ts';
import { depositStart } from '../../../workflows/messages.ts';
import { paid } from '../../support/builders.ts';
import { inLanes } from '../../../telemetry/lanes.ts';
import { until } from '../../support/until.ts';
import { type DepositHandle, type Reserved, startWorkflowWorld } from '../../support/workflows/workflow-world.ts';
import { archiveAll, auditing, findingsOf } from '../book.ts';
import { everyPath } from './every-path.ts';
import { situations } from '../../support/workflows/situations.ts';

/** Audits every path of a deposit and a case, on real workflows; and one path that none takes. */
const world = await startWorkflowWorld('real');
const { short, untilState } = situations(world);
const code = await readFile(required('TEST_WORKFLOW_BUNDLE'), 'utf8');
const out = await mkdtemp(join(tmpdir(), 'deposit-audit-'));
afterAll(() => rm(out, { recursive: true, force: true }));

/** Far more than any path takes, so that one that hangs is named. */
const LONGEST_PATH_MS = 150_000;

/** No API runs: its later work stays undone. */
const patience = { looks: 2, everyMs: 50, youngMs: 300_000, archivedWithinMs: 0 };

/** Every finding except missing bytes and stamps: the messages of this test are stored without them. */
async function audited(...words: string[]) {
  await archiveAll(world);
  const command = { ...parseCommand(words), out, fresh: true };
  const { report } = await audit({ ...auditing(world.db.url, world.client, code), patience }, command);
  const bytes = ['callback_changed', 'callback_unknown'];
  return { report, found: findingsOf(report).filter(({ kind }) => !bytes.includes(kind)) };
}

test('none of them is an alarm', async () => {
  // As a worker does when it starts.
  await archiveObjects(world.db.poolFor('app_worker'), undefined).put(sha256(code), 'bundle', code);
  const ways = Object.entries(everyPath(world));
  const failures: string[] = [];
  const walk = ([name, path]: (typeof ways)[number]) => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error('not walked to its end')), LONGEST_PATH_MS);
    });
    return Promise.race([path(), late])
      .catch((error: Error) => failures.push(`${name}: ${error.message}`))
      .finally(() => clearTimeout(timer));
  };
  // While one path guesses the id of the next row, no other may write one. Many of the other paths mostly wait.
  const guesses = ([name]: (typeof ways)[number]) => name.startsWith('the next row’s id');
  expect(ways.filter(guesses)).toHaveLength(1);
  await inLanes(ways.filter(guesses), 1, walk);
  await inLanes(
    ways.filter((way) => !guesses(way)),
    6,
    walk,
  );
  expect(failures).toEqual([]);
  const { report, found } = await audited();
  expect(found).toEqual([]);
  expect(report.counts.histories).toBeGreaterThanOrEqual(ways.length);
  expect(report.checks.find(({ id }) => id === 'books')!.checked).toBe(report.counts.histories);
});

test('the evidence of a deposit tells a confirmation that was refused from one that counted', async () => {
  const { rows } = await world.db.owner.query<{ n: string }>(
    `select distinct c.deposit as n from engine.carried r join engine.decision p on p.id = r.proposal join engine.callback c on c.id = p.callback
      where c.deposit is not null group by 1 having bool_or(r.outcome = 'refused') and bool_or(r.outcome = 'decided' and r.posting is not null)`,
  );
  const objects = archiveObjects(world.db.owner, undefined);
  const fetch = { db: world.db.owner, objects, codecs: [], fetchOpen: (id: string) => fetchOpen(world.client, id) };
  const said = (await collectEvidence(fetch, rows[0]!.n))!.map(({ text }) => text).join('\n');
  expect(said).toMatch(/confirmed proposal \d+.*; it did not count, the books refused it: [a-z_]+$/m);
  expect(said).toMatch(/confirmed proposal \d+.*; it counted, and came to decided with posting \d+$/m);
  expect(said).toMatch(/^refused a confirmation, [a-z_]+: /m);
  expect(said).toMatch(/^accepted a confirmation: /m);
});

test('a case about a credit that the ledger refused has the words of its history, or the fixed text of older ones', async () => {
  const conflict = { kind: 'conflict', reason: 'LEDGER_REJECTED' };
  const refused = async (result: object): Promise<string> => {
    const reserved = await world.reserve();
    const { externalOrderNumber } = reserved.order;
    world.instead('credit', externalOrderNumber, async () => result);
    const handle = await world.start(reserved);
    await world.signal(handle, await world.receive(paid(reserved.order)));
    await untilState(reserved, 'IN_REVIEW');
    return externalOrderNumber;
  };
  const [older, n] = [await refused(conflict), await refused({ ...conflict, detail: 'SQLSTATE 23514' })];
  const differs = async (order: string) =>
    (await audited('--deposit', order)).found.filter(({ kind }) => kind === 'decision_differs');
  expect(await differs(older)).toEqual([]);
  expect(await differs(n)).toEqual([]);
  const change = `update engine.review_case set detail = 'all is well' where workflow_id = $1`;
  await byHand(world.db.owner, change, [`deposit:${n}`]);
  expect(await differs(n)).toMatchObject([
    { where: `deposit:${n}`, detail: expect.stringContaining('SQLSTATE 23514') },
  ]);
});

/**
 * Terminates a deposit's workflow and starts another with limits of its own, as an attacker who may write to Temporal
 * can.
 */
async function startAgain({ order, settings }: Reserved, handle: DepositHandle): Promise<DepositHandle> {
  await handle.terminate('by hand');
  const { externalOrderNumber } = order;
  const start = depositStart({ ...order, settings: { ...settings, feeBand: '1', reviewLimit: '1000000' } });
  const again = await world.client.workflow.start('deposit', { ...start, workflowIdReusePolicy: 'ALLOW_DUPLICATE' });
  expect(again.workflowId).toBe(`deposit:${externalOrderNumber}`);
  return again;
}

test('a workflow that somebody starts for a payment in review credits nothing, and the deposit stays with people', async () => {
  const { reserved, handle, payment } = await short();
  const again = await startAgain(reserved, handle);
  await world.signal(again, payment);
  await until('it to be told no', async () =>
    ((await again.fetchHistory()).events ?? []).some((event) => event.upsertWorkflowSearchAttributesEventAttributes),
  );
  expect(await world.postings(reserved.order.externalOrderNumber)).toBe(0);
  expect(await world.state(reserved.order.externalOrderNumber)).toMatchObject({ state: 'IN_REVIEW', posting_id: null });
});

test('one that is started before the payment came credits nothing that the frozen settings forbid, and the audit finds it', async () => {
  const reserved = await world.reserve();
  const n = reserved.order.externalOrderNumber;
  const first = await world.start(reserved);
  await untilState(reserved, 'AWAITING_PAYMENT');
  const again = await startAgain(reserved, first);
  await world.signal(again, await world.receive(paid(reserved.order, { transactionAmount: '4000' })));
  await untilState(reserved, 'IN_REVIEW');
  expect(await world.postings(n)).toBe(0);
  const { found } = await audited('--deposit', n);
  expect(found).toContainEqual({
    kind: 'deposit_row_differs',
    where: `deposit:${n}`,
    detail: 'the frozen settings are others than in its history',
  });
});
