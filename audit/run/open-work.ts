import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { type HistoryFacts, isReplayable, openHistory, readHistory } from '../../archive/history.ts';
import { isGone } from '../../archive/history-source.ts';
import type { DatabaseConfig } from '../../config/settings/read-environment.ts';
import { compareAll, replayFault, type WorkDependencies } from './archived-work.ts';
import { type Mismatch, subjectOf } from '../histories/compare.ts';
import { describeWorkflow, type WorkflowStatus, mayFollow, type Patience } from './patience.ts';
import {
  callbacksWaiting,
  type OpenWorkflow,
  unarchivedAmong,
  unarchivedRows,
  withoutHistory,
} from '../tables/population.ts';
import type { Finding } from '../report/report.ts';
import { openSession } from '../tables/session.ts';
import { findWithoutRow } from './visibility.ts';
import { FINDINGS } from '../report/findings.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

export interface OpenDependencies extends WorkDependencies {
  readonly client: Client;
  readonly database: DatabaseConfig;
  readonly patience: Patience;
}

/** What came of looking at what is not in the archive. */
export interface OpenAudit {
  /** Ids of the deposits and cases that were compared. */
  readonly compared: string[];
  /** What is about to be written, by name. */
  readonly onTheirWay: string[];
  /** Closed a moment ago, compared, and not in the archive yet. */
  readonly notArchivedYet: string[];
}

/**
 * Deposits and cases that are not in the archive: by their histories as Temporal holds them now. The session's moment is
 * older than the histories, so what does not fit is looked at again, with rows of now.
 */
export async function auditOpen(deps: OpenDependencies, deposit: string | null): Promise<OpenAudit> {
  const so: OpenAudit = { compared: [], onTheirWay: [], notArchivedYet: [] };
  const again: OpenWorkflow[] = [];
  for await (const rows of unarchivedRows(deps.db, deposit)) {
    const looked = await look(deps, rows, true);
    again.push(...looked.filter((one) => !settle(deps, so, one)).map(({ row }) => row));
  }
  for (let looks = deps.patience.looks; again.length > 0 && looks > 0; looks -= 1) {
    await wait(deps.patience.everyMs);
    const rows = again.splice(0);
    for (let i = 0; i < rows.length; i += AT_ONCE)
      again.push(...(await lookAgain(deps, so, rows.slice(i, i + AT_ONCE), looks === 1)));
  }
  return so;
}

const AT_ONCE = 25;

/** One row beside its history. `history` null: Temporal has none. */
interface Looked {
  readonly row: OpenWorkflow;
  readonly facts: HistoryFacts | null;
  readonly events: number;
  readonly isGone: boolean;
  readonly mismatches: readonly Mismatch[];
}

/** Whether it fits, and that is noted. */
function settle(
  { builder, patience }: OpenDependencies,
  so: OpenAudit,
  { row, facts, isGone: gone, mismatches }: Looked,
) {
  if (gone || mismatches.length > 0) return false;
  if (facts === null) return true;
  so.compared.push(subjectOf(facts));
  if (facts.end === null || row.closedAt === null) return true;
  const ageMs = Date.now() - Date.parse(facts.end.at);
  if (ageMs <= patience.archivedWithinMs) so.notArchivedYet.push(row.id);
  else {
    const detail = `closed ${facts.end.at}, and not in the archive`;
    builder.find(FINDINGS.history_missing.check, { kind: 'history_missing', where: row.id, detail });
  }
  return true;
}

/** Fresh rows and fresh histories. Returns what is to be looked at once more. */
async function lookAgain(
  deps: OpenDependencies,
  so: OpenAudit,
  before: readonly OpenWorkflow[],
  isLast: boolean,
): Promise<OpenWorkflow[]> {
  // First what Temporal is doing, then the rows, then the history: one that has not grown meanwhile is that of the rows.
  const doing = await Promise.all(before.map(({ id }) => describeWorkflow(deps.client, id)));
  const db = await openSession(deps.database, null);
  try {
    const looked = await look({ ...deps, db }, await unarchivedAmong(db, before), false);
    return looked.flatMap((one) => {
      const now = doing[before.findIndex(({ id }) => id === one.row.id)] ?? null;
      if (settle(deps, so, one)) return [];
      return conclude(deps, so, one, now, isLast) ? [] : [one.row];
    });
  } finally {
    await db.end();
  }
}

/** Between two looks it did something: as if it were doing all of it. */
const MOVING: WorkflowStatus = {
  runId: '',
  events: 0,
  runs: true,
  activities: ['credit', 'recordReview', 'park', 'decide'],
  task: true,
};

