import type { DataConverter } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import type pg from 'pg';
import { isCanonical } from '../../archive/canonical-history.ts';
import { archivedRunsOf, type ArchiveRow, archiveRows } from '../../archive/chain.ts';
import { type HistoryFacts, HistoryUnreadable, isReplayable, openHistory, readText } from '../../archive/history.ts';
import { ArchiveDamaged, ArchiveMissing, type ArchiveObjects } from '../../archive/objects.ts';
import { closedRun } from '../../archive/closed-run.ts';
import { type DepositInput, type ReviewInput } from '../../workflows/messages.ts';
import type { ReportBuilder } from '../report/builder.ts';
import { explainDifference, stalledTask } from '../histories/difference.ts';
import { compareBooks, explainedBy, inboxIdsIn, type Mismatch, subjectOf } from '../histories/compare.ts';
import type { Replayer } from '../histories/replay.ts';
import type { Finding } from '../report/report.ts';
import { readRecords, type Records } from '../tables/rows.ts';
import { cut, type AuditPart } from '../audit-arguments.ts';
import { heldAgainWorkflowId } from '../../domain/ids.ts';

export interface WorkDependencies {
  readonly db: pg.ClientBase;
  readonly objects: ArchiveObjects;
  readonly replayerFor: (bundleHash: string | null) => Promise<ChosenReplayer>;
  readonly dataConverter: DataConverter;
  readonly builder: ReportBuilder;
}

/** A replayer on today's code or, where a recorded exception says so, on the archived code that decided. */
export interface ChosenReplayer {
  readonly replayer: Replayer;
  readonly replayedOn: 'today' | 'itself';
  /** Whether the bundle that decided is in the archive, undamaged. */
  readonly kept: boolean;
}

/** The archived data of one run. */
interface Kept {
  readonly row: ArchiveRow;
  /** The text of its history; null: it is damaged, which is a finding already. */
  readonly text: string | null;
  readonly on: ChosenReplayer;
}

/** Number of histories in memory at once; the tables are read once for them. */
const BATCH = 50;

/** Replays and compares the archived runs of one part. Memory does not grow with their number. */
export async function auditArchived(deps: WorkDependencies, part: AuditPart): Promise<void> {
  const batches = cut(part, BATCH);
  let kept = await read(deps, batches[0] ?? []);
  for (let i = 1; i <= batches.length; i += 1) {
    // The next batch is read meanwhile, because replaying needs no database.
    const [facts, next] = await Promise.all([replayAll(deps, kept), read(deps, batches[i] ?? [])]);
    await auditFacts(deps, facts);
    kept = next;
  }
}

async function read(deps: WorkDependencies, numbers: AuditPart): Promise<Kept[]> {
  const all: Kept[] = [];
  for (const row of await archiveRows(deps.db, numbers)) {
    deps.builder.checked('archive');
    const on = await deps.replayerFor(row.bundleHash?.toString('hex') ?? null);
    all.push({ row, on, text: await fetchText(deps, row) });
  }
  return all;
}

async function fetchText(deps: WorkDependencies, row: ArchiveRow): Promise<string | null> {
  try {
    return await deps.objects.get(row.historyHash);
  } catch (error) {
    if (!(error instanceof ArchiveDamaged || error instanceof ArchiveMissing)) throw error;
    const detail = `${row.workflowId}: ${error.message}`;
    deps.builder.find({ kind: 'history_damaged', where: `archive row ${row.n}`, detail });
    return null;
  }
}

async function replayAll(deps: WorkDependencies, all: readonly Kept[]): Promise<HistoryFacts[]> {
  const read: HistoryFacts[] = [];
  for (const { row, text, on } of all) {
    const opened = text === null ? null : await open(deps, row, text);
    if (opened === null) continue;
    if (row.bundleHash !== null) {
      const { sdk, version } = row;
      const { replayedOn, kept } = on;
      deps.builder.bundle({ hash: row.bundleHash.toString('hex'), sdk, version, replayedOn, kept });
    }
    await auditReplay(deps, on.replayer, opened.facts, opened.history);
    read.push(opened.facts);
  }
  return read;
}

/** Null: the text is undamaged but no history of ours, or its key is missing; that is a finding already. */
async function open(
  deps: WorkDependencies,
  row: ArchiveRow,
  text: string,
): Promise<{ readonly history: History; readonly facts: HistoryFacts } | null> {
  try {
    const read = await readText(text, deps.dataConverter.payloadCodecs ?? []);
    deps.builder.findAll(contradictions(row, read.history, read.facts));
    if (!isCanonical(text)) {
      const detail = `${row.workflowId}: its text is not in the form of the archive, and may say something else to another reader`;
      deps.builder.find({ kind: 'history_damaged', where: `archive row ${row.n}`, detail });
    }
    return read;
  } catch (error) {
    if (!(error instanceof HistoryUnreadable)) throw error;
    const detail = `${row.workflowId}: ${error.message}`;
    deps.builder.find({ kind: 'not_readable', where: `archive row ${row.n}`, detail });
    return null;
  }
}

