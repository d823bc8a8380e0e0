import type { Client } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import type pg from 'pg';
import { archiveRows } from '../../archive/chain.ts';
import { type HistoryFacts, openHistory, readHistory, readText } from '../../archive/history.ts';
import type { ArchiveObjects } from '../../archive/objects.ts';
import { compareBooks, explainedBy, subjectOf } from '../../audit/histories/compare.ts';
import type { Replayer } from '../../audit/histories/replay.ts';
import type { Finding } from '../../audit/report/report.ts';
import { holdersOf, recordsOf, replayFault } from '../../audit/run/archived-work.ts';
import { endedThoughOpen, fetchOpen } from '../../audit/run/open-work.ts';
import { PATIENCE } from '../../audit/run/second-look.ts';
import { callbacksWaiting, findPostingsLeft, unarchivedRows, withoutHistory } from '../../audit/tables/population.ts';
import { findInTables, type Trusts } from '../../audit/tables/table-findings.ts';

/** The audit's comparison of the present tables with histories that are read once. */

/** A history that was read and replayed once. */
export interface PreparedHistory {
  readonly facts: HistoryFacts;
  /** Findings of the replay, which do not depend on the tables. */
  readonly findings: readonly Finding[];
}

export interface PrepareDependencies {
  /** A session of the present database, whose archive and rows name the histories. */
  readonly session: pg.ClientBase;
  readonly objects: ArchiveObjects;
  readonly client: Client;
  readonly dataConverter: DataConverter;
  /** A replayer on today's workflow code. */
  readonly replayer: Replayer;
}

/** Reads all present histories of a database into memory: from the archive, and the others from Temporal. */
export async function prepareHistories(deps: PrepareDependencies): Promise<PreparedHistory[]> {
  const codecs = deps.dataConverter.payloadCodecs ?? [];
  const prepared: PreparedHistory[] = [];
  const { rows } = await deps.session.query<{ n: string }>('select n from engine.archive order by n');
  for (const row of await archiveRows(
    deps.session,
    rows.map(({ n }) => Number(n)),
  ))
    prepared.push(await replayed(deps, await readText(await deps.objects.get(row.historyHash), codecs)));
  for await (const batch of unarchivedRows(deps.session, null)) {
    for (const { id } of batch) {
      const history = await fetchOpen(deps.client, id);
      if (history === null) continue;
      const facts = readHistory(await openHistory(history, codecs));
      prepared.push(await replayed(deps, { history, facts }));
    }
  }
  return prepared;
}

async function replayed(
  deps: PrepareDependencies,
  { history, facts }: Awaited<ReturnType<typeof readText>>,
): Promise<PreparedHistory> {
  return { facts, findings: await replayFault(deps, deps.replayer, facts, history) };
}

export interface SnapshotOptions extends Trusts {
  /**
   * A connection as `auditor`. The checks run in its present transaction and see its uncommitted changes. They write
   * nothing and use no other connection.
   */
  readonly session: pg.ClientBase;
  /**
   * All histories, from {@link prepareHistories}. A row without a history, and a history without a row, are findings.
   */
  readonly histories: readonly PreparedHistory[];
  /** The assumed time: a row younger than two minutes may lack its history. Default: later than any excuse. */
  readonly now?: Date;
}

/**
 * Runs every check of the tables and compares every given history, once. A mismatch that an audit would read again and
 * might excuse is a finding here. Some 30 ms for 40 deposits, because nothing is replayed, and neither Temporal nor the
 * archive's texts are read.
 */
export async function lookAt(look: SnapshotOptions): Promise<Finding[]> {
  const { session, histories, now } = look;
  const { findings } = await findInTables(session, look);
  const all = histories.map(({ facts }) => facts);
  const records = await recordsOf(session, all);
  const held = new Map<string, HistoryFacts[]>();
  for (const facts of all) held.set(facts.workflowId, [...(held.get(facts.workflowId) ?? []), facts]);
  for (const { facts, findings: replay } of histories) {
    const others = holdersOf(records, subjectOf(facts))
      .flatMap((id) => held.get(id) ?? [])
      .filter(({ runId }) => runId !== facts.runId);
    const elsewhere = new Set(others.flatMap((other) => [...explainedBy(other, records)]));
    findings.push(...replay, ...compareBooks(facts, records, elsewhere).map(({ finding }) => finding));
  }
  const isYoung = (since: number) => now !== undefined && now.getTime() - since <= PATIENCE.youngMs;
  for await (const batch of unarchivedRows(session, null)) {
    for (const row of batch) {
      const [facts] = (held.get(row.id) ?? []).slice(-1);
      if (facts !== undefined) findings.push(...endedThoughOpen(row, facts));
      else if (!isYoung(row.since.getTime())) findings.push(...withoutHistory(row));
    }
  }
  const waiting = await callbacksWaiting(session);
  findings.push(...waiting.filter(({ ageMs }) => !isYoung(Date.now() - ageMs)).map(({ finding }) => finding));
  findings.push(...(await findPostingsLeft(session, all.map(subjectOf), null)));
  return findings;
}
