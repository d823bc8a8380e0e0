import { setTimeout as wait } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import { type HistoryFacts, isReplayable, openHistory, readHistory } from '../../archive/history.ts';
import { isGone } from '../../archive/history-source.ts';
import type { DatabaseConfig } from '../../config/settings/read-environment.ts';
import { compareAll, replayFault, type WorkDependencies } from './archived-work.ts';
import { type Mismatch, subjectOf } from '../histories/compare.ts';
import { describeWorkflow, type WorkflowStatus, mayFollow, type Patience } from './second-look.ts';
import {
  callbacksWaiting,
  type OpenWorkflow,
  unarchivedAmong,
  unarchivedRows,
  withoutHistory,
} from '../tables/population.ts';
import type { Finding } from '../report/report.ts';
import { inSession } from '../tables/session.ts';
import { findWithoutRow } from './visibility.ts';
import { depositWorkflowId } from '../../domain/ids.ts';

export interface OpenDependencies extends WorkDependencies {
  readonly client: Client;
  readonly database: DatabaseConfig;
  readonly patience: Patience;
}

/** The result of comparing workflows that are not in the archive. */
export interface OpenAudit {
  /** Ids of the deposits and cases that were compared. */
  readonly compared: string[];
  /** Ids of items whose missing part is about to be written. */
  readonly onTheirWay: string[];
  /** Ids of workflows that closed recently and were compared, but are not in the archive yet. */
  readonly notArchivedYet: string[];
}

/**
 * Audits deposits and cases that are not in the archive, by Temporal's present histories. The session's snapshot is
 * older than the histories, so a mismatch is read again, with present rows.
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

/** Returns whether row and history agree, and records it. */
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
    builder.find({ kind: 'history_missing', where: row.id, detail });
  }
  return true;
}

/** Compares with fresh rows and fresh histories. Returns the rows to read once more. */
async function lookAgain(
  deps: OpenDependencies,
  so: OpenAudit,
  before: readonly OpenWorkflow[],
  isLast: boolean,
): Promise<OpenWorkflow[]> {
  // First Temporal's pending work, then the rows, then the history: a history that has not grown meanwhile belongs to
  // the rows.
  const doing = await Promise.all(before.map(({ id }) => describeWorkflow(deps.client, id)));
  const looked = await inSession(deps.database, async (db) =>
    look({ ...deps, db }, await unarchivedAmong(db, before), false),
  );
  return looked.flatMap((one) => {
    const now = doing[before.findIndex(({ id }) => id === one.row.id)] ?? null;
    if (settle(deps, so, one)) return [];
    return conclude(deps, so, one, now, isLast) ? [] : [one.row];
  });
}

/** The history grew between two reads: the same as if every activity and the task were pending. */
const MOVING: WorkflowStatus = {
  runId: '',
  events: 0,
  runs: true,
  activities: ['credit', 'recordReview', 'park', 'decide'],
  task: true,
};

/** Reports mismatches, or excuses them by name. False: the row is to be read once more. */
function conclude(
  deps: OpenDependencies,
  so: OpenAudit,
  one: Looked,
  doing: WorkflowStatus | null,
  isLast: boolean,
): boolean {
  const { row, facts, mismatches } = one;
  const { youngMs } = deps.patience;
  if (!isLast) return false;
  if (facts === null) {
    if (row.ageMs <= youngMs) so.onTheirWay.push(row.id);
    else deps.builder.findAll(withoutHistory(row));
    return true;
  }
  // The history has grown since the rows were read, so they are from two moments.
  const isMoving = doing === null || doing.events !== one.events;
  so.compared.push(subjectOf(facts));
  const ageOf = ({ posting }: Mismatch) => (posting === null ? 0 : Date.now() - Date.parse(posting.postedAt));
  const open = mismatches.filter(
    (mismatch) => !mayFollow(mismatch, isMoving ? MOVING : doing, ageOf(mismatch), youngMs),
  );
  if (open.length < mismatches.length) so.onTheirWay.push(row.id);
  deps.builder.findAll(open.map(({ finding }) => finding));
  return true;
}

/** Compares rows with their histories. `counted`: for the first time, so they count in the report. */
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
      // The key is missing, or it is no history of ours.
      const { message: detail } = error as Error;
      if (counted) deps.builder.find({ kind: 'not_readable', where: row.id, detail });
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

/** The finding about an open row whose workflow has ended. */
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

/**
 * Audits acknowledged callbacks without an outcome, with repeated reads. Returns those that a pending workflow is about
 * to take.
 */
export async function auditWaiting(deps: OpenDependencies): Promise<string[]> {
  let waiting = await callbacksWaiting(deps.db);
  for (let looks = deps.patience.looks; waiting.length > 0 && looks > 0; looks -= 1) {
    await wait(deps.patience.everyMs);
    const ids = waiting.map(({ id }) => id);
    waiting = await inSession(deps.database, (db) => callbacksWaiting(db, ids));
  }
  const onTheirWay: string[] = [];
  for (const { deposit, ageMs, finding } of waiting) {
    const doing = deposit === null ? null : await describeWorkflow(deps.client, depositWorkflowId(deposit));
    const isTaken = doing !== null && (doing.task || doing.activities.length > 0);
    if (isTaken || ageMs <= deps.patience.youngMs) onTheirWay.push(finding.where);
    else deps.builder.find(finding);
  }
  return onTheirWay;
}

/** Audits workflows without a row, in a new session. Returns the rows of the archive that Temporal lists. */
export async function auditUnknown(deps: OpenDependencies): Promise<readonly number[]> {
  const { findings, archived } = await inSession(deps.database, (db) => findWithoutRow(deps.client, db));
  deps.builder.findAll(findings);
  return archived;
}
