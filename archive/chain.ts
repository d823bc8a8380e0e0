import { createHash } from 'node:crypto';
import type { ClosedRun, RunStatus } from './closed-run.ts';
import type { Db } from '../database/pool.ts';
import { execute, statement } from '../database/statements.ts';

export interface NewArchiveRow extends ClosedRun {
  readonly workflowId: string;
  readonly runId: string;
  readonly historyHash: Buffer;
  /** Version of the engine that archived it. */
  readonly version: string;
}

/** A row of the chain, one for each archived run. */
export interface ArchiveRow extends NewArchiveRow {
  readonly n: number;
  readonly prev: Buffer;
  readonly hash: Buffer;
  /** Microseconds since 1970. */
  readonly archivedAtUs: bigint;
}

export interface ChainHead {
  readonly n: number;
  readonly hash: Buffer;
}

/** The head before the first row. */
export const EMPTY_CHAIN: ChainHead = { n: 0, hash: createHash('sha256').update('engine.archive').digest() };

const APPEND = statement(
  `select engine.append_archive($1, $2, $3, $4, timestamptz 'epoch' + $5::bigint * interval '1 microsecond', $6, $7, $8, $9, $10) as n`,
);

/**
 * Appends the row of a run and returns its number; idempotent. Appends of one transaction commit or roll back together.
 */
export async function appendArchive(db: Db, row: NewArchiveRow): Promise<number> {
  const { rows } = await execute<{ n: string }>(db, APPEND, [
    row.workflowId,
    row.runId,
    row.workflowType,
    row.status,
    row.closedAtUs.toString(),
    row.events,
    row.historyHash,
    row.bundleHash,
    row.sdk,
    row.version,
  ]);
  return Number(rows[0]!.n);
}

/** The last row; {@link EMPTY_CHAIN} when there is none. */
export async function archiveHead(db: Db): Promise<ChainHead> {
  const { rows } = await db.query<{ n: string; hash: Buffer }>(
    'select n, hash from engine.archive order by n desc limit 1',
  );
  return rows[0] === undefined ? EMPTY_CHAIN : { n: Number(rows[0].n), hash: rows[0].hash };
}

/** The existing rows with these numbers, in the order of the chain. */
export async function archiveRows(db: Db, numbers: readonly number[]): Promise<ArchiveRow[]> {
  const { rows } = await db.query<RawRow>(`${ROWS} where n = any($1::bigint[]) order by n`, [numbers]);
  return rows.map(toRow);
}

/** Every archived run of a workflow id, oldest first. */
export async function archivedRuns(db: Db, workflowId: string): Promise<ArchiveRow[]> {
  const { rows } = await db.query<RawRow>(`${ROWS} where workflow_id = $1 order by closed_at, n`, [workflowId]);
  return rows.map(toRow);
}

/** Every archived run of these workflow ids, in the order of the chain. */
export async function archivedRunsOf(db: Db, workflowIds: readonly string[]): Promise<ArchiveRow[]> {
  const { rows } = await db.query<RawRow>(`${ROWS} where workflow_id = any($1) order by n`, [workflowIds]);
  return rows.map(toRow);
}

interface RawRow {
  n: string;
  prev: Buffer;
  hash: Buffer;
  workflow_id: string;
  run_id: string;
  workflow_type: string;
  status: RunStatus;
  closed_us: string;
  events: number;
  history_hash: Buffer;
  bundle_hash: Buffer | null;
  sdk: string;
  version: string;
  archived_us: string;
}

const ROWS = `
  select n, prev, hash, workflow_id, run_id, workflow_type, status, events, history_hash, bundle_hash, sdk, version,
         (extract(epoch from closed_at) * 1000000)::bigint as closed_us,
         (extract(epoch from archived_at) * 1000000)::bigint as archived_us
    from engine.archive`;

const toRow = (row: RawRow): ArchiveRow => ({
  n: Number(row.n),
  prev: row.prev,
  hash: row.hash,
  workflowId: row.workflow_id,
  runId: row.run_id,
  workflowType: row.workflow_type,
  status: row.status,
  closedAtUs: BigInt(row.closed_us),
  events: row.events,
  historyHash: row.history_hash,
  bundleHash: row.bundle_hash,
  sdk: row.sdk,
  version: row.version,
  archivedAtUs: BigInt(row.archived_us),
});
