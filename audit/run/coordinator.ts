import type { KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type pg from 'pg';
import { sha256 } from '../../archive/canonical-history.ts';
import { archiveHead } from '../../archive/chain.ts';
import { type ArchiveObjects, archiveObjects } from '../../archive/objects.ts';
import type { DatabaseConfig } from '../../config/settings/read-environment.ts';
import type { SignatureTrust } from '../../config/keys/operator-keys.ts';
import type { LinkRules } from '../../providers/checkout-link.ts';
import type { SealTrust } from '../../providers/sealed-rows.ts';
import { checkHeads } from '../tables/books.ts';
import { type BuilderState, ReportBuilder } from '../report/builder.ts';
import { checkCatalogue } from '../tables/catalogue.ts';
import type { Exceptions } from '../exceptions.ts';
import { aboutPlaces } from '../report/finding-facts.ts';
import { findInTables } from '../tables/table-findings.ts';
import { auditOpen, auditUnknown, auditWaiting } from './open-work.ts';
import { PATIENCE, type Patience } from './second-look.ts';
import { findPostingsLeft } from '../tables/population.ts';
import { createPartAuditor, createReplayers, type Replayers } from './part-auditor.ts';
import { openProgress } from './progress.ts';
import type { AuditReport } from '../report/report.ts';
import { type AuditCommand, choose, cut, type AuditPart } from '../audit-arguments.ts';
import { openSession, snapshotOf } from '../tables/session.ts';
import { type BookFiles, describeBooks } from '../report/schedule.ts';
import { compareCopies, sayCompared } from './temporal-copies.ts';
import { countCases, countDeposits, countTables } from '../tables/totals.ts';
import { auditInParts } from './child-processes.ts';

export interface AuditDependencies {
  readonly database: DatabaseConfig;
  readonly client: Client;
  readonly dataConverter: DataConverter;
  readonly archiveDirectory: string | undefined;
  /** The workflow code of today, as a worker runs it. */
  readonly code: string;
  readonly codeVersion: string;
  readonly exceptions: Exceptions;
  /** Public keys to verify the seals of inbox rows with, from the audit's own settings. */
  readonly sealTrust: SealTrust;
  /**
   * Public keys to verify operators' steps with, from settings too. Steps up to id `after` need no signature. Absent:
   * none does.
   */
  readonly signatures?: { readonly trust: SignatureTrust; readonly after: string };
  /** Allowed hosts of checkout links, from the audit's own settings. Absent: not known, which the report notes. */
  readonly links?: LinkRules;
  readonly processes: number;
  /**
   * Authenticates the records of finished parts. Absent: the records are accepted from everybody who can write the
   * folder.
   */
  readonly progressKey?: KeyObject;
  /** How often a mismatch is read again. Default {@link PATIENCE}. */
  readonly patience?: Patience;
  /** Archived runs in one part. A killed audit repeats at most the unfinished parts. Default 250. */
  readonly partSize?: number;
  /** Heads of an earlier report, and its name in words. */
  readonly heads?: AuditReport['heads'];
  readonly headsFrom?: string;
  /** The files of the schedule and the wallets, line by line; absent: they are summed and not written. */
  readonly files?: BookFiles;
  readonly tell: (line: string) => void;
}

const PART = 250;
/** Up to this number histories are replayed in this process, because another one takes longer to start. */
const FEW = 100;

/** Runs the whole audit and returns the unsigned report. Throws when a server cannot be reached. */
export async function audit(
  deps: AuditDependencies,
  command: AuditCommand,
): Promise<{ report: AuditReport; done(): Promise<void> }> {
  const session = await openSession(deps.database, null);
  try {
    const head = await archiveHead(session);
    const bundleHash = sha256(deps.code).toString('hex');
    const decides = [
      head.n,
      head.hash.toString('hex'),
      bundleHash,
      command.since,
      command.sample,
      command.seed,
      command.deposit,
      [...deps.exceptions.bundles.keys()],
    ];
    const progress = await openProgress(command.out, decides, command.fresh, deps.progressKey ?? null);
    const builder = new ReportBuilder();
    const objects = archiveObjects(session, deps.archiveDirectory);
    await checkBundles(session, objects, builder);
    const inScope = await rowsInScope(command, session, head.n);
    const chosen = choose(inScope, command.sample ?? inScope.length, command.seed);
    const replayers = createReplayers({ ...deps, exceptions: [...deps.exceptions.bundles.keys()] }, objects);
    await replayArchive(deps, chosen, { session, objects, replayers, builder, progress });
    deps.tell('looking at what is open, at the inbox and at the books');
    const patience = deps.patience ?? PATIENCE;
    const open = { ...deps, patience, db: session, objects, replayerFor: replayers.replayerFor, builder };
    const so = await auditOpen(open, command.deposit);
    so.onTheirWay.push(...(await auditWaiting(open)));
    const listed = command.deposit === null ? await auditUnknown(open) : null;
    const copies = { ...deps, db: session, objects, builder };
    const temporal = await compareCopies(copies, chosen, listed, command.temporal);
    builder.note(sayCompared(temporal));
    await replayers.close();
    builder.findAll(await findPostingsLeft(session, so.compared, command.deposit));
    noteNames(builder, 'On their way, and not counted as explained', so.onTheirWay);
    noteNames(builder, 'Closed a moment ago, compared, and not in the archive yet', so.notArchivedYet);
    const catalogue = await checkCatalogue(session, deps.exceptions);
    builder.checked('catalogue', catalogue.checked);
    builder.findAll(catalogue.findings);
    await lookAtTables(deps, session, builder, command);
    for (const note of catalogue.notes) builder.note(note);
    if (deps.headsFrom !== undefined) builder.note(`Both chains were compared with the heads in ${deps.headsFrom}.`);
    for (const [bundle, reason] of deps.exceptions.bundles)
      builder.note(`Histories of bundle ${bundle} are replayed on that bundle itself: ${reason}`);
    const ledger = await ledgerHead(session);
    const books = await describeBooks(session, builder, command, deps.files ?? null);
    const about = await aboutPlaces(session, builder.listedPlaces());
    const report = builder.finish({
      audit: {
        startedAt: progress.startedAt,
        finishedAt: new Date().toISOString(),
        scope: {
          since: command.since,
          sample:
            command.sample === null
              ? null
              : `${chosen.length} of ${inScope.length} closed workflows, seed ${command.seed}`,
          deposit: command.deposit,
          from: command.from,
          to: command.to,
          entity: command.entity,
          preparer: command.preparer,
        },
        codeVersion: deps.codeVersion,
        bundleHash,
        temporal,
        catalogueHash: catalogue.hash,
      },
      heads: { ledger, archive: head.n === 0 ? null : { n: head.n, hash: head.hash.toString('hex') } },
      books,
      about,
    });
    return { report, done: () => progress.forget() };
  } finally {
    await session.end();
  }
}

/** Checks that every bundle that decided is in the archive, undamaged. */
async function checkBundles(session: pg.Client, objects: ArchiveObjects, builder: ReportBuilder): Promise<void> {
  const { rows } = await session.query<{ bundle_hash: Buffer }>(
    'select distinct bundle_hash from engine.archive where bundle_hash is not null',
  );
  for (const { bundle_hash: hash } of rows) {
    try {
      await objects.get(hash);
    } catch (error) {
      const detail = (error as Error).message;
      builder.find({ kind: 'bundle_missing', where: `bundle ${hash.toString('hex')}`, detail });
    }
  }
}

const NAMED = 50;

function noteNames(builder: ReportBuilder, what: string, names: readonly string[]): void {
  if (names.length === 0) return;
  const more = names.length > NAMED ? `, and ${names.length - NAMED} more` : '';
  builder.note(`${what}: ${names.length}: ${names.slice(0, NAMED).join(', ')}${more}`);
}

interface Replaying {
  readonly session: pg.Client;
  readonly objects: ArchiveObjects;
  readonly replayers: Replayers;
  readonly builder: ReportBuilder;
  readonly progress: Awaited<ReturnType<typeof openProgress>>;
}

async function replayArchive(
  deps: AuditDependencies,
  rows: readonly number[],
  { session, objects, replayers, builder, progress }: Replaying,
): Promise<void> {
  const parts = cut(rows, deps.partSize ?? PART);
  const waiting: AuditPart[] = [];
  for (const part of parts) {
    const finished = await progress.finished(part);
    if (finished === null) waiting.push(part);
    else builder.absorb(finished);
  }
  if (waiting.length < parts.length)
    deps.tell(`going on where it stopped: ${parts.length - waiting.length} of ${parts.length} parts are done`);
  const total = waiting.reduce((sum, part) => sum + part.length, 0);
  const meter = createMeter(deps.tell, total);
  const done = async (part: AuditPart, state: BuilderState) => {
    await progress.keep(part, state);
    builder.absorb(state);
    meter(part.length);
  };
  const exceptions = [...deps.exceptions.bundles.keys()];
  if (total <= FEW) {
    const auditor = createPartAuditor({ ...deps, db: session, exceptions }, objects, replayers);
    for (const part of waiting) await done(part, await auditor.audit(part));
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), 'deposit-audit-'));
  try {
    const codePath = join(folder, 'workflow-bundle.js');
    await writeFile(codePath, deps.code);
    const { database, archiveDirectory } = deps;
    const task = { database, snapshot: await snapshotOf(session), archiveDirectory, codePath, exceptions };
    await auditInParts(deps.processes, task, waiting, done);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * The ids of a deposit's workflows, as an array for lookups by index: its own and its cases. Also cases that moved
 * money for it by another order's message, and later workflows that held one of these cases.
 */
const WORKFLOWS_OF = `array(
  with cases(id, held) as (
    select v.workflow_id, v.held_by from engine.review_case v join engine.callback c on c.id = v.callback where c.external_order_number = $2
    union select v.workflow_id, v.held_by from engine.review_case v
     where v.workflow_id = any (array(select t.workflow_id from ledger.transaction t where t.deposit = $2)))
  select 'deposit:' || $2 union all select id from cases
  union all select id || ':again:' || g from cases, generate_series(1, substring(held from ':again:([1-9][0-9]{0,3})$')::int) g)`;

/**
 * The numbers of the archive's rows in scope. The archiver writes when a workflow ended, but it cannot write when the
 * row was archived.
 */
async function rowsInScope(command: AuditCommand, session: pg.Client, head: number): Promise<readonly number[]> {
  if (command.since === null && command.deposit === null) return Array.from({ length: head }, (_, i) => i + 1);
  const { rows } = await session.query<{ n: string }>(
    `select a.n from engine.archive a
      where ($1::timestamptz is null or a.closed_at >= $1 or a.archived_at >= $1)
        and ${command.deposit === null ? '$2::text is null' : `a.workflow_id = any (${WORKFLOWS_OF})`}
      order by a.n`,
    [command.since, command.deposit],
  );
  return rows.map(({ n }) => Number(n));
}

/** Checks the tables, in both directions, as a whole whatever the scope. */
async function lookAtTables(
  deps: AuditDependencies,
  session: pg.Client,
  builder: ReportBuilder,
  command: AuditCommand,
): Promise<void> {
  const { findings, notes, callbacks, since } = await findInTables(session, deps);
  for (const [name, at] of since) builder.decider(name, at);
  builder.findAll(findings);
  for (const note of notes) builder.note(note);
  builder.count('callbacks', callbacks);
  builder.checked('callbacks', callbacks);
  if (deps.heads !== undefined) builder.findAll(await checkHeads(session, deps.heads));
  await countTables(session, builder);
  await countDeposits(session, builder, command);
  await countCases(session, builder, command);
}

async function ledgerHead(session: pg.Client): Promise<AuditReport['heads']['ledger']> {
  const { rows } = await session.query<{ n: string; hash: Buffer }>(
    'select n, hash from ledger.block order by n desc limit 1',
  );
  return rows[0] === undefined ? null : { n: Number(rows[0].n), hash: rows[0].hash.toString('hex') };
}

/** Prints progress and the remaining time at the present rate, at most once a second. */
function createMeter(tell: (line: string) => void, total: number): (more: number) => void {
  const started = performance.now();
  let done = 0;
  let told = Number.NEGATIVE_INFINITY;
  return (more) => {
    done += more;
    const now = performance.now();
    if (now - told < 1_000 && done < total) return;
    told = now;
    const perSecond = done / Math.max(0.001, (now - started) / 1_000);
    const left = Math.ceil((total - done) / perSecond);
    tell(`replayed ${done} of ${total} histories, ${Math.round(perSecond)}/s, about ${left} s left`);
  };
}
