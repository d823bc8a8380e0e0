import { type Late, type Sample, STALL_MS } from './samples.ts';

export interface Measured {
  readonly requests: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly utilizationMean: number;
  readonly delayMaxMs: number;
  /** Longer than {@link STALL_MS}, without the time that the process waited for the machine. */
  readonly stalls: readonly Late[];
  /** Late only because the machine ran something else. */
  readonly starved: readonly Late[];
  readonly rssMb: { readonly first: number; readonly last: number; readonly max: number };
  /** Growth of the floor of the heap over the second half, per 10,000 requests. */
  readonly heapSlopeMb: number;
}

export interface FuzzReport {
  readonly seed: number;
  readonly wanted: number;
  readonly created: number;
  readonly measured: Measured;
  readonly findings: readonly string[];
}

/** More than this much growth per 10,000 requests, once warm, is a leak. */
const HEAP_SLOPE_LIMIT_MB = 8;
const RSS_LIMIT_MB = 512;

export function measure(samples: readonly Sample[]): Measured {
  const last = samples.at(-1);
  if (last === undefined) throw new Error('the API process wrote no measurements');
  const late = samples.flatMap((sample) => sample.late);
  const isStall = ({ lateMs, waitedMs }: Late) => lateMs - waitedMs > STALL_MS;
  // The first samples are the start of the process: code is read and compiled.
  const first = samples.find((sample) => sample.requests > 200) ?? samples[0]!;
  return {
    requests: last.requests,
    statuses: last.statuses,
    seconds: (last.atMs - samples[0]!.atMs) / 1_000,
    cpuSeconds: last.cpuMs / 1_000,
    utilizationMean: samples.reduce((sum, { utilization }) => sum + utilization, 0) / samples.length,
    delayMaxMs: last.delayMaxMs,
    stalls: late.filter(isStall),
    starved: late.filter((one) => !isStall(one)),
    rssMb: { first: first.rssMb, last: last.rssMb, max: Math.max(...samples.map(({ rssMb }) => rssMb)) },
    heapSlopeMb: heapSlope(samples),
  };
}

/** Collections make a saw; its lower teeth in each of ten parts of the second half, fitted by least squares. */
function heapSlope(samples: readonly Sample[]): number {
  const half = samples.slice(Math.floor(samples.length / 2));
  const size = Math.max(1, Math.floor(half.length / 10));
  const floors = Array.from({ length: Math.floor(half.length / size) }, (_, at) =>
    half.slice(at * size, (at + 1) * size).reduce((low, one) => (one.heapMb < low.heapMb ? one : low)),
  ).map(({ requests, heapMb }) => ({ x: requests / 10_000, y: heapMb }));
  const mean = (of: (point: { x: number; y: number }) => number) =>
    floors.reduce((sum, p) => sum + of(p), 0) / floors.length;
  const [mx, my] = [mean((p) => p.x), mean((p) => p.y)];
  const spread = mean((p) => (p.x - mx) ** 2);
  return spread === 0 ? 0 : mean((p) => (p.x - mx) * (p.y - my)) / spread;
}

/** The faults of the API by these measurements; `isLong` where there are enough of them for a slope. */
export function judge(measured: Measured, isLong: boolean): string[] {
  const serverErrors = Object.entries(measured.statuses).filter(([status]) => Number(status) >= 500);
  return [
    ...serverErrors.map(([status, count]) => `${count} answers of ${status}`),
    ...measured.stalls.map(
      ({ atMs, begun, lateMs, ranMs, waitedMs, gcMs }) =>
        `the event loop stalled for ${ms(lateMs - waitedMs)} (late ${ms(lateMs)}, worked ${ms(ranMs)}, not let run ${ms(waitedMs)}, collecting garbage ${ms(gcMs)}) at ${ms(atMs)}, with ${begun.join(', ')}`,
    ),
    ...(measured.rssMb.max > RSS_LIMIT_MB ? [`the process grew to ${measured.rssMb.max.toFixed(0)} MB`] : []),
    ...(isLong && measured.heapSlopeMb > HEAP_SLOPE_LIMIT_MB
      ? [`the heap grew by ${measured.heapSlopeMb.toFixed(1)} MB per 10,000 requests`]
      : []),
  ];
}

const ms = (value: number): string => `${value.toFixed(1)} ms`;

export function markdown({ seed, wanted, created, measured, findings }: FuzzReport): string {
  const rows: readonly (readonly [string, string])[] = [
    ['requests', `${measured.requests} of ${wanted}, seed ${seed}`],
    [
      'time',
      `${measured.seconds.toFixed(0)} s; the API process used ${measured.cpuSeconds.toFixed(0)} s of processor time`,
    ],
    [
      'answers',
      Object.entries(measured.statuses)
        .map(([status, count]) => `${status}: ${count}`)
        .join(', '),
    ],
    ['deposits created', String(created)],
    [
      'event loop',
      `busy ${(measured.utilizationMean * 100).toFixed(0)} %; longest delay, its start included, ${ms(measured.delayMaxMs)}`,
    ],
    ['stalls over 50 ms', String(measured.stalls.length)],
    [
      'late because the machine ran something else',
      `${measured.starved.length}${measured.starved.length === 0 ? '' : `, longest ${ms(Math.max(...measured.starved.map(({ lateMs }) => lateMs)))}`}`,
    ],
    [
      'resident memory',
      `${measured.rssMb.first.toFixed(0)} MB warm, ${measured.rssMb.last.toFixed(0)} MB at the end, ${measured.rssMb.max.toFixed(0)} MB at most`,
    ],
    ['heap', `${measured.heapSlopeMb.toFixed(2)} MB per 10,000 requests over the second half`],
  ];
  const table = rows.map(([name, value]) => `| ${name} | ${value} |`).join('\n');
  const found = findings.length === 0 ? 'No findings.' : findings.map((one) => `\`\`\`\n${one}\n\`\`\``).join('\n\n');
  return `# Fuzz\n\n| | |\n| --- | --- |\n${table}\n\n## Findings\n\n${found}\n`;
}
