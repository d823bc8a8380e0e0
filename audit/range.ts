import type { DataConverter } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import type pg from 'pg';
import { parseHistory } from '../archive/canonical.ts';
import { archivedRuns, type ArchiveRow, readArchive } from '../archive/chain.ts';
import { type HistoryFacts, openHistory, readHistory } from '../archive/history.ts';
import { ArchiveDamaged, ArchiveMissing, type ArchiveObjects } from '../archive/objects.ts';
import { closedRun } from '../archive/run.ts';
import type { DepositInput, ReviewInput } from '../workflows/messages.ts';
import type { ReportBuilder } from './builder.ts';
import { compare, explainedBy, paymentOf } from './compare.ts';
import { CHECK_OF } from './kinds.ts';
import { replay } from './replay.ts';
import type { Finding } from './report.ts';
import { readRecords, type Records } from './rows.ts';

export interface RangeDependencies {
  readonly db: pg.ClientBase;
  readonly objects: ArchiveObjects;
  /** The workflow code of today, and the kept code that decided where a recorded exception says so. */
  readonly codeFor: (
    bundleHash: string | null,
  ) => Promise<{ readonly code: string; readonly replayedOn: 'today' | 'itself' }>;
  readonly dataConverter: DataConverter;
  readonly builder: ReportBuilder;
}

/** What one archived run comes to, before its tables are looked at. */
interface Opened {
  readonly row: ArchiveRow;
  readonly history: History;
  readonly facts: HistoryFacts;
}

/** Histories held in memory at once; a batch of tables is read for each. */
const BATCH = 50;

/** Replays and compares the archived runs `from` to `to`, both included. Memory does not grow with their number. */
export async function auditRange(deps: RangeDependencies, from: number, to: number): Promise<void> {
  for (let after = from - 1; after < to; ) {
    const rows = await readArchive(deps.db, after, Math.min(BATCH, to - after));
    if (rows.length === 0) return;
    const opened: Opened[] = [];
    for (const row of rows) {
      deps.builder.checked('archive');
      const one = await open(deps, row);
      if (one !== null) opened.push(one);
    }
    await replayAll(deps, opened);
    await auditFacts(
      deps,
      opened.map(({ facts }) => facts),
    );
    after = rows.at(-1)!.n;
  }
}

const tell = ({ builder }: RangeDependencies, findings: readonly Finding[]) => {
  for (const finding of findings) builder.find(CHECK_OF[finding.kind], finding);
};

/** Null: there is nothing to replay, which was told. */
async function open(deps: RangeDependencies, row: ArchiveRow): Promise<Opened | null> {
  const where = `archive row ${row.n}`;
  let text: string;
  try {
    text = await deps.objects.get(row.historyHash);
  } catch (error) {
    if (!(error instanceof ArchiveDamaged || error instanceof ArchiveMissing)) throw error;
    tell(deps, [{ kind: 'history_damaged', where, detail: `${row.workflowId}: ${error.message}` }]);
    return null;
  }
  const history = parseHistory(text);
  tell(deps, contradictions(row, history));
  const facts = readHistory(await openHistory(history, deps.dataConverter.payloadCodecs ?? []));
  return { row, history, facts };
}

/** The row says what its history says. */
function contradictions(row: ArchiveRow, history: History): Finding[] {
  const run = closedRun(history);
  const started = history.events?.[0]?.workflowExecutionStartedEventAttributes;
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['workflow', row.workflowId, started?.workflowId],
    ['run', row.runId, started?.originalExecutionRunId],
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

/** By the code each is to be replayed on; one run of the replayer for all of a batch. */
async function replayAll(deps: RangeDependencies, opened: readonly Opened[]): Promise<void> {
  const groups = new Map<string, { readonly replayedOn: 'today' | 'itself'; readonly members: Opened[] }>();
  for (const one of opened) {
    const bundleHash = one.row.bundleHash?.toString('hex') ?? null;
    const { code, replayedOn } = await deps.codeFor(bundleHash);
    const group = groups.get(code) ?? { replayedOn, members: [] };
    group.members.push(one);
    groups.set(code, group);
    if (bundleHash !== null) {
      deps.builder.bundle({
        hash: bundleHash,
        sdk: one.row.sdk,
        version: one.row.version,
        replayedOn,
        kept: true,
      });
    }
  }
  for (const [code, { members }] of groups) {
    const histories = members.map(({ history, facts }) => ({ workflowId: facts.workflowId, history }));
    for await (const { workflowId, difference } of replay(code, asAsync(histories), deps.dataConverter)) {
      deps.builder.checked('replay');
      deps.builder.count('histories');
      if (difference !== null) tell(deps, [{ kind: 'replay_differs', where: workflowId, detail: difference }]);
    }
  }
}

async function* asAsync<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** What histories say against what the tables hold. */
export async function auditFacts(deps: RangeDependencies, all: readonly HistoryFacts[]): Promise<void> {
  const inputs = all.map((facts) => facts.input as Partial<DepositInput & ReviewInput> | null);
  const inboxIds = all.flatMap((facts, i) => {
    const named = inputs[i]?.inboxId ?? paymentOf(facts)?.inboxId;
    return named === undefined ? [] : [named];
  });
  const orderNumbers = inputs.flatMap((input) =>
    input?.externalOrderNumber === undefined ? [] : [input.externalOrderNumber],
  );
  const records = await readRecords(
    deps.db,
    all.map((facts) => facts.workflowId),
    orderNumbers,
    inboxIds,
  );
  for (const facts of all) {
    deps.builder.checked('books');
    tell(deps, compare(facts, records, await explainedByOtherRuns(deps, facts, records)));
  }
}

/** A workflow that was terminated by hand was followed by another run under its id: each has its own postings. */
async function explainedByOtherRuns(
  deps: RangeDependencies,
  facts: HistoryFacts,
  records: Records,
): Promise<ReadonlySet<string>> {
  const explained = new Set<string>();
  if ((records.postings.get(facts.workflowId) ?? []).length === 0) return explained;
  const others = (await archivedRuns(deps.db, facts.workflowId)).filter(({ runId }) => runId !== facts.runId);
  for (const other of others) {
    const history = parseHistory(await deps.objects.get(other.historyHash));
    const opened = readHistory(await openHistory(history, deps.dataConverter.payloadCodecs ?? []));
    for (const id of explainedBy(opened, records)) explained.add(id);
  }
  return explained;
}
