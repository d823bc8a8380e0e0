import { randomInt } from 'node:crypto';
import { type Client, ServiceError } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type { History } from '@temporalio/common/lib/proto-utils.js';
import type pg from 'pg';
import { canonicalHistory, parseHistory } from '../../archive/canonical-history.ts';
import { type ArchiveRow, archiveRows } from '../../archive/chain.ts';
import { type HistoryFacts, openHistory, readHistory } from '../../archive/history.ts';
import { ArchiveDamaged, ArchiveMissing, type ArchiveObjects } from '../../archive/objects.ts';
import { isGone } from '../../archive/history-source.ts';
import { inLanes } from '../../telemetry/lanes.ts';
import type { ReportBuilder } from '../report/builder.ts';
import { canonical } from '../histories/comparing.ts';
import { describeWorkflow } from './second-look.ts';
import type { ComparedWithTemporal } from '../report/report.ts';
import { choose, cut } from '../audit-arguments.ts';

/**
 * Compares archived histories with Temporal's own. Somebody with all rights in the database can rewrite a history, its
 * rows and both chains; Temporal keeps the original until its retention ends.
 */
export interface CopiesDependencies {
  readonly client: Client;
  readonly db: pg.ClientBase;
  readonly objects: ArchiveObjects;
  readonly dataConverter: DataConverter;
  readonly builder: ReportBuilder;
  readonly tell: (line: string) => void;
}

/** Concurrent requests that Temporal serves without getting slower. */
const LANES = 8;
const PART = 500;
/** The part of a limited budget for the newest rows, and the same for the largest credits: one tenth. */
const TENTH = 10;

/**
 * `rows`: numbers of the archive's rows; `listed`: those that Temporal lists, null: the list was not read; `budget`:
 * how many to compare, null: all.
 */
export async function compareCopies(
  deps: CopiesDependencies,
  rows: readonly number[],
  listed: readonly number[] | null,
  budget: number | null,
): Promise<ComparedWithTemporal> {
  const seed = randomInt(1, 2 ** 31);
  const asked = budget === null ? rows : await pick(deps.db, rows, listed, budget, seed);
  const isDrawn = asked.length < rows.length && asked.length > 0;
  let [compared, missing] = [0, 0];
  let oldestUs: bigint | null = null;
  const gone: Pick<ArchiveRow, 'n' | 'closedAtUs'>[] = [];
  // A connection runs one statement at a time.
  const inTurn = takeTurns();
  for (const part of cut(asked, PART)) {
    const waiting = await archiveRows(deps.db, part);
    missing += part.length - waiting.length;
    await inLanes(waiting, LANES, async (row) => {
      const { n, closedAtUs } = row;
      if (await compareCopy(deps, row, inTurn)) {
        compared += 1;
        if (oldestUs === null || closedAtUs < oldestUs) oldestUs = closedAtUs;
      } else gone.push({ n, closedAtUs });
    });
    if (asked.length > PART) deps.tell(`compared with Temporal up to archive row ${part.at(-1)}`);
  }
  if (oldestUs !== null) noteTakenAway(deps.builder, gone, oldestUs);
  const [of, found] = [rows.length - missing, asked.length - missing];
  return { of, asked: found, compared, chosenBy: isDrawn ? String(seed) : null };
}

/** Temporal deletes a run after its end plus the retention, give or take half an hour, the oldest first. */
const LETS_GO_WITHIN_US = 3_600_000_000n;
const NAMED = 50;

