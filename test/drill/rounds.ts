import { execFileSync } from 'node:child_process';
import { appendFileSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Piece, Stage } from './stage.ts';

/** One fault in one piece, and the responses that callers may get during it. */
export interface Round {
  readonly name: string;
  /** The piece that the drill ends; every other must survive. */
  readonly ends: keyof Stage['pieces'] | null;
  /** The API, or the provider that calls it, is away for a while: connections to it may fail. */
  readonly mayLoseConnections: boolean;
  /** `/readyz` has to report not ready during it. */
  readonly unready: boolean;
  /** Begins it, and returns a function that ends it. */
  hit(stage: Stage): Promise<() => Promise<void>>;
}

/** The minimal duration of a fault, in ms. */
export const LASTS_MS = 4_000;
const CUTS = 8;
const CUT_EVERY_MS = 150;
const PROCESSES = ['api', 'worker', 'sandbox'] as const;
const SERVERS = ['postgres', 'temporal'] as const;
/** The application names of each process's connections in PostgreSQL. */
const APPLICATIONS = {
  api: ['deposit-api%'],
  worker: ['deposit-worker', 'deposit-decisions'],
  sandbox: ['sandbox'],
} as const;

const nothing = async () => undefined;

const ended = (piece: Piece, how: 'kill' | 'stop') => async () => {
  await piece.end(how);
  return () => piece.start();
};

/** Cuts connections again and again, because cut ones are replaced at once. */
async function cut(stage: Stage, like: readonly string[]): Promise<() => Promise<void>> {
  let count = 0;
  await stage.admin(async (client) => {
    for (let i = 0; i < CUTS; i += 1) {
      const { rowCount } = await client.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and application_name like any($1)',
        [like],
      );
      count += rowCount ?? 0;
      await sleep(CUT_EVERY_MS);
    }
  });
  if (count === 0) throw new Error('no connection was cut');
  return nothing;
}

/** A server's own children continue when only it is stopped. */
const signalAll = (pid: number, signal: NodeJS.Signals) => {
  for (const one of [pid, ...childrenOf(pid)]) {
    try {
      process.kill(one, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
};

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return Number(readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[1]) === parent;
      } catch {
        return false;
      }
    })
    .map(Number);
}

const frozen = (piece: Piece) => async () => {
  const pid = piece.pid();
  signalAll(pid, 'SIGSTOP');
  return async () => signalAll(pid, 'SIGCONT');
};

const setting = (sql: readonly string[], undo: readonly string[]) => async (stage: Stage) => {
  const run = (statements: readonly string[]) =>
    stage.admin(async (client) => {
      for (const statement of statements) await client.query(statement);
    });
  await run(sql);
  return () => run(undo);
};

/** Tables that grow with payments. */
const TABLES = ['engine.callback', 'engine.deposit', 'engine.placement_attempt', 'ledger.transaction'];

/** Moves these tables to a disk of their own and fills it to the last byte. Only root can mount one. */
async function full(stage: Stage): Promise<() => Promise<void>> {
  const disk = mkdtempSync(join(tmpdir(), 'deposit-engine-disk-'));
  const filler = join(disk, 'filler');
  const move = (to: string) =>
    stage.admin(async (client) => {
      for (const table of TABLES) await client.query(`alter table ${table} set tablespace ${to}`);
    });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', disk]);
  await stage.admin(async (client) => {
    const { rows } = await client.query<{ path: string }>(
      `select setting as path from pg_settings where name = 'data_directory'`,
    );
    const { uid, gid } = statSync(rows[0]!.path);
    chownSync(disk, uid, gid);
    await client.query(`create tablespace small location '${disk}'`);
  });
  await move('small');
  // The existing pages, the last one included, get no free space: every further row needs another page.
  await stage.admin(async (client) => {
    for (const table of TABLES) {
      await client.query(`vacuum full ${table}`);
      await client.query(`alter table ${table} set (fillfactor = 10)`);
    }
  });
  for (const size of [1 << 20, 1 << 12, 1]) {
    try {
      for (;;) appendFileSync(filler, Buffer.alloc(size));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
  return async () => {
    rmSync(filler);
    await move('pg_default');
    await stage.admin(async (client) => {
      for (const table of TABLES) await client.query(`alter table ${table} reset (fillfactor)`);
      await client.query('drop tablespace small');
    });
    execFileSync('umount', [disk]);
    rmSync(disk, { recursive: true });
  };
}

/**
 * Stands in for a full disk where none can be mounted: PostgreSQL itself raises 53100 at every change of these tables.
 */
const FILL = [
  `create or replace function public.disk_full() returns trigger language plpgsql as $$ begin
     raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$`,
  ...TABLES.map(
    (table) =>
      `create trigger disk_full before insert or update on ${table} for each row execute function public.disk_full()`,
  ),
];
const EMPTY = TABLES.map((table) => `drop trigger disk_full on ${table}`);

const CAN_MOUNT = process.platform === 'linux' && process.getuid?.() === 0;

export const ROUNDS: readonly Round[] = [
  {
    name: 'postgres:cut',
    ends: null,
    mayLoseConnections: false,
    unready: false,
    hit: (stage) => cut(stage, Object.values(APPLICATIONS).flat()),
  },
  {
    name: 'postgres:read-only',
    ends: null,
    mayLoseConnections: false,
    unready: true,
    hit: setting(
      ['alter system set default_transaction_read_only = on', 'select pg_reload_conf()'],
      ['alter system reset default_transaction_read_only', 'select pg_reload_conf()'],
    ),
  },
  ...(CAN_MOUNT ? [{ name: 'postgres:full', ends: null, mayLoseConnections: false, unready: true, hit: full }] : []),
  { name: 'postgres:fill', ends: null, mayLoseConnections: false, unready: true, hit: setting(FILL, EMPTY) },
  ...SERVERS.flatMap((name): Round[] => [
    {
      name: `${name}:kill`,
      ends: name,
      mayLoseConnections: false,
      unready: name === 'postgres',
      hit: ({ pieces }) => ended(pieces[name], 'kill')(),
    },
    {
      name: `${name}:freeze`,
      ends: null,
      mayLoseConnections: false,
      unready: false,
      hit: ({ pieces }) => frozen(pieces[name])(),
    },
    {
      name: `${name}:restart`,
      ends: name,
      mayLoseConnections: false,
      unready: name === 'postgres',
      hit: ({ pieces }) => ended(pieces[name], 'stop')(),
    },
  ]),
  ...PROCESSES.flatMap((name): Round[] => {
    const gone = name !== 'worker';
    return [
      {
        name: `${name}:cut`,
        ends: null,
        mayLoseConnections: false,
        unready: false,
        hit: (stage) => cut(stage, APPLICATIONS[name]),
      },
      {
        name: `${name}:kill`,
        ends: name,
        mayLoseConnections: gone,
        unready: false,
        hit: ({ pieces }) => ended(pieces[name], 'kill')(),
      },
      {
        name: `${name}:freeze`,
        ends: null,
        mayLoseConnections: gone,
        unready: false,
        hit: ({ pieces }) => frozen(pieces[name])(),
      },
      {
        name: `${name}:restart`,
        ends: name,
        mayLoseConnections: gone,
        unready: false,
        hit: ({ pieces }) => ended(pieces[name], 'stop')(),
      },
    ];
  }),
];
