import pg from 'pg';

/** A message to PostgreSQL with its response: the unit of cost on a slow network. */
export interface Trip {
  /** The connection's `application_name`. */
  readonly by: string;
  readonly text: string;
  /** PostgreSQL had to parse and plan the text: it has no name, or its connection sent it for the first time. */
  readonly isPlanned: boolean;
  /** A transaction ended with it. */
  readonly isLast: boolean;
  /** Statements executed for it, including those of functions and triggers; reported by auto_explain. */
  readonly statements: number;
}

/** The driver's internal connection; its types leave it out. */
interface Connection {
  query: (this: Connection, text: string) => void;
  parse: (this: Connection, message: { readonly text: string; readonly name?: string }, ...more: unknown[]) => void;
  bind: (this: Connection, message: { readonly statement?: string }, ...more: unknown[]) => void;
  on(event: 'readyForQuery', heard: (message: { readonly status: string }) => void): void;
}
type Connectable = pg.Client & {
  readonly connection: Connection;
  readonly connectionParameters: { readonly application_name: string };
};

/**
 * Counts the round trips of connections that are opened from now on, by the server's responses. PostgreSQL sends
 * ReadyForQuery once for each trip, with its transaction state. `take` returns the trips since its last call.
 */
export function countTrips(): { readonly take: () => Trip[]; readonly stop: () => void } {
  let trips: Trip[] = [];
  const original = Reflect.get(pg.Client.prototype, 'connect') as (...given: unknown[]) => unknown;
  const connect = function (this: Connectable, ...given: unknown[]) {
    watch(this, (trip) => trips.push(trip));
    return original.apply(this, given);
  };
  Object.assign(pg.Client.prototype, { connect });
  return {
    take() {
      const taken = trips;
      trips = [];
      return taken;
    },
    stop: () => void Object.assign(pg.Client.prototype, { connect: original }),
  };
}

function watch(client: Connectable, tell: (trip: Trip) => void): void {
  const { connection, connectionParameters } = client;
  const own = { query: connection.query, parse: connection.parse, bind: connection.bind };
  const named = new Map<string, string>();
  let sent: Pick<Trip, 'text' | 'isPlanned'> | null = null;
  let statements = 0;
  const watched: Pick<Connection, 'query' | 'parse' | 'bind'> = {
    query(text) {
      sent = { text, isPlanned: true };
      own.query.call(connection, text);
    },
    parse(message, ...more) {
      sent = { text: message.text, isPlanned: true };
      if (message.name !== undefined) named.set(message.name, message.text);
      own.parse.call(connection, message, ...more);
    },
    bind(message, ...more) {
      sent ??= { text: named.get(message.statement ?? '') ?? '', isPlanned: false };
      own.bind.call(connection, message, ...more);
    },
  };
  Object.assign(connection, watched);
  client.on('notice', ({ message }) => {
    if (/^duration: [0-9.]+ ms {2}plan:\n/.test(message ?? '')) statements += 1;
  });
  connection.on('readyForQuery', ({ status }) => {
    // Nothing was sent since the login.
    if (sent !== null) tell({ by: connectionParameters.application_name, ...sent, isLast: status === 'I', statements });
    sent = null;
    statements = 0;
  });
}

/** The subject of a statement, in short: the function that it calls, or its first word and its table. */
export function nameOf(text: string): string {
  const called = /\b(?:engine|ledger)\.\w+(?=\(\$)/.exec(text)?.[0];
  if (called !== undefined) return `${called}()`;
  const verb = /^\s*(\w+)/.exec(text)?.[1]?.toLowerCase() ?? '';
  const table =
    /^\s*from ((?:engine|ledger)\.\w+)/m.exec(text)?.[1] ??
    /\b(?:from|into|update) ((?:engine|ledger)\.\w+)/.exec(text)?.[1];
  return table === undefined ? text.replaceAll(/\s+/g, ' ').trim().slice(0, 40) : `${verb} ${table}`;
}