/** Differences between the archive's row and its history. */
function contradictions(row: ArchiveRow, history: History, facts: HistoryFacts): Finding[] {
  const run = closedRun(history);
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['workflow', row.workflowId, facts.workflowId],
    ['run', row.runId, facts.runId],
    ['type', row.workflowType, run?.workflowType],
    ['status', row.status, run?.status],
    ['end', row.closedAtUs, run?.closedAtUs],
    ['events', row.events, run?.events],
    ['bundle', row.bundleHash?.toString('hex') ?? null, run?.bundleHash?.toString('hex') ?? null],
  ];
  return pairs.flatMap(([name, says, is]) =>
    says === is
      ? []
      : [
          {
            kind: 'archive_row_false',
            where: `archive row ${row.n}`,
            detail: `${name} is ${String(says)}, its history says ${String(is)}`,
          } as const,
        ],
  );
}

/** Replays a history and adds the finding, if the code decides otherwise. */
async function auditReplay(deps: WorkDependencies, replayer: Replayer, facts: HistoryFacts, history: History) {
  deps.builder.count('histories');
  const fault = await replayFault(deps, replayer, facts, history);
  if (isReplayable(facts)) deps.builder.checked('replay');
  deps.builder.findAll(fault);
}

/** The finding of a replay; empty when the code decides as recorded. */
export async function replayFault(
  { dataConverter }: Pick<WorkDependencies, 'dataConverter'>,
  replayer: Replayer,
  facts: HistoryFacts,
  history: History,
): Promise<Finding[]> {
  // The comparison reports its faults; the replayer might never return from it.
  if (!isReplayable(facts)) return [];
  const { workflowId } = facts;
  const error = await replayer.replay(workflowId, history);
  if (error === null) return [];
  const opened = await openHistory(history, dataConverter.payloadCodecs ?? []);
  const stalled = stalledTask(history);
  const detail = `${explainDifference(opened, error)}${stalled === null ? '' : `; ${stalled}`}`;
  return [{ kind: 'replay_differs', where: workflowId, detail }];
}

/** Compares histories with the tables. */
async function auditFacts(deps: WorkDependencies, all: readonly HistoryFacts[]): Promise<void> {
  deps.builder.checked('books', all.length);
  for (const mismatches of await compareAll(deps, all)) deps.builder.findAll(mismatches.map(({ finding }) => finding));
}

/** The differences of each history, in order. */
export async function compareAll(
  deps: Pick<WorkDependencies, 'db' | 'objects' | 'dataConverter'>,
  all: readonly HistoryFacts[],
): Promise<Mismatch[][]> {
  const records = await recordsOf(deps.db, all);
  const runs = await archivedRunsOf(
    deps.db,
    all.flatMap((facts) => (records.postings.has(subjectOf(facts)) ? holdersOf(records, subjectOf(facts)) : [])),
  );
  const compared: Mismatch[][] = [];
  for (const facts of all) {
    const holders = holdersOf(records, subjectOf(facts));
    const others = runs.filter(({ workflowId, runId }) => holders.includes(workflowId) && runId !== facts.runId);
    compared.push(compareBooks(facts, records, await explainedByOtherRuns(deps, others, records)));
  }
  return compared;
}

/** The rows that belong to these histories. */
export async function recordsOf(db: pg.ClientBase, all: readonly HistoryFacts[]): Promise<Records> {
  const inputs = all.map((facts) => facts.input as Partial<DepositInput & ReviewInput> | null);
  const orderNumbers = inputs.flatMap((input) =>
    input?.externalOrderNumber === undefined ? [] : [input.externalOrderNumber],
  );
  return readRecords(db, all.map(subjectOf), orderNumbers, all.flatMap(inboxIdsIn));
}

/** The workflows that have held a case, in order, at most 9999; a deposit has only its own. */
export function holdersOf({ cases }: Records, id: string): string[] {
  const heldBy = cases.get(id)?.heldBy ?? null;
  const times = Number(/:again:([1-9]\d{0,3})$/.exec(heldBy ?? '')?.[1] ?? 0);
  return [id, ...Array.from({ length: times }, (_, i) => heldAgainWorkflowId(id, i + 1))];
}

/** Postings of other runs under the same id, which exist after a workflow was terminated by hand. */
async function explainedByOtherRuns(
  deps: Pick<WorkDependencies, 'objects' | 'dataConverter'>,
  others: readonly ArchiveRow[],
  records: Records,
): Promise<ReadonlySet<string>> {
  const explained = new Set<string>();
  for (const row of others) {
    try {
      const text = await deps.objects.get(row.historyHash);
      const { facts } = await readText(text, deps.dataConverter.payloadCodecs ?? []);
      for (const id of explainedBy(facts, records)) explained.add(id);
    } catch {
      // An unreadable history explains nothing; it is reported where its row is audited.
    }
  }
  return explained;
}
