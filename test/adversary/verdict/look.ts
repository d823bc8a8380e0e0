import type { Client } from '@temporalio/client';
import type pg from 'pg';
import { archiveObjects } from '../../../archive/objects.ts';
import { auditArchived } from '../../../audit/run/archived-work.ts';
import { ReportBuilder } from '../../../audit/report/builder.ts';
import { checkCatalogue } from '../../../audit/tables/catalogue.ts';
import { NO_EXCEPTIONS } from '../../../audit/exceptions.ts';
import { lookAt, type PreparedHistory, prepareHistories } from '../../audit/snapshot.ts';
import { createReplayer, type Replayer } from '../../../audit/histories/replay.ts';
import type { Finding } from '../../../audit/report/report.ts';
import { openSession } from '../../../audit/tables/session.ts';
import type { LinkRules } from '../../../providers/checkout-link.ts';
import { sealTrust } from '../../support/seals.ts';

/**
 * The audit's comparison inside the transaction of a statement: the histories are read once, the clock is a parameter.
 */

export interface Prepared {
  readonly histories: readonly PreparedHistory[];
  /** The row count of the archive. */
  readonly archived: number;
  /** The allowed targets of checkout links. */
  readonly links: LinkRules;
  /** The time of the look: young rows stay young, however long the adversary takes. */
  readonly at: Date;
}

export async function prepare(url: string, client: Client, code: string, links: LinkRules): Promise<Prepared> {
  const session = await openSession({ url }, null);
  const replayer = createReplayer(code);
  try {
    const objects = archiveObjects(session, undefined);
    const histories = await prepareHistories({ session, objects, client, dataConverter: {}, replayer });
    const { rows } = await session.query<{ n: number }>('select count(*)::int as n from engine.archive');
    return { histories, archived: rows[0]!.n, links, at: new Date() };
  } finally {
    await replayer.close();
    await session.end();
  }
}

/** The time of the look: as the statement was made, and when no row is excused as young any more. */
export const LATER = ['now', 'later'] as const;
export type Later = (typeof LATER)[number];

/**
 * Sets up the session as the audit's own, for the rest of a transaction that is rolled back (audit/tables/session.ts).
 */
export async function becomeAuditor(db: pg.ClientBase): Promise<void> {
  await db.query('set local role auditor; set local search_path = pg_catalog, pg_temp; set local jit = off');
}

/** As `auditor`, in the transaction of `db`. */
export async function look(
  db: pg.ClientBase,
  { histories, archived, links, at }: Prepared,
  later: Later,
): Promise<Finding[]> {
  const session = preparing(db);
  const of = { session, histories, links, sealTrust: sealTrust() };
  const found = await lookAt(later === 'now' ? { ...of, now: at } : of);
  const catalogue = await checkCatalogue(session, NO_EXCEPTIONS);
  return [...found, ...catalogue.findings, ...(await lookAtNewRows(session, archived))];
}

/** Whether the database's schema differs from this version's. */
export const catalogueFindings = async (db: pg.ClientBase): Promise<readonly Finding[]> =>
  (await checkCatalogue(db, NO_EXCEPTIONS)).findings;

/** Reads new rows of the archive like all others in it. Replays show the decisions of code, and are left out. */
async function lookAtNewRows(db: pg.ClientBase, archived: number): Promise<Finding[]> {
  const { rows } = await db.query<{ n: string }>('select n from engine.archive where n > $1 order by n', [archived]);
  if (rows.length === 0) return [];
  const builder = new ReportBuilder();
  const replayer: Replayer = { replay: async () => null, close: async () => undefined };
  const objects = archiveObjects(db, undefined);
  const replayerFor = async () => ({ replayer, replayedOn: 'today', kept: true }) as const;
  await auditArchived(
    { db, objects, replayerFor, dataConverter: {}, builder },
    rows.map(({ n }) => Number(n)),
  );
  return Object.values(builder.state().findings).flatMap(({ listed }) => listed);
}

const names = new Map<string, string>();

/** The same session, with prepared statements: a repeated query is not planned again. */
const preparing = (db: pg.ClientBase): pg.ClientBase =>
  new Proxy(db, {
    get(target, property) {
      if (property !== 'query') return Reflect.get(target, property, target) as unknown;
      return (text: string, values?: unknown[]) => {
        const name = names.get(text) ?? `look_${names.size}`;
        names.set(text, name);
        return target.query({ name, text, values: values ?? [] });
      };
    },
  });
