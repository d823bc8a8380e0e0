import { generateRows } from '../../../test/growth/rows.ts';
import type { Bench } from '../bench.ts';
import { inTurns } from '../figures/rounds.ts';
import { against, alone, type Figure } from '../figures/statistics.ts';
import { type BenchEngine, startBenchEngine } from '../ground/engine.ts';
import { type Latencies, oneByOne } from '../load/loops.ts';
import { must, post } from '../load/post.ts';
import { type Part, roundsTold } from '../part.ts';

/** The number of requests to one endpoint in a round. */
const REQUESTS = 40;
/** From this many deposits on, long fields without an index are shortened: the disk has no room for more. */
const LEAN_FROM = 1_000_000;

/** P13: the reading endpoints on databases of several sizes, in turns. */
export const growthPart: Part = {
  ids: ['P13'],
  seconds: { full: 1_200, quick: null },
  async measure(bench) {
    const grown: Grown[] = [];
    for (const deposits of bench.scale.growth) {
      // Steps of less than a second are not printed.
      const tell = (line: string) =>
        void (!line.includes(': 0.') && bench.tell(`rows of ${deposits} deposits, ${line}`));
      const fill = (url: string) => generateRows(url, { deposits, lean: deposits >= LEAN_FROM }, tell);
      const engine = await startBenchEngine(bench.servers, bench.built, bench.undo, { fill, worker: false });
      await bench.servers.settle();
      grown.push({ deposits, engine, paths: await endpointsOf(engine) });
    }
    try {
      return { P13: { figures: await compareSizes(bench, grown), notes: NOTES } };
    } finally {
      for (const { engine } of grown) {
        await engine.stop();
        await bench.servers.admin((client) => client.query(`drop database ${engine.database} with (force)`));
      }
    }
  },
};

const NOTES = [
  'Rows are generated (test/growth): more, relay queries, the audit and pruning are measured by npm run growth.',
];

interface Grown {
  readonly deposits: number;
  readonly engine: BenchEngine;
  /** Paths of the API, by the name of the read. */
  readonly paths: Readonly<Record<string, string>>;
}

async function compareSizes(bench: Bench, grown: readonly Grown[]): Promise<Record<string, Figure>> {
  const figures: Record<string, Figure> = {};
  const [least] = grown;
  for (const name of Object.keys(least!.paths)) {
    const read =
      ({ engine, paths }: Grown) =>
      () =>
        oneByOne(Array.from({ length: REQUESTS }), () =>
          must(post(`${engine.apiUrl}${paths[name]}`, '', { authorization: `Bearer ${engine.apiKey}` }, 'GET'), 200),
        );
    const contenders = Object.fromEntries(grown.map((one) => [`at ${one.deposits}`, read(one)]));
    const samples = await inTurns<string, Latencies>(contenders, bench.scale.rounds, roundsTold(bench, name));
    const p95 = ({ deposits }: Grown) => samples[`at ${deposits}`]!.map(({ p95Ms }) => p95Ms);
    for (const one of grown) {
      const point = `${name} at ${one.deposits.toLocaleString('en-US')}`;
      figures[point] = one === least ? alone(p95(one), 'ms') : against(p95(one), p95(least!), 'ms');
    }
  }
  return figures;
}

/** Returns one path of each endpoint, for a deposit in the middle. */
async function endpointsOf(engine: BenchEngine): Promise<Readonly<Record<string, string>>> {
  const { rows } = await engine.admin((client) =>
    client.query<{ n: string; wallet: string }>(
      `select external_order_number as n, wallet from engine.deposit where state = 'CREDITED'
        order by created_at limit 1 offset (select count(*) / 2 from engine.deposit)`,
    ),
  );
  const { n, wallet } = rows[0]!;
  return {
    'a deposit': `/v1/deposits/${n}`,
    'the newest deposits': '/v1/deposits?limit=50',
    'the newest credited': '/v1/deposits?state=CREDITED&limit=50',
    'a wallet’s deposits': `/v1/deposits?wallet=${wallet}`,
    'a wallet': `/v1/wallets/${wallet}`,
  };
}
