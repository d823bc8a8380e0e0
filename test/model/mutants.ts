import type pg from 'pg';
import { cloneTemplate, type TestDatabase } from '../support/database.ts';
import { runModel } from './run.ts';
import { answering, rewriting } from './seams.ts';
import { openSite, type Site } from './world.ts';

/** A cure taken out again, in a database of its own or in what one role's connections say: the product has no switch. */
export interface Mutant {
  readonly name: string;
  readonly edits: readonly { readonly in: string; readonly find: string; readonly replace: string }[];
  /** `bites` is told of every statement that is changed. */
  readonly seam?: (site: Site, bites: () => void) => Site;
}

const POST = 'ledger.post(ledger.transaction[])';
const REVERSE = 'ledger.reverse(text,bigint,boolean,text,text,text,bigint)';
const GIVE_BACK = 'ledger.give_back(text,bigint,text,text,text)';
const INTO_A_WALLET = "where not (r.amount > 0 and r.credit_code like 'wallet:%')";
/** As keys were made before: one reversal for each callback, whatever came in between. */
const FIXED_KEY = {
  find: 't.key := new_key;',
  replace: "t.key := regexp_replace(by_workflow, ':reversal:.*', '') || ':reverse';",
};

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'machine credits need no slot: people first, then the machine',
    edits: [{ in: POST, find: INTO_A_WALLET, replace: `${INTO_A_WALLET} or r.kind = 'credit'` }],
  },
  {
    name: 'releases need no slot: the machine first, then people',
    edits: [{ in: POST, find: INTO_A_WALLET, replace: `${INTO_A_WALLET} or r.kind = 'release'` }],
  },
  {
    name: 'reversals have a fixed key: no second one',
    edits: [
      { in: REVERSE, ...FIXED_KEY },
      { in: GIVE_BACK, ...FIXED_KEY },
    ],
  },
  {
    name: 'a step is proved before it is asked whether it was carried out',
    edits: [],
    seam: (site, bites) => ({ ...site, decisions: forgetting(site.decisions, bites) }),
  },
  {
    name: 'a reversal out of a wallet goes where the money came from',
    edits: [
      {
        in: REVERSE,
        find: "t.debit_code := case when keep then 'suspense:' else 'clearing:' end || t.provider;",
        replace: "if keep then t.debit_code := 'suspense:' || t.provider; end if;",
      },
    ],
  },
  {
    name: 'beside any credit that stands, not only the newest',
    edits: [
      {
        in: POST,
        find: 's.deposit = r.deposit and s.key = o.key and',
        replace: 's.deposit = r.deposit and o.deposit = r.deposit and',
      },
    ],
  },
  {
    name: 'a withdrawal is overlooked',
    edits: [],
    seam: (site, bites) => ({ ...site, decisions: overlooking(site.decisions, bites) }),
  },
];

const nothing = { rows: [], rowCount: 0 } as unknown as pg.QueryResult;
const forgetting = (pool: pg.Pool, bites: () => void): pg.Pool =>
  answering(pool, (text) => {
    if (!text.includes('k.proposal where d.id = $2')) return undefined;
    bites();
    return nothing;
  });
const overlooking = (pool: pg.Pool, bites: () => void): pg.Pool =>
  rewriting(pool, (text) => {
    if (!text.includes('from engine.decision where workflow_id')) return text;
    bites();
    return text.replace('order by', "and step <> 'withdraw' order by");
  });

/** Replaces a function by itself with another text. Finding nothing, or too much, is an error: nothing was taken out. */
async function edit(db: TestDatabase, { in: name, find, replace }: Mutant['edits'][number]): Promise<void> {
  const { rows } = await db.owner.query<{ source: string }>('select pg_get_functiondef($1::regprocedure) as source', [
    name,
  ]);
  const parts = rows[0]!.source.split(find);
  if (parts.length !== 2) throw new Error(`${name} has ${parts.length - 1} times, and not once: ${find}`);
  await db.owner.query(parts.join(replace));
}

export interface MutantRow {
  readonly name: string;
  /** Sequences until it was found; null: it never was. */
  readonly sequences: number | null;
  /** The first line of what was found. */
  readonly found: string;
}

/** Runs the model against each mutant until it is found, at most `count` sequences. Throws when one changes nothing. */
export async function runMutants(
  url: string,
  options: { readonly count: number; readonly seed: number },
  told: (row: MutantRow) => void,
) {
  const rows: MutantRow[] = [];
  for (const mutant of MUTANTS) {
    const { db, drop } = await cloneTemplate(url);
    const site = openSite(db);
    try {
      for (const one of mutant.edits) await edit(db, one);
      let bites = 0;
      const isIdle = () => mutant.seam !== undefined && bites === 0;
      const report = await runModel(mutant.seam?.(site, () => (bites += 1)) ?? site, {
        ...options,
        hasty: true,
        progress() {
          if (isIdle()) throw new Error('idle');
        },
      });
      if (isIdle()) throw new Error(`no statement was changed: ${mutant.name}`);
      const row = {
        name: mutant.name,
        sequences: report.failure === null ? null : report.sequences,
        found: /^(?:Error|Mismatch): (.*(?:\n  (?:expected|found).*)*)/m.exec(report.failure ?? '')?.[1] ?? '',
      };
      rows.push(row);
      told(row);
    } finally {
      await site.end();
      await drop();
    }
  }
  return rows;
}
