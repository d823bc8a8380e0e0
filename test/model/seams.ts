import type pg from 'pg';

/** Pools with faults of the real world. The code under test is the real one; only its pool differs. */

type Queries = (...args: readonly unknown[]) => Promise<pg.QueryResult>;

const poolOf = (connect: () => Promise<pg.PoolClient>): pg.Pool =>
  ({ connect, options: { max: 1 } }) as unknown as pg.Pool;

/** The same connection, with every statement passing through `query`. */
const through = (client: pg.PoolClient, query: Queries): pg.PoolClient =>
  new Proxy(client, {
    get: (target, name) => {
      if (name === 'query') return query;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });

const lost = () => Object.assign(new Error('connection lost'), { code: 'ECONNRESET' });

/** A worker that is killed after so many transactions. */
export function killedAfter(pool: pg.Pool, transactions: number): pg.Pool {
  let left = transactions;
  return poolOf(async () => {
    if (left-- <= 0) throw lost();
    return pool.connect();
  });
}

/** The connection breaks at that statement, before it is sent or before its response arrives. */
export function cutAt(pool: pg.Pool, statement: number, before: boolean): pg.Pool {
  let left = statement;
  return poolOf(async () => {
    const client = await pool.connect();
    const query: Queries = async (...args) => {
      left -= 1;
      if (left < 0 || (left === 0 && before)) throw lost();
      const result = await (client.query as unknown as Queries)(...args);
      if (left === 0) throw lost();
      return result;
    };
    return through(client, query);
  });
}

/**
 * Transactions inside one that its owner will roll back: each is a savepoint. It is never released: a waiter for a
 * released one waits for the whole transaction, even after a rollback to an earlier savepoint.
 */
export function within(client: pg.PoolClient): pg.Pool {
  const instead: Readonly<Record<string, string>> = {
    begin: 'savepoint inner_one',
    commit: 'select',
    rollback: 'rollback to savepoint inner_one',
  };
  const query: Queries = async (...args) => {
    const given = args.length === 1 ? [instead[String(args[0])] ?? args[0]] : args;
    const result = await (client.query as unknown as Queries)(...given);
    // Of a failed transaction PostgreSQL refuses even the `select`.
    return args[0] === 'commit' ? { ...result, command: 'COMMIT' } : result;
  };
  const inner = new Proxy(through(client, query), {
    get: (target, name) => (name === 'release' ? () => undefined : (Reflect.get(target, name) as unknown)),
  });
  return poolOf(async () => inner);
}
