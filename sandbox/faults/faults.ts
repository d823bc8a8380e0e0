import type pg from 'pg';
import { ATTEMPT_FAULTS, type AttemptEffect } from './attempt-faults.ts';
import { inTransaction, type Queryable } from '../database.ts';
import { record } from '../event-log.ts';
import type { FaultKind } from './fault-kind.ts';
import { FAULT_TITLES } from './fault-titles.ts';
import { PLACEMENT_FAULTS, type PlacementEffect } from './placement-faults.ts';
import { RELEASE_FAULTS, type ReleaseEffect } from './release-faults.ts';

/** An armed fault: for any order, or for the orders of one external order number. */
export interface Fault {
  readonly id: number;
  /** `global` or an external order number. */
  readonly scope: string;
  readonly kind: string;
  readonly params: unknown;
  /** How many times it still acts; null: until it is removed. */
  readonly remaining: number | null;
}

const skewOfAttempt: FaultKind<AttemptEffect> = {
  ...PLACEMENT_FAULTS.clockSkew,
  parse: (params) => PLACEMENT_FAULTS.clockSkew.parse(params),
  effect: (params) => ({ stampOffsetMs: PLACEMENT_FAULTS.clockSkew.effect(params).skewMs ?? 0 }),
};

/** The three moments at which faults act. A new kind is a new row in one of these tables. */
const PLACEMENT: Readonly<Record<string, FaultKind<PlacementEffect>>> = PLACEMENT_FAULTS;
const RELEASE: Readonly<Record<string, FaultKind<ReleaseEffect>>> = RELEASE_FAULTS;
const ATTEMPT: Readonly<Record<string, FaultKind<AttemptEffect>>> = { ...ATTEMPT_FAULTS, clockSkew: skewOfAttempt };

const ALL: ReadonlyMap<string, FaultKind<unknown>> = new Map(Object.entries({ ...ATTEMPT, ...RELEASE, ...PLACEMENT }));

/** One kind of fault, for people and forms. */
export interface FaultCatalogueEntry {
  readonly kind: string;
  /** The event in a few words. */
  readonly title: string;
  /** When it acts. `clockSkew` acts at placements and attempts and is listed with the placements. */
  readonly moment: 'placement' | 'release' | 'attempt';
  /** JSON Schema of the parameters; every parameter that is not required has a default. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly description: string;
}

const entries = (moment: FaultCatalogueEntry['moment'], table: Readonly<Record<string, FaultKind<unknown>>>) =>
  Object.entries(table).map(([kind, { params, description }]): FaultCatalogueEntry => {
    const title = FAULT_TITLES[kind as keyof typeof FAULT_TITLES];
    return { kind, title, moment, params, description };
  });

/** The whole menu. */
export const FAULT_CATALOGUE: readonly FaultCatalogueEntry[] = [
  ...entries('placement', PLACEMENT),
  ...entries('release', RELEASE),
  ...entries('attempt', ATTEMPT_FAULTS),
];

export const FAULT_KINDS: readonly string[] = [...ALL.keys()];

/** Returns the kind of that name, else undefined. Its `parse` throws a ZodError for invalid parameters. */
export const faultKind = (name: string): FaultKind<unknown> | undefined => ALL.get(name);

/** Stores a fault of a known kind, with parameters that the kind has parsed. */
export async function addFault(pool: pg.Pool, fault: Omit<Fault, 'id'>): Promise<Fault> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<Fault>(
      `INSERT INTO sandbox.fault (scope, kind, params, remaining) VALUES ($1, $2, $3, $4)
       RETURNING id, scope, kind, params, remaining`,
      [fault.scope, fault.kind, JSON.stringify(fault.params), fault.remaining],
    );
    const added = rows[0]!;
    const { id, scope, kind, remaining } = added;
    await record(client, 'fault.added', scope === 'global' ? null : scope, { faultId: id, kind, remaining });
    return added;
  });
}

/** Lists the faults that can still act. */
export async function listFaults(pool: pg.Pool): Promise<Fault[]> {
  const { rows } = await pool.query<Fault>(
    `SELECT id, scope, kind, params, remaining FROM sandbox.fault WHERE remaining IS NULL OR remaining > 0 ORDER BY id`,
  );
  return rows;
}

/** Removes the fault of that id, or all faults; returns their number. */
export async function removeFaults(pool: pg.Pool, id: number | null): Promise<number> {
  return inTransaction(pool, async (client) => {
    const { rowCount } = await client.query('DELETE FROM sandbox.fault WHERE $1::integer IS NULL OR id = $1', [id]);
    await record(client, 'fault.removed', null, { faultId: id, removed: rowCount ?? 0 });
    return rowCount ?? 0;
  });
}

/**
 * Takes every fault of the table that is armed for this order or for all. Each caller takes a counted fault once. A row
 * lock keeps concurrent callers from taking it more often than its count.
 */
async function draw<Effect>(
  on: Queryable,
  table: Readonly<Record<string, FaultKind<Effect>>>,
  orderNumber: string | null,
): Promise<{ readonly kinds: readonly string[]; readonly effects: readonly Effect[] }> {
  const { rows } = await on.query<Fault>(
    `WITH counted AS (
       UPDATE sandbox.fault SET remaining = remaining - 1
       WHERE kind = ANY ($1) AND scope = ANY ($2) AND remaining > 0
       RETURNING id, kind, params
     ), applied AS (
       SELECT * FROM counted
       UNION ALL
       SELECT id, kind, params FROM sandbox.fault WHERE kind = ANY ($1) AND scope = ANY ($2) AND remaining IS NULL
     ), logged AS (
       INSERT INTO sandbox.event (kind, external_order_number, detail)
       SELECT 'fault.applied', $3::text, jsonb_build_object('faultId', id, 'kind', kind) FROM applied ORDER BY id
     )
     SELECT * FROM applied ORDER BY id`,
    [Object.keys(table), orderNumber === null ? ['global'] : ['global', orderNumber], orderNumber],
  );
  return {
    kinds: rows.map((fault) => fault.kind),
    effects: rows.map((fault) => table[fault.kind]!.effect(fault.params)),
  };
}

export const drawPlacementFaults = (on: Queryable, orderNumber: string | null) => draw(on, PLACEMENT, orderNumber);
export const drawReleaseFaults = (on: Queryable, orderNumber: string) => draw(on, RELEASE, orderNumber);
export const drawAttemptFaults = (on: Queryable, orderNumber: string) => draw(on, ATTEMPT, orderNumber);
