/** Why a mark is missed, and what is tried next. Read together with the CPU and the statements that the page shows. */
export interface Reason {
  readonly why: string;
  readonly next: string;
}

/** By the id of the target; every target that a committed run misses has one. */
export const REASONS: Readonly<Record<string, Reason>> = {
  P1: {
    why:
      'An empty workflow has no HTTP, no key, no signature and no row. A deposit has two requests, two signatures, a seal and ten statements, and all of ' +
      'that shares two cores with Temporal: more than half of its processor time is Temporal and the worker’s SDK, as it is of the floor.',
    next: 'Cores: API and PostgreSQL then no longer wait for Temporal. On one box, API and worker in one process with eager start.',
  },
  P2: {
    why: 'As P1: the naive flow stores no row, takes no callback and credits nothing. It costs three quarters of a deposit, most of it in Temporal.',
    next: 'As P1.',
  },
  P3: {
    why:
      'The bare endpoint writes one row. Ours verifies a signature and a capability, seals the message (Ed25519, with a MAC for the database), and one ' +
      'statement reads or writes seven tables before it answers. p99 is the moment at which a credit, a signal and a callback want the two cores at once.',
    next: 'The seal in a thread of its own; signals to Temporal out of another process than the one that acknowledges.',
  },
  P4: {
    why:
      'In a batch of sixteen a callback costs PostgreSQL 0.6 to 0.7 ms and the API 1.4 ms; the bare endpoint needs 0.3 ms and 0.5 ms. The checks are the ' +
      'difference, not round trips or commits. While Temporal runs it takes the cores for what was acknowledged before.',
    next: 'As P3. A second API process takes a second core.',
  },
  P5: {
    why: 'Before its workflow starts a create reserves its row, so that no crash loses an order number, and the placement is a call to the provider.',
    next: 'Eager start: the first task comes with the answer to the start, which needs API and worker in one process.',
  },
  P6: {
    why:
      'A bare INSERT writes one row. A posting writes a transaction, its lines, two balances, a slot and its share of a block, and hashes them; the clearing ' +
      'row and the chain let one batch commit at a time.',
    next: 'Several clearing accounts and chains ([scaling.md](../internals/scaling.md)), where one PostgreSQL is the wall.',
  },
  P8: {
    why:
      'Beside the replay an audit opens payloads, judges every payment again and compares some forty rows a history. Two processes share two cores with ' +
      'PostgreSQL and Temporal.',
    next: 'More cores: the parts of an audit share nothing.',
  },
  P9: {
    why: 'A cached deposit holds its settings, its order and a timer; the empty workflow holds nothing.',
    next: '`CACHED_WORKFLOWS` by the rule of [deployment.md](../guides/deployment.md): memory against replays.',
  },
  P10: {
    why: 'A worker loads the native core of the SDK and its bundle, and Temporal gives the tasks of the dead one away after their timeout.',
    next: 'A second worker, which is in the table.',
  },
  P11: {
    why: 'Packages and the Temporal server are downloaded through whatever network there is.',
    next: 'None: it is the network’s.',
  },
  P13: {
    why: 'At the fewest deposits everything is in the processor’s cache, so a millisecond more is twice as much. Pages read are the better guide ([growth](growth-measured.md)).',
    next: 'None while pages do not grow.',
  },
  P14: {
    why:
      'Two of ten round trips look up the API key at each request, so that a revoked key stops at once; two read the row and the seals again before money ' +
      'moves. Each statement of its own is a transaction of its own. The log is mostly index entries of seven tables. Archiving is one fetch and one write of ' +
      'a history, both through the SDK. In the run of this page tests ran beside it at the lowest priority; a quiet quick run gave 25.1 ms beyond the floor and ' +
      '8.7 ms of archiving.',
    next:
      'The key in the statement that reserves; the attempt begun by the statement that reads it. Both save a trip and move a check into SQL, so each needs ' +
      'the proof that 0014 and 0019 gave theirs.',
  },
  P15: {
    why:
      'Two workers halve the chance that a task finds its workflow in memory and double the idle polls, on the same two cores. In the run of this page tests ' +
      'ran beside it at the lowest priority; a quiet quick run gave 1.11.',
    next: 'None: with a core for each it is a gain.',
  },
  P16: { why: 'The two versions differ by less than their rounds do.', next: 'None.' },
};