/** What does not fit: told, or excused by name. False: it is to be looked at once more. */
function conclude(
  deps: OpenDependencies,
  so: OpenAudit,
  one: Looked,
  doing: WorkflowStatus | null,
  isLast: boolean,
): boolean {
  const { row, facts, mismatches } = one;
  const { youngMs } = deps.patience;
  const tell = (findings: readonly Finding[]) => {
    for (const finding of findings) deps.builder.find(FINDINGS[finding.kind].check, finding);
  };
  if (!isLast) return false;
  if (facts === null) {
    if (row.ageMs <= youngMs) so.onTheirWay.push(row.id);
    else tell(withoutHistory(row));
    return true;
  }
  // Its history has grown since the rows were read: they are of two moments.
  const isMoving = doing === null || doing.events !== one.events;
  so.compared.push(subjectOf(facts));
  const ageOf = ({ posting }: Mismatch) => (posting === null ? 0 : Date.now() - Date.parse(posting.postedAt));
  const open = mismatches.filter(
    (mismatch) => !mayFollow(mismatch, isMoving ? MOVING : doing, ageOf(mismatch), youngMs),
  );
  if (open.length < mismatches.length) so.onTheirWay.push(row.id);
  tell(open.map(({ finding }) => finding));
  return true;
}

/** Rows beside their histories. `counted`: for the first time. */
async function look(deps: OpenDependencies, rows: readonly OpenWorkflow[], counted: boolean): Promise<Looked[]> {
  const { replayer } = await deps.replayerFor(null);
  const codecs = deps.dataConverter.payloadCodecs ?? [];
  const histories = await Promise.all(rows.map(({ id }) => fetchOpen(deps.client, id)));
  const looked: Looked[] = [];
  for (const [i, row] of rows.entries()) {
    const history = histories[i] ?? null;
    if (history === null) {
      looked.push({ row, facts: null, events: 0, isGone: withoutHistory(row).length > 0, mismatches: [] });
      continue;
    }
    const events = history.events?.length ?? 0;
    let facts: HistoryFacts;
    try {
      facts = readHistory(await openHistory(history, codecs));
    } catch (error) {
      // Encrypted with a key that is not here, or no history of ours.
      const { message: detail } = error as Error;
      if (counted) deps.builder.find(FINDINGS.not_readable.check, { kind: 'not_readable', where: row.id, detail });
      looked.push({ row, facts: null, events: 0, isGone: false, mismatches: [] });
      continue;
    }
    const fault = await replayFault(deps, replayer, facts, history);
    if (counted) deps.builder.count('histories');
    if (counted && isReplayable(facts)) deps.builder.checked('replay');
    const own = [...fault, ...endedThoughOpen(row, facts)];
    looked.push({ row, facts, events, isGone: false, mismatches: own.map((finding) => ({ finding, posting: null })) });
  }
  const read = looked.flatMap(({ facts }) => (facts === null ? [] : [facts]));
  if (counted) deps.builder.checked('books', read.length);
  const compared = await compareAll(deps, read);
  return looked.map((one) =>
    one.facts === null ? one : { ...one, mismatches: [...one.mismatches, ...compared[read.indexOf(one.facts)]!] },
  );
}

/** A row that says it is open, whose workflow has ended. */
export function endedThoughOpen({ id, closedAt }: OpenWorkflow, { end }: HistoryFacts): Finding[] {
  if (closedAt !== null || end === null) return [];
  const detail = `its row is open, its workflow has ended as ${end.status} ${end.at}`;
  return [{ kind: 'deposit_row_differs', where: id, detail }];
}

/** Null: Temporal has no such workflow. */
export async function fetchOpen(client: Client, workflowId: string): Promise<History | null> {
  try {
    return await client.workflow.getHandle(workflowId).fetchHistory();
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** Acknowledged callbacks without an outcome, looked at again; what somebody is about to take is excused by name. */
export async function auditWaiting(deps: OpenDependencies): Promise<string[]> {
  let waiting = await callbacksWaiting(deps.db);
  for (let looks = deps.patience.looks; waiting.length > 0 && looks > 0; looks -= 1) {
    await wait(deps.patience.everyMs);
    const db = await openSession(deps.database, null);
    try {
      const ids = waiting.map(({ id }) => id);
      waiting = await callbacksWaiting(db, ids);
    } finally {
      await db.end();
    }
  }
  const onTheirWay: string[] = [];
  for (const { deposit, ageMs, finding } of waiting) {
    const doing = deposit === null ? null : await describeWorkflow(deps.client, depositWorkflowId(deposit));
    const isTaken = doing !== null && (doing.task || doing.activities.length > 0);
    if (isTaken || ageMs <= deps.patience.youngMs) onTheirWay.push(finding.where);
    else deps.builder.find(FINDINGS[finding.kind].check, finding);
  }
  return onTheirWay;
}

/** Workflows without a row, in a session of now. Answers which rows of the archive Temporal lists. */
export async function auditUnknown(deps: OpenDependencies): Promise<readonly number[]> {
  const db = await openSession(deps.database, null);
  try {
    const { findings, archived } = await findWithoutRow(deps.client, db);
    for (const finding of findings) deps.builder.find(FINDINGS[finding.kind].check, finding);
    return archived;
  } finally {
    await db.end();
  }
}
