import type { Random } from '../../attack/random.ts';
import type { Powers } from '../statements/catalogue.ts';
import { statementsOf } from '../statements/generate.ts';
import type { Attempt } from '../statements/statement.ts';
import type { Bench, Outcome } from './trial.ts';

/**
 * Checks that the adversary notices a missing wall and a missing check.
 * - Statements that no login may run are carried out without triggers and grants: the audit finds them.
 * - Then the checks that found them are switched off: now all have to be unseen, or the count of unseen ones is
 *   worthless.
 */
export interface Control {
  readonly found: number;
  /** How many of those are unseen with their checks off. Has to be all of them. */
  readonly unseenThen: number;
  /** Manipulations by the owner alone that this look at a copy does not find; for a reader, without a verdict. */
  readonly ownersOwn: readonly Outcome[];
}

/** Every right on every table there is. */
export const unlimited = (powers: Powers): Powers => ({
  ...powers,
  role: 'the owner',
  routines: [],
  sequences: [],
  views: [],
  tables: powers.tables.map((table) => ({
    ...table,
    isDelete: true,
    columns: table.columns.map((column) => ({ ...column, update: !column.generated, insert: false })),
  })),
});

export async function runControl(bench: Bench, powers: Powers, random: Random, atMost: number): Promise<Control> {
  const statements = statementsOf(unlimited(powers), 1).filter(({ by }) => /^(update|delete) /.test(by));
  const [ownersOwn, counts] = [[] as Outcome[], { found: 0, unseenThen: 0 }];
  const kinds = new Set<string>();
  for (let left = atMost; left > 0 && statements.length > 0; ) {
    const [statement] = statements.splice(random.int(statements.length), 1);
    const attempt: Attempt = { name: statement!.text, steps: [statement!] };
    const whole = await bench.try(attempt, { unbound: true });
    if (whole.verdict === 'unseen' && !kinds.has(effectsOf(whole))) ownersOwn.push(whole);
    kinds.add(effectsOf(whole));
    if (whole.verdict !== 'found') continue;
    left -= 1;
    counts.found += 1;
    // Some checks find it at once, and others only later.
    const off = new Set(whole.everyKind);
    let blind = await bench.try(attempt, { unbound: true, without: off });
    for (let more = 2; more > 0 && blind.verdict === 'found'; more -= 1) {
      for (const kind of blind.everyKind) off.add(kind);
      blind = await bench.try(attempt, { unbound: true, without: off });
    }
    if (blind.verdict === 'unseen') counts.unseenThen += 1;
  }
  return { ...counts, ownersOwn };
}

const effectsOf = ({ changes }: Outcome) =>
  [...new Set(changes.map(({ table, kind, columns }) => `${kind} ${table} ${columns.join()}`))].toSorted().join('; ');
