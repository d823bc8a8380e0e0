import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { ALONE, changePayload, findingsOf, keepBook, rewriteHistory, sealAnew } from '../book.ts';
import { isGone } from '../../../archive/history-source.ts';
import { until } from '../../support/until.ts';
import { type Place, placesOf } from './places.ts';

/**
 * A forger changes any one place of any history, and adjusts its hash, its row and the chain. The audit finds it, or
 * the place is one that proves nothing.
 */

/** Fields of an event that describe the mechanics of Temporal and the SDK, and no input, decision or result. */
const PROVES_NOTHING: Readonly<Record<string, string>> = {
  taskId: 'the server’s own counter',
  requestId: 'by which the server knows a repeated call',
  identity: 'how a worker or a client calls itself; not who decided',
  header: 'empty: no context is handed on',
  workerVersion: 'which code took one step; that of the last step is compared with the archive’s row',
  sdkMetadata: 'which features of the SDK were in use',
  meteringMetadata: 'what the server counts',
  historySizeBytes: 'what the server counts',
  taskQueue: 'where the work waited for a worker',
  useWorkflowBuildId: 'which worker might take it',
  attempt: 'how often it was tried',
  retryPolicy: 'how often and when it would have been tried again',
  startToCloseTimeout: 'how long the server would have waited',
  scheduleToCloseTimeout: 'how long the server would have waited',
  scheduleToStartTimeout: 'how long the server would have waited',
  heartbeatTimeout: 'how long the server would have waited',
  workflowTaskTimeout: 'how long the server would have waited',
  firstWorkflowTaskBackoff: 'how long the first task waited',
  firstExecutionRunId: 'the first of several runs; the run itself is compared',
  searchAttributes: 'for searching in Temporal; what they repeat is compared where it stands',
  userMetadata: 'a summary for the Web UI; what it repeats is compared where it stands',
  eventGroupMarkers: 'by which the Web UI groups events',
  meta: 'the id of a question; question and answer are compared, and that they belong together',
  protocolInstanceId: 'the id of a question',
  acceptedRequestMessageId: 'the id of a question',
  acceptedRequestSequencingEventId: 'when a question came in; the time at which it was accepted is compared',
  complete_time: 'the worker’s clock when a local activity ended; no workflow of ours looks at a clock',
  original_schedule_time: 'the worker’s clock when a local activity began',
  reservedAt:
    'which row it began with; one that is made anew after a restore is younger, so only a later time is found',
};
/** Histories of older versions lack these: the only provider, the hash of a link, the result of an activity that had none. */
const ONCE_ABSENT = / of nothing$|\.provider$|\.redirectHash$|^activityTaskCompleted\.result$/;
const provesNothing = ({ path, change }: Place): boolean =>
  fieldsOf(path).some((field) => field in PROVES_NOTHING) || (change === 'left out' && ONCE_ABSENT.test(path));
const fieldsOf = (path: string): string[] => path.replaceAll('[]', '').split('.').slice(1);

const RUNS = 80;
/** Repeats a run that failed: its seed is in the failure. */
const SEED = process.env['AUDIT_SEED'];

const book = await keepBook();
const url = await book.tampered('select 1');
const db = new pg.Client({ connectionString: url });
await db.connect();
afterAll(() => db.end());
// A superuser meets no trigger.
await db.query('set session_replication_role = replica');

const { rows } = await db.query<{ id: string; deposit: string; bytes: Buffer }>(
  `select a.workflow_id as id, coalesce(c.external_order_number, substr(a.workflow_id, 9)) as deposit, o.bytes
     from engine.archive a join engine.archive_object o on o.hash = a.history_hash
     left join engine.review_case v on v.workflow_id = a.workflow_id left join engine.callback c on c.id = v.callback
    order by a.n`,
);
const histories = rows.map(({ id, deposit, bytes }) => {
  const text = gunzipSync(bytes).toString('utf8');
  return { id, deposit, text, places: placesOf(text) };
});

test('the book holds every kind of place, and none is excused that is not there', () => {
  const all = histories.flatMap(({ places }) => places);
  const fields = new Set(all.flatMap(({ path }) => fieldsOf(path)));
  expect(Object.keys(PROVES_NOTHING).filter((field) => !fields.has(field))).toEqual([]);
  const distinct = new Map(all.map((place) => [`${place.path} ${place.change}`, place]));
  const excused = [...distinct.values()].filter(provesNothing).length;
  expect(distinct.size).toBeGreaterThan(600);
  expect(excused / distinct.size).toBeLessThan(0.5);
});

