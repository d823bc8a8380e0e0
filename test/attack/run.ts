import { createGenuineArena } from './ground/arena.ts';
import type { GenuineReport } from './messages/genuine.ts';
import { runMiddle } from './ground/middle.ts';
import { type ClassReport, runSeries, SERIES } from './series.ts';
import { auditFaults, strangeDeposits } from './ground/evidence.ts';
import { type Ground, startWorld } from './ground/world.ts';

export type SeriesName = 'signatures' | 'tokens' | 'middle';

export interface AttackOptions {
  readonly seed: number;
  /** Attempts of the first two series together; the third makes its own, fewer, because each is a deposit. */
  readonly count: number;
  readonly series: readonly SeriesName[];
  readonly ground?: Ground;
  /** Ends after the first part that failed; the rest would add no information. */
  readonly untilRed?: boolean;
  /** Receives lines of progress. */
  readonly say?: (line: string) => void;
}

export interface AttackReport {
  readonly seed: number;
  readonly attempts: number;
  readonly accepted: number;
  readonly seconds: number;
  readonly classes: readonly ClassReport[];
  readonly genuine: GenuineReport;
  /** The faults, one line each; empty when every attack was refused and every honest message was accepted. */
  readonly failures: readonly string[];
}

/** The share of messages altered in form, which have to be refused though they are signed. */
const FORMS_SHARE = 20;
const MIDDLE_SHARE = 250;

/** Each part and how many attempts it makes. */
function planOf({ series, count }: AttackOptions): [part: SeriesName | 'forms', count: number][] {
  const forms = series.includes('middle') ? Math.ceil(count / FORMS_SHARE) : 0;
  const main = (['signatures', 'tokens'] as const).filter((name) => series.includes(name));
  const plan: ReturnType<typeof planOf> = main.map((name) => [name, Math.ceil((count - forms) / main.length)]);
  if (forms > 0) plan.push(['forms', forms], ['middle', Math.ceil(count / MIDDLE_SHARE)]);
  return plan;
}

/** Starts an engine of its own, attacks it, and returns the report. */
export async function runAttack(options: AttackOptions): Promise<AttackReport> {
  const say = options.say ?? (() => undefined);
  const world = await startWorld(options.ground);
  try {
    const arena = await createGenuineArena(world, options.seed);
    say(`the engine is up, ${arena.roster.created} deposits are placed`);
    const started = performance.now();
    const classes: ClassReport[] = [];
    for (const [name, count] of planOf(options)) {
      classes.push(...(await (name === 'middle' ? runMiddle(arena, count) : runSeries(SERIES[name], arena, count))));
      say(`${name}: done`);
      if (options.untilRed === true && classes.flatMap(faultsOf).length > 0) break;
    }
    await (options.untilRed === true ? arena.genuine.stop() : arena.genuine.finish());
    const seconds = (performance.now() - started) / 1_000;
    arena.wire.close();
    const failures = [
      ...classes.flatMap(faultsOf),
      ...arena.genuine.report.rejected.map((line) => `genuine: ${line}`),
      ...(arena.unauthorized.size > 1
        ? [`uniform answer: there are ${arena.unauthorized.size} different answers 401`]
        : []),
      ...strange(await strangeDeposits(world, arena.roster)),
      ...(await auditFaults(world)).map((fault) => `the ledger's audit: ${fault}`),
    ];
    const sum = (of: (report: ClassReport) => number) => classes.reduce((total, report) => total + of(report), 0);
    return {
      seed: options.seed,
      attempts: sum((report) => report.attempts),
      accepted: sum((report) => report.accepted),
      seconds,
      classes,
      genuine: arena.genuine.report,
      failures,
    };
  } finally {
    await world.stop();
  }
}

const strange = (deposits: number) => (deposits === 0 ? [] : [`${deposits} deposits that nobody of us created`]);

function faultsOf({ series, name, attempts, accepted, control, found, answers }: ClassReport): string[] {
  const of = `${series}: ${name}`;
  return [
    ...(attempts === 0 ? [`${of}: no attempt was made`] : []),
    ...(accepted > 0 ? [`${of}: ${accepted} of ${attempts} accepted, answers ${JSON.stringify(answers)}`] : []),
    ...(control ? [] : [`${of}: the untouched original was not accepted`]),
    ...[...new Set(found)].map((what) => `${of}: ${what}`),
  ];
}
