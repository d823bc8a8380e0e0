import { openConnection } from '../../database/pool.ts';
import { createRandom } from '../attack/random.ts';
import type { Ground } from '../attack/ground/world.ts';
import { type AdversaryBook, writeBook } from './scene/book.ts';
import { readPowers, readRoles } from './statements/catalogue.ts';
import { type Control, runControl } from './verdict/control.ts';
import { CORPUS } from './statements/corpus.ts';
import { statementsOf, withoutGenuine } from './statements/generate.ts';
import { type LiveOutcome, runLive, survivorsOf } from './verdict/live.ts';
import { pairsOf } from './statements/pairs.ts';
import type { Attempt } from './statements/statement.ts';
import { type Bench, openBench, type Outcome, type TrialOptions, type Verdict } from './verdict/trial.ts';

export interface AdversaryOptions {
  readonly ground: Ground;
  readonly seed: number;
  /** The maximum of statements of each login, drawn by the seed; null: all of them. The chains are always tried. */
  readonly each: number | null;
  readonly pairs: number;
  readonly control: number;
  /** One of this many is committed over its login, to a copy. */
  readonly committed: number;
  /** This many kinds of effects are tried on a running engine; 0: none is started again. */
  readonly live: number;
  /** Whether the key of the API's seals is registered. Default: yes, as it should be. */
  readonly registered?: boolean;
  readonly say?: (line: string) => void;
}

export interface AdversaryReport {
  readonly seed: number;
  /** Per login, chains and pairs by themselves. */
  readonly counts: Readonly<Record<string, Readonly<Partial<Record<Verdict, number>>>>>;
  readonly unseen: readonly Outcome[];
  /** Compares the verdicts of those committed over their login with the earlier ones. */
  readonly committed: { readonly same: number; readonly others: readonly (readonly [Outcome, Outcome])[] };
  readonly control: Control;
  readonly live: readonly LiveOutcome[];
  /** Functions of the engine without a genuine call: their arguments are only guessed. */
  readonly guessedAt: readonly string[];
  /** Situations of the book with findings before any statement. */
  readonly anyway: readonly string[];
  readonly seconds: number;
}

export async function runAdversary(options: AdversaryOptions): Promise<AdversaryReport> {
  const { ground, seed, registered = true, say = () => undefined } = options;
  const started = performance.now();
  const random = createRandom(seed);
  const book = await writeBook(ground, { registered });
  say(`a book with one of everything, after ${seconds(started)} s`);
  try {
    const [url, other] = [await book.copy(), await book.copy()];
    const benches = await Promise.all([url, other].map((one) => openBench(one, book.scene, book.prepared)));
    const db = await openConnection({ url, applicationName: 'adversary' });
    const roles = await readRoles(db);
    const powers = [];
    for (const role of roles) powers.push(await readPowers(db, role));
    await db.end();
    const counts: Record<string, Partial<Record<Verdict, number>>> = {};
    const outcomes: Outcome[] = [];
    const tryAll = async (group: string, tries: readonly (readonly [Attempt, TrialOptions?])[]) => {
      const waiting = [...tries];
      const of = (counts[group] ??= {});
      const lane = async (bench: Bench) => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
          const outcome = await bench.try(...next);
          of[outcome.verdict] = (of[outcome.verdict] ?? 0) + 1;
          outcomes.push(outcome);
          if (outcome.verdict === 'unseen')
            say(
              `UNSEEN as ${outcome.attempt.steps.map(({ role }) => role).join(', ')}: ${outcome.attempt.name}\n  ${outcome.why}`,
            );
        }
      };
      await Promise.all(benches.map(lane));
      say(`${group}: ${tell(of)}, after ${seconds(started)} s`);
    };

    for (const power of powers) {
      const statements = statementsOf(power, seed).map((step): readonly [Attempt] => [
        { name: step.text, steps: [step] },
      ]);
      const each = options.each ?? statements.length;
      while (statements.length > each) statements.splice(random.int(statements.length), 1);
      await tryAll(power.role, statements);
    }
    await tryAll(
      'chains',
      CORPUS.map((chain) => [chain]),
    );
    const accepted = outcomes.filter(({ verdict }) => verdict !== 'refused' && verdict !== 'changed nothing');
    const pairs = pairsOf(accepted, (name) => benches[0]!.isKnown(name), random, options.pairs);
    await tryAll(
      'pairs',
      pairs.map(({ attempt, options: of }) => [attempt, of]),
    );
    const singles = outcomes.filter(({ attempt }) => attempt.steps.length === 1);
    const committed = await commitSome(book, singles, options.committed);
    say(`committed: ${committed.same} as before, ${committed.others.length} not, after ${seconds(started)} s`);
    const control = await runControl(benches[0]!, powers[0]!, random, options.control);
    say(
      `control: ${control.found} by the owner were found, ${control.unseenThen} of them were unseen without their checks, after ${seconds(started)} s`,
    );
    const anyway = [...benches[0]!.anyway];
    for (const bench of benches) await bench.close();
    const live = options.live === 0 ? [] : await runLive(book, survivorsOf(accepted, options.live), ground);
    if (live.length > 0) say(`on a running engine: ${tell(countsOf(live))}, after ${seconds(started)} s`);
    return {
      seed,
      counts,
      unseen: outcomes.filter(({ verdict }) => verdict === 'unseen'),
      committed,
      control,
      live,
      guessedAt: [...new Set(powers.flatMap(withoutGenuine))],
      anyway,
      seconds: Number(seconds(started)),
    };
  } finally {
    await book.stop();
  }
}

/** Commits one of so many over its login: each on a database of its own. */
async function commitSome(
  book: AdversaryBook,
  outcomes: readonly Outcome[],
  oneOf: number,
): Promise<AdversaryReport['committed']> {
  const others: (readonly [Outcome, Outcome])[] = [];
  const some = outcomes.filter((_, i) => i % oneOf === oneOf - 1);
  for (const before of some) {
    const bench = await openBench(await book.copy(), book.scene, book.prepared);
    try {
      const after = await bench.commit(before.attempt);
      // A role set by hand inside a session may have no rights where the login cannot even connect.
      const isHarmless = [before, after].every(({ verdict }) => ['refused', 'changed nothing'].includes(verdict));
      if (after.verdict !== before.verdict && !isHarmless) others.push([before, after]);
    } finally {
      await bench.close();
    }
  }
  return { same: some.length - others.length, others };
}

const seconds = (since: number) => ((performance.now() - since) / 1_000).toFixed(1);
export const tell = (counts: Readonly<Partial<Record<string, number>>>): string =>
  Object.entries(counts)
    .map(([verdict, many]) => `${many} ${verdict}`)
    .join(', ');
export function countsOf(live: readonly LiveOutcome[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { verdict } of live) counts[verdict] = (counts[verdict] ?? 0) + 1;
  return counts;
}
