import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { root } from '../../../local/servers/paths.ts';
import { type Figure, rounded } from '../figures/statistics.ts';
import type { Part } from '../part.ts';

/** The program of the audit's own measurement. */
export const AUDIT_SCALE = 'test/audit/scale/scale.ts';

/** Reads the output of the audit's own measurement: `  deposits, one process: 150/s (140 to 160)`. */
export function readRates(output: string): Readonly<Record<string, { median: number; min: number; max: number }>> {
  const lines = [...output.matchAll(/^ {2}(.+): (\d+)\/s \((\d+) to (\d+)\)$/gm)];
  return Object.fromEntries(
    lines.map(([, name, median, min, max]) => [name!, { median: Number(median), min: Number(min), max: Number(max) }]),
  );
}

/** P8: runs the audit's measurement, which has a PostgreSQL and a Temporal of its own and takes turns as well. */
export const auditPart: Part = {
  ids: ['P8'],
  seconds: { full: 600, quick: null },
  async measure(bench) {
    const { rounds, audit } = bench.scale;
    const args = ['--import', 'tsx', AUDIT_SCALE, '--count', String(audit), '--rounds', String(Math.max(rounds, 2))];
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    bench.undo.add(() => {
      if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGTERM');
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
        for (const line of chunk.split('\n')) if (line.trim() !== '') bench.tell(`audit: ${line.trim()}`);
      });
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`${AUDIT_SCALE} ended with ${code}: ${output.slice(-500)}`);
    const rates = readRates(output);
    const figure = (ours: string, baseline: string): Figure => {
      const [one, other] = [rates[ours], rates[baseline]];
      if (one === undefined || other === undefined) throw new Error(`${AUDIT_SCALE} told of no ${ours} or ${baseline}`);
      return {
        ours: one.median,
        baseline: other.median,
        ratio: rounded(one.median / other.median),
        min: rounded(one.min / other.max),
        max: rounded(one.max / other.min),
        rounds,
        unit: 'histories/s',
      };
    };
    const figures = {
      'one process': figure('deposits, one process', 'empty workflows, the SDK’s replayer'),
      'two processes': figure('deposits, two processes', 'deposits, one process'),
    };
    const notes = [
      'Least and greatest are of the rates, each against the other’s greatest and least: wider than pairs are.',
    ];
    return { P8: { figures, notes } };
  },
};
