import pg from 'pg';
import { migrate } from '../../../database/schema/migrate.ts';
import { createPool } from '../../../database/pool.ts';
import { createCreditor, creditAll, type CreditItem, type CreditOutcome } from '../../../ledger/credit.ts';
import type { Bench } from '../bench.ts';
import { inTurns } from '../figures/rounds.ts';
import { against, type Figure } from '../figures/statistics.ts';
import { closedLoop } from '../load/loops.ts';
import { preparePostings } from '../load/postings.ts';
import { countFor } from '../scale.ts';
import { type Part, roundsTold } from '../part.ts';

/** The default number of a worker's connections. */
const CONNECTIONS = 20;
/** The divisor of the number of single postings: they are slow, and fewer suffice. */
const FEWER = 8;

/** Settings of WAL flushes: free, or with the disk's time plus one millisecond. */
const FLUSHES = {
  '': ['fsync = off', 'commit_delay = 0'],
  ', slow flush': ['fsync = on', 'commit_delay = 1000', 'commit_siblings = 0'],
} as const;

/** P6: the ledger's statement through the batcher and alone, and one bare row per call; in process, as in a worker. */
export const batcherPart: Part = {
  ids: ['P6'],
  seconds: { full: 400, quick: 35 },
  async measure(bench) {
    const { owner, worker, drop } = await openLedger(bench);
    const figures: Record<string, Figure> = {};
    try {
      for (const [flush, changes] of Object.entries(FLUSHES)) {
        await set(bench, changes);
        for (const callers of bench.scale.batcher.callers) {
          const count = countFor(bench.scale.batcher, callers);
          const credit = createCreditor(worker);
          const posted = async (posting: Promise<CreditOutcome | undefined>) => {
            const outcome = await posting;
            if (outcome?.outcome !== 'posted') throw new Error(`a posting was ${outcome?.outcome}`);
          };
          const postings =
            (many: number, one: (item: CreditItem) => Promise<CreditOutcome | undefined>) => async () => {
              const items = await preparePostings(owner, many);
              await owner.query('vacuum analyze engine.deposit, engine.callback, ledger.transaction, ledger.entry');
              return closedLoop(items, callers, (item) => posted(one(item)));
            };
          const { ours, insert, single } = await inTurns<'ours' | 'insert' | 'single', number>(
            {
              ours: postings(count, credit),
              insert: () =>
                closedLoop(Array.from({ length: count }), callers, () =>
                  owner.query('insert into public.bare (a) values ($1)', ['5000']),
                ),
              single: postings(Math.max(callers, Math.ceil(count / FEWER)), async (item) => {
                // A lane that meets another lane's lock retries, as the batcher does.
                for (;;) {
                  const [outcome] = await creditAll(worker, [item]);
                  if (outcome?.outcome !== 'busy') return outcome;
                }
              }),
            },
            bench.scale.rounds,
            roundsTold(bench, `postings, ${callers} callers${flush}`),
          );
          figures[`${callers}${flush}, INSERT`] = against(ours, insert, 'postings/s');
          figures[`${callers}${flush}, single`] = against(ours, single, 'postings/s');
        }
      }
    } finally {
      await set(bench, FLUSHES['']);
      await drop();
    }
    const notes = ['A slow flush is the disk’s own and a millisecond more (commit_delay); otherwise a flush is free.'];
    return { P6: { figures, notes } };
  },
};

const set = (bench: Bench, changes: readonly string[]): Promise<unknown> =>
  bench.servers.admin(async (client) => {
    for (const change of changes) await client.query(`alter system set ${change}`);
    await client.query('select pg_reload_conf()');
  });

/** Opens a database of the newest schema, without a key of the seals: postings are prepared by hand. */
async function openLedger(bench: Bench) {
  const database = 'ledger_alone';
  await bench.servers.admin((client) => client.query(`create database ${database}`));
  await bench.servers.admin(async (client) => {
    await migrate(client);
    await client.query('create table public.bare (id bigint generated always as identity primary key, a numeric)');
  }, database);
  const url = bench.servers.urlOf(database);
  const owner = new pg.Pool({ connectionString: url, max: CONNECTIONS });
  const worker = createPool({ url, role: 'app_worker', applicationName: 'bench', max: CONNECTIONS });
  const drop = async () => {
    await Promise.all([owner.end(), worker.end()]);
    await bench.servers.admin((client) => client.query(`drop database ${database} with (force)`));
  };
  return { owner, worker, drop };
}
