import { afterAll, expect } from 'vitest';
import { createPool } from '../../database/pool.ts';
import type { TestDatabase } from '../support/database.ts';
import { call, facts, payment, type Posted } from './payments.ts';

/** Money in suspense: the posting, and the deposit that it claims. */
export interface ParkedMoney {
  readonly id: string;
  readonly deposit: string;
  readonly wallet: string;
  readonly code: string;
}

interface Step {
  readonly key?: string;
  readonly actor?: string;
  /** The newest credit of the deposit in its wallet, as the two operators saw it. */
  readonly beside?: string | null;
}

/** The ledger's own functions for decisions of operators, each call under a key of its own by default. */
export function peoplesBooks(db: TestDatabase) {
  const worker = db.poolFor('app_worker');
  const decisions = db.poolFor('app_decisions');
  // No login may call these: functions do that run as this role.
  const url = `${db.url}?options=-c%20role%3Dengine_owner`;
  const books = createPool({ url, applicationName: 'books', max: 20, onIdleError: () => undefined });
  afterAll(() => books.end());
  const auditor = db.poolFor('auditor');
  let steps = 0;
  const keyOf = ({ key }: Step): string => {
    steps += 1;
    return key ?? `step:${steps}`;
  };

  async function ask(sql: string, values: readonly unknown[]): Promise<Posted> {
    const { rows } = await books.query<Posted>(sql, [...values]);
    return rows[0]!;
  }

  return {
    worker,
    decisions,
    books,
    auditor,

    /** Money of a payment that is bound to no deposit, in suspense. */
    park: async (change: Record<string, string | null> = {}): Promise<ParkedMoney> => {
      const { item } = await payment(db.owner);
      const [parked] = await call(db.owner, 'park', [
        facts(item, { key: `suspense:mtpay:${item.transactionCode}`, ...change }),
      ]);
      expect(parked!.outcome).toBe('posted');
      return { id: parked!.id!, deposit: item.deposit, wallet: item.wallet, code: item.transactionCode };
    },

    release: (
      of: string,
      deposit: string,
      wallet: string,
      step: Step & { readonly fee?: string; readonly rest?: string } = {},
    ) =>
      ask(`select outcome, id from ledger.release($1, $2, $3, $4, $5, 'review:1', $6, 'paid twice, wanted', $7, $8)`, [
        keyOf(step),
        of,
        deposit,
        wallet,
        step.fee ?? '0',
        step.actor ?? 'alice+bob',
        step.beside ?? null,
        step.rest ?? null,
      ]),

    reverse: (of: string, keep: boolean, step: Step = {}) =>
      ask(`select outcome, id from ledger.reverse($1, $2, $3, 'review:1', $4, 'not ours', $5)`, [
        keyOf(step),
        of,
        keep,
        step.actor ?? 'alice+bob',
        step.beside ?? null,
      ]),

    giveBack: (of: string, step: Step = {}) =>
      ask(`select outcome, id from ledger.give_back($1, $2, 'review:1', $3, 'never paid')`, [
        keyOf(step),
        of,
        step.actor ?? 'alice+bob',
      ]),

    /** The posting that has a deposit's slot, or the key of one that does not exist; null: the slot is free. */
    slotOf: async (deposit: string): Promise<string | null> => {
      const { rows } = await auditor.query<{ holder: string }>(
        'select coalesce(t.id::text, s.key) as holder from ledger.slot s left join ledger.transaction t on t.key = s.key where s.deposit = $1',
        [deposit],
      );
      return rows[0]?.holder ?? null;
    },

    /** The credits of a deposit in wallets, oldest first. */
    standingOf: async (deposit: string): Promise<string[]> => {
      const { rows } = await auditor.query<{ id: string }>('select id from ledger.standing($1) order by id', [deposit]);
      return rows.map(({ id }) => id);
    },

    /** The first and the newest posting of a chain, and where the newest left the money. */
    chainOf: async (id: string): Promise<{ readonly root: string; readonly tip: string; readonly place: string }> => {
      const { rows } = await auditor.query<{ root: string; tip: string; place: string }>(
        'select ledger.root($1) as root, t.id as tip, ledger.place(t) as place from ledger.tip(ledger.root($1)) t',
        [id],
      );
      return rows[0]!;
    },
  };
}