test('whatever is changed in a history is found, and never ends the audit', async () => {
  const change = fc.record({ which: fc.nat(), kind: fc.nat(), where: fc.nat(), how: fc.nat() });
  const property = fc.asyncProperty(change, async ({ which, kind, where, how }) => {
    const { id, deposit, text, places } = histories[which % histories.length]!;
    // Kinds first: there are many more letters than times.
    const kinds = [...new Set(places.map((place) => place.change))];
    const among = places.filter((place) => place.change === kinds[kind % kinds.length]);
    const place = among[where % among.length]!;
    const history = JSON.parse(text) as object;
    place.apply(history, how);
    await rewriteHistory(db, id, () => JSON.stringify(history));
    try {
      const found = findingsOf(await book.audit(url, '--deposit', deposit, ...ALONE));
      expect(found.length > 0 || provesNothing(place), `${id}: ${place.path}, ${place.change}`).toBe(true);
    } finally {
      await rewriteHistory(db, id, () => text);
    }
  });
  await fc.assert(property, { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) });
  expect(findingsOf(await book.audit(url))).toEqual([]);
});

/** Forges one deposit completely: its wallet, in every place, with both chains. */
const { credited, decided, rejected, price } = book.deposits;
const stolen = async (copy: pg.Client) => {
  await rewriteHistory(copy, `deposit:${credited}`, (text) => changePayload(text, 'wallet-credited', 'wallet-evil'));
  await copy.query(`update engine.deposit set wallet = 'wallet-evil' where external_order_number = '${credited}';
    update engine.event set wallet = 'wallet-evil' where subject = '${credited}';
    update ledger.account set code = 'wallet:wallet-evil' where code = 'wallet:wallet-credited';
    update ledger.transaction set credit_code = 'wallet:wallet-evil' where credit_code = 'wallet:wallet-credited';
    -- And the hash of what its merchant was sent, who has the text.
    update engine.delivery_attempt t set body_hash = sha256(convert_to(b.body::text, 'UTF8')) from engine.event e, engine.event_body b
     where b.id = e.id and e.subject = t.subject and e.sequence = t.sequence and e.subject = '${credited}'`);
  await sealAnew(copy);
};

test('a theft that was written through the archive, the books and both chains is found while Temporal has its history', async () => {
  const copy = await book.tampered(stolen);
  expect(findingsOf(await book.audit(copy, ...ALONE))).toEqual([]);
  const report = await book.audit(copy);
  const n = histories.findIndex(({ id }) => id === `deposit:${credited}`) + 1;
  expect(findingsOf(report)).toEqual([
    {
      kind: 'history_differs',
      where: `archive row ${n}`,
      detail: expect.stringMatching(/: event 1, EVENT_TYPE_\w+ 1 of \S+, holds something else in Temporal$/) as string,
    },
  ]);
  expect(JSON.stringify(report)).not.toContain('wallet-credited');
  expect(report.audit.temporal).toEqual({ of: 8, asked: 8, compared: 8, chosenBy: null });
  // Three of them: the newest, the largest credit, and others by a seed.
  const { audit, notes } = await book.audit(copy, '--temporal', '3');
  expect(audit.temporal).toEqual({ of: 8, asked: 3, compared: 3, chosenBy: expect.stringMatching(/^\d+$/) as string });
  expect(notes.filter((note) => note.startsWith('3 of 8 archived histories were also compared'))).toHaveLength(1);
});

test('a history that names another run, one without its row, and one that Temporal has lost', async () => {
  const run = '5f0c1f6e-0000-4000-8000-000000000000';
  const { client } = book.engine;
  await client.workflowService.deleteWorkflowExecution({
    namespace: client.options.namespace,
    workflowExecution: { workflowId: `deposit:${price}` },
  });
  const gone = client.workflow.getHandle(`deposit:${price}`);
  await until('Temporal to have lost it', () => gone.fetchHistory().then(() => false, isGone));
  const copy = await book.tampered(async (client) => {
    const of = await client.query<{ run: string }>(
      `update engine.archive a set run_id = $2 from engine.archive b where a.n = b.n and a.workflow_id = $1 returning b.run_id as run`,
      [`deposit:${decided}`, run],
    );
    await rewriteHistory(client, `deposit:${decided}`, (text) => text.replaceAll(of.rows[0]!.run, run));
    // Dated long before another, and after those that Temporal still has.
    await client.query(`delete from engine.archive where workflow_id = 'deposit:${rejected}'; delete from engine.deposit where external_order_number = '${rejected}';
      update engine.archive set closed_at = closed_at + interval '1 day' where workflow_id = 'deposit:${credited}';
      update engine.archive set closed_at = closed_at + interval '2 hours' where workflow_id = 'deposit:${price}'`);
  });
  const report = await book.audit(copy);
  expect(findingsOf(report)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        kind: 'history_differs',
        detail: expect.stringMatching(`^deposit:${decided}: names run ${run}; Temporal has run `) as string,
      }),
      expect.objectContaining({ kind: 'history_unexplained', where: `deposit:${rejected}` }),
    ]),
  );
  expect(report.audit.temporal).toMatchObject({ of: 7, asked: 7, compared: 5 });
  // Temporal has others that ended two hours before it: the archive row shows that it is missing.
  const n = histories.findIndex(({ id }) => id === `deposit:${price}`) + 1;
  expect(report.notes.filter((note) => note.startsWith('Temporal does not have'))).toEqual([
    expect.stringMatching(
      `^Temporal does not have 1 of these, and has some that ended before them: archive rows ${n}\\. `,
    ) as string,
  ]);
});