/** Notes runs that Temporal lacks although it has older ones: somebody deleted them, or shortened the retention. */
function noteTakenAway(
  builder: ReportBuilder,
  gone: readonly Pick<ArchiveRow, 'n' | 'closedAtUs'>[],
  oldestUs: bigint,
): void {
  const taken = gone.filter(({ closedAtUs }) => closedAtUs > oldestUs + LETS_GO_WITHIN_US).map(({ n }) => n);
  if (taken.length === 0) return;
  const more = taken.length > NAMED ? `, and ${taken.length - NAMED} more` : '';
  const names = taken.toSorted((a, b) => a - b).slice(0, NAMED);
  builder.note(
    `Temporal does not have ${taken.length} of these, and has some that ended before them: archive rows ${names.join(', ')}${more}. Its retention was made shorter since, or somebody took them away.`,
  );
}

/** Temporal has no run that it does not list, unless its list lags: this many unlisted runs are asked for. */
const UNLISTED = 500;

/** Selects from the listed rows the newest, the largest credits, and others by an unpredictable seed. */
async function pick(
  db: pg.ClientBase,
  rows: readonly number[],
  listed: readonly number[] | null,
  budget: number,
  seed: number,
): Promise<readonly number[]> {
  if (budget === 0) return [];
  const isListed = listed === null ? null : new Set(listed);
  const there = isListed === null ? rows : rows.filter((n) => isListed.has(n));
  const some = Math.ceil(budget / TENTH);
  const picked = new Set(there.length <= budget ? there : (await dearest(db, there, some)).slice(0, budget));
  const draw = (from: readonly number[], many: number) => {
    for (const n of choose(from, many, seed)) picked.add(n);
  };
  if (picked.size < there.length)
    draw(
      there.filter((n) => !picked.has(n)),
      budget - picked.size,
    );
  if (isListed !== null)
    draw(
      rows.filter((n) => !isListed.has(n)),
      UNLISTED,
    );
  return [...picked].toSorted((a, b) => a - b);
}

/** The `many` newest rows and the `many` largest credits. */
async function dearest(db: pg.ClientBase, rows: readonly number[], many: number): Promise<readonly number[]> {
  const inScope = new Set(rows);
  const { rows: largest } = await db.query<{ n: string }>(
    `select a.n from ledger.transaction t join engine.archive a on a.workflow_id = t.workflow_id
      where t.amount > 0 and t.credit_code like 'wallet:%' order by t.amount desc, t.id desc limit $1`,
    [many],
  );
  return [...rows.slice(-many), ...largest.map(({ n }) => Number(n)).filter((n) => inScope.has(n))];
}

type Turns = <T>(work: () => Promise<T>) => Promise<T>;

function takeTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return async <T>(work: () => Promise<T>) => {
    const next = last.then(work);
    last = next.catch(() => undefined);
    return next;
  };
}

/** Compares one run; returns whether Temporal still has it. */
async function compareCopy(deps: CopiesDependencies, row: ArchiveRow, inTurn: Turns): Promise<boolean> {
  const { client, builder } = deps;
  const tell = (detail: string) =>
    builder.find({
      kind: 'history_differs',
      where: `archive row ${row.n}`,
      detail: `${row.workflowId}: ${detail}`,
    });
  const told = await orNone(() => client.workflow.getHandle(row.workflowId, row.runId).fetchHistory());
  if (told === null) {
    const runId = await inTurn(() => unarchivedRun(deps, row));
    if (runId !== null) tell(`names run ${row.runId}; Temporal has run ${runId}, which the archive does not have`);
    return false;
  }
  if (canonicalHistory(told).hash.equals(row.historyHash)) return true;
  const difference = await inTurn(() => differenceOf(deps, row, told));
  if (difference !== null) tell(difference);
  return true;
}

/** The newest run that Temporal has of the workflow, unless the archive has it, too. */
async function unarchivedRun({ client, db }: CopiesDependencies, { workflowId }: ArchiveRow): Promise<string | null> {
  const newest = await orNone(() => describeWorkflow(client, workflowId));
  if (newest === null) return null;
  const { rowCount } = await db.query('select from engine.archive where run_id = $1', [newest.runId]);
  return rowCount === 0 ? newest.runId : null;
}

/** gRPC code for an invalid name. */
const INVALID_ARGUMENT = 3;

