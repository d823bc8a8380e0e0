import { readFile } from 'node:fs/promises';
import type { AuditReport, Finding } from '../../audit/report/report.ts';
import { byHand } from '../support/database.ts';
import type { Engine } from '../support/engine.ts';

/**
 * A theft with the worker's rights from before the walls. It reverses a credit into suspense and releases it to the
 * thief's wallet, through an open deposit. Every second it writes to the row of that deposit that it has just closed,
 * so that a check that trusts the row reads no history.
 */
export interface Theft {
  readonly victim: string;
  readonly thief: string;
  /** The database refused both steps to each login of a running process. */
  readonly refused: readonly string[];
  /** Writes once more that the deposit has closed just now. */
  refresh(): Promise<void>;
}

export async function steal(engine: Engine): Promise<Theft> {
  const { db } = engine;
  const victim = await order(engine, 'wallet-victim');
  await engine.pay(victim);
  await engine.untilState(victim, 'CREDITED');
  const thief = await order(engine, 'wallet-evil');
  const {
    rows: [credit],
  } = await db.owner.query<{ id: string }>('select id::text as id from ledger.transaction where deposit = $1', [
    victim,
  ]);
  const reverse = `select from ledger.reverse('theft:1', ${credit!.id}, true, 'deposit:${thief}', 'alice+bob', 'it is mine')`;
  const release = `select from ledger.release('theft:2', (select max(id) from ledger.transaction), '${thief}', 'wallet-evil', 0,
    'deposit:${thief}', 'alice+bob', 'it is mine')`;
  const refused: string[] = [];
  for (const role of ['app_api', 'app_worker', 'app_decisions'] as const) {
    for (const sql of [
      reverse,
      release,
      `update engine.deposit set state = 'UNPAID' where external_order_number = '${thief}'`,
    ]) {
      const code = await db
        .poolFor(role)
        .query(sql)
        .then(
          () => null,
          (error: { code?: string }) => error.code ?? 'unknown',
        );
      if (code === null) throw new Error(`${role} could: ${sql}`);
      refused.push(`${role}: ${code}`);
    }
  }
  const refresh = () =>
    byHand(
      db.owner,
      `update engine.deposit set state = 'UNPAID', closed_at = clock_timestamp() where external_order_number = '${thief}'`,
    );
  // The walls are switched off, as their owner can.
  await byHand(db.owner, reverse);
  await byHand(db.owner, release);
  await refresh();
  return { victim, thief, refused, refresh };
}

async function order(engine: Engine, wallet: string): Promise<string> {
  const { externalOrderNumber } = (await engine.create({ wallet })).body as { readonly externalOrderNumber: string };
  await engine.untilState(externalOrderNumber, 'AWAITING_PAYMENT');
  return externalOrderNumber;
}

/** The audit's findings about it; empty: the thief got away. */
export const named = (findings: readonly Finding[], { thief }: Theft): readonly Finding[] =>
  findings.filter(({ kind, where }) => kind === 'posting_unexplained' && where === `deposit:${thief}`);

export async function findingsIn(path: string): Promise<readonly Finding[]> {
  const { checks } = JSON.parse(await readFile(path, 'utf8')) as AuditReport;
  return checks.flatMap(({ findings }) => findings);
}
