import { cloneTemplate, type TestDatabase } from '../support/database.ts';
import { runModel } from './run.ts';
import { openSite } from './world.ts';

/** A fix removed again, in a database of its own: the product has no switch. */
export interface Mutant {
  readonly name: string;
  readonly edits: readonly { readonly in: string; readonly find: string; readonly replace: string }[];
}

const POST = 'ledger.post(ledger.transaction[])';
const REVERSE = 'ledger.reverse(text,bigint,boolean,text,text,text,bigint)';
const GIVE_BACK = 'ledger.give_back(text,bigint,text,text,text)';
const CARRY_OUT = 'engine.carry_out(text,bigint,bigint,text,text)';
const REFUSED = 'engine.decision_refused(engine.case_now,engine.decision,engine.decision)';
const INTO_A_WALLET = "where not (r.amount > 0 and r.credit_code like 'wallet:%')";
/** Keys of the old form: one reversal for each callback, whatever came in between. */
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
    edits: [{ in: CARRY_OUT, find: 'where r.proposal = proposal_id', replace: 'where false' }],
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
    edits: [{ in: REFUSED, find: "w.step = 'withdraw'", replace: "w.step = 'nothing'" }],
  },
  {
    name: 'two people may state different facts',
    edits: [{ in: REFUSED, find: "differ <> ''", replace: 'false' }],
  },
];

/** Replaces a part of a function's text. Throws without a match, or with too many: nothing was removed. */
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
  /** Sequences until it was found; null: never. */
  readonly sequences: number | null;
  /** The first line of the failure. */
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
      const report = await runModel(site, { ...options, hasty: true });
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