/** Null: Temporal has none, or the archive's row has an invalid workflow or run id. */
async function orNone<T>(ask: () => Promise<T | null>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    const code = (error instanceof ServiceError ? cause : error) as { readonly code?: unknown } | undefined;
    if (isGone(error) || code?.code === INVALID_ARGUMENT) return null;
    throw error;
  }
}

/** The first difference of the archived text; null: the contents are equal, whatever their encoding. */
async function differenceOf(
  { objects, dataConverter }: CopiesDependencies,
  row: ArchiveRow,
  told: History,
): Promise<string | null> {
  let kept: History;
  let own: EventLine[];
  try {
    kept = parseHistory(await objects.get(row.historyHash));
    own = eventsOf(kept);
  } catch (error) {
    // A missing or damaged text is reported by the check of the archive.
    if (error instanceof ArchiveDamaged || error instanceof ArchiveMissing) return null;
    return 'is no history, and Temporal has one';
  }
  const theirs = eventsOf(told);
  for (let i = 0; i < Math.max(own.length, theirs.length); i += 1) {
    const [says, was] = [own[i], theirs[i]];
    if (says === undefined || was === undefined) return `has ${own.length} events, in Temporal it has ${theirs.length}`;
    if (says.what !== was.what) return `event ${i + 1} is ${says.what}, in Temporal it is ${was.what}`;
    if (says.payloads !== was.payloads) return `event ${i + 1}, ${was.what}, holds something else in Temporal`;
  }
  const codecs = dataConverter.payloadCodecs ?? [];
  const facts = async (history: History) => readHistory(await openHistory(history, codecs));
  try {
    return firstDifference(await facts(kept), await facts(told));
  } catch {
    // Neither can be decoded because a key is missing, which is reported where the row is audited.
    return null;
  }
}

interface EventLine {
  /** Number, type and time. */
  readonly what: string;
  /** Every payload as stored, in the order of the fields. */
  readonly payloads: string;
}

function eventsOf(history: History): EventLine[] {
  const { events } = JSON.parse(canonicalHistory(history).text) as { events?: Record<string, unknown>[] };
  return (events ?? []).map((event) => {
    const payloads: unknown[] = [];
    collect(event, payloads);
    const [id, type, at] = [event['eventId'], event['eventType'], event['eventTime']].map(String);
    return { what: `${type} ${id} of ${at}`, payloads: JSON.stringify(payloads) };
  });
}

function collect(value: unknown, payloads: unknown[]): void {
  if (typeof value !== 'object' || value === null) return;
  const { metadata, data } = value as { metadata?: { encoding?: unknown }; data?: unknown };
  if (metadata?.encoding !== undefined) payloads.push([metadata.encoding, data ?? null]);
  else for (const item of Object.values(value)) collect(item, payloads);
}

/** The first difference in the facts that the audit uses. */
function firstDifference({ steps: kept, ...own }: HistoryFacts, { steps: told, ...theirs }: HistoryFacts) {
  for (const [name, value] of Object.entries(theirs))
    if (canonical(value) !== canonical(own[name as keyof typeof own])) return `${name} is not what it is in Temporal`;
  const at = told.findIndex((step, i) => canonical(step) !== canonical(kept[i]));
  return at < 0 ? null : `event ${told[at]!.eventId} says something else in Temporal`;
}

/** The comparison as a sentence for the report. */
export function sayCompared({ of, asked, compared, chosenBy }: ComparedWithTemporal): string {
  const left = asked - compared;
  return [
    `${compared} of ${of} archived histories were also compared with those that Temporal still has`,
    ...(left === 0 ? [] : [`${left} it does not have any more`]),
    ...(asked === of ? [] : [`${of - asked} were not asked for`]),
    ...(chosenBy === null ? [] : ['chosen were the newest, the largest credits, and others by the seed in the report']),
  ].join('; ');
}
