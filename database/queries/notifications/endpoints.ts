import pg from 'pg';
import type { Secret } from '../../../config/keys/secret.ts';
import type { ApiCaller } from '../api-keys.ts';
import type { Db } from '../../pool.ts';

/** Where events are sent. Every change is made by the proof of a key that may (044-deliveries.sql). */

export interface EndpointRow {
  /** `ep_` and a number. */
  readonly id: string;
  readonly url: string;
  /** Null: every type. */
  readonly types: readonly string[] | null;
  /** Null: of every wallet. */
  readonly wallets: readonly string[] | null;
  readonly state: 'on' | 'off' | 'disabled';
  readonly signature: 'v1' | 'v1a';
  readonly publicKey: string | null;
  /** Until when the secret of before signs as well. */
  readonly previousSecretUntil: Date | null;
  readonly createdAt: Date;
  readonly failingSince: Date | null;
  /** Nothing is sent before. */
  readonly pausedUntil: Date | null;
}

const COLUMNS = `'ep_' || p.id as id, p.url, p.types, p.wallets, p.state, p.signature, p.public_key as "publicKey",
  case when p.before_until > clock_timestamp() then p.before_until end as "previousSecretUntil", p.created_at as "createdAt",
  p.failing_since as "failingSince", case when p.state = 'on' and p.resume_at > clock_timestamp() then p.resume_at end as "pausedUntil"`;

/** Those that keys of this name manage; of a key that is limited to wallets, those that are limited to these. */
const OWN = `p.owner = $1 and p.state <> 'deleted' and ($2::text[] is null or p.wallets <@ $2)`;
type Owner = Pick<ApiCaller, 'name' | 'wallets'>;

const numberOf = (id: string): string => id.slice('ep_'.length);

export async function listEndpoints(db: Db, { name, wallets }: Owner): Promise<EndpointRow[]> {
  const { rows } = await db.query<EndpointRow>(`select ${COLUMNS} from engine.endpoint p where ${OWN} order by p.id`, [
    name,
    wallets,
  ]);
  return rows;
}

/** The endpoint, or null: there is none, or it is another's. */
export async function findEndpoint(db: Db, { name, wallets }: Owner, id: string): Promise<EndpointRow | null> {
  const { rows } = await db.query<EndpointRow>(`select ${COLUMNS} from engine.endpoint p where ${OWN} and p.id = $3`, [
    name,
    wallets,
    numberOf(id),
  ]);
  return rows[0] ?? null;
}

/** The database refused: `gone`: there is no such endpoint, or not for this key; `full`: there are as many as may be. */
export class EndpointRefused extends Error {
  readonly code: 'gone' | 'full';
  constructor(code: 'gone' | 'full', options: ErrorOptions) {
    super(`endpoint refused: ${code}`, options);
    this.code = code;
  }
}

/** Secrets encrypted, by `notifications/endpoint-secrets.ts`. */
export interface SealedSecret {
  readonly sealed: Buffer;
  readonly publicKey: string | null;
}

export interface NewEndpoint extends SealedSecret {
  readonly url: string;
  readonly types: readonly string[] | null;
  readonly signature: 'v1' | 'v1a';
}

/** Makes an endpoint in the name of the key, with its limit to wallets. Returns its id. Throws {@link EndpointRefused}. */
export async function makeEndpoint(db: Db, proof: Secret, wanted: NewEndpoint): Promise<string> {
  const { url, types, signature, sealed, publicKey } = wanted;
  return `ep_${await asked(db, 'make_endpoint($1, $2, $3, $4, $5, $6)', [proof.reveal(), url, types, signature, sealed, publicKey])}`;
}

export interface EndpointChange {
  readonly url?: string | undefined;
  /** Null: every type. From now on. */
  readonly types?: readonly string[] | null | undefined;
  readonly enabled?: boolean | undefined;
}

/** Throws {@link EndpointRefused}. */
export async function changeEndpoint(db: Db, proof: Secret, id: string, change: EndpointChange): Promise<void> {
  const { url, types, enabled } = change;
  await asked(db, 'change_endpoint($1, $2, $3, $4, $5)', [
    proof.reveal(),
    numberOf(id),
    url ?? null,
    types === undefined ? null : (types ?? []),
    enabled ?? null,
  ]);
}

/** Gives it a new secret; that of before signs as well for so long. Throws {@link EndpointRefused}. */
export async function rotateEndpoint(
  db: Db,
  proof: Secret,
  id: string,
  { sealed, publicKey }: SealedSecret,
  overlapMs: number,
): Promise<void> {
  await asked(db, 'rotate_endpoint($1, $2, $3, $4, $5)', [proof.reveal(), numberOf(id), sealed, publicKey, overlapMs]);
}

/** Throws {@link EndpointRefused}. */
export async function deleteEndpoint(db: Db, proof: Secret, id: string): Promise<void> {
  await asked(db, 'delete_endpoint($1, $2)', [proof.reveal(), numberOf(id)]);
}

/** Sends the deliveries after one position, up to another, once more. Throws {@link EndpointRefused}. */
export async function redeliver(db: Db, proof: Secret, id: string, after: string, upTo: string): Promise<string> {
  return asked(db, 'redeliver($1, $2, $3, $4)', [proof.reveal(), numberOf(id), after, upTo]);
}

export interface RedeliveryRow {
  readonly id: string;
  readonly endpoint: string;
  readonly askedAt: Date;
  readonly askedBy: string;
  readonly doneAt: Date | null;
  /** When the last event that is done was published; null: none is. */
  readonly doneUpTo: Date | null;
  readonly upTo: Date;
}

/** How far a redelivery is; null: this endpoint has none of this number. */
export async function findRedelivery(db: Db, id: string, redelivery: string): Promise<RedeliveryRow | null> {
  const { rows } = await db.query<RedeliveryRow>(
    `select r.id::text, 'ep_' || r.endpoint as endpoint, r.asked_at as "askedAt", r.asked_by as "askedBy", r.done_at as "doneAt",
            case when r.position > r.after_position then d.published_at end as "doneUpTo", u.published_at as "upTo"
       from engine.redelivery r join engine.event u on u.position = r.upto_position left join engine.event d on d.position = r.position
      where r.endpoint = $1 and r.id = $2`,
    [numberOf(id), redelivery],
  );
  return rows[0] ?? null;
}

/** The position of an event, by its name, and the one before; null: the endpoint was not sent it. */
export async function deliveryPosition(db: Db, id: string, event: string): Promise<string | null> {
  const { rows } = await db.query<{ position: string }>(
    `select d.position::text from engine.delivery d
       join engine.event e on e.subject = d.subject and e.sequence = d.sequence join engine.event_body b on b.id = e.id and b.subject = e.subject
      where d.endpoint = $1 and d.subject = $2 and b.name = $3`,
    [numberOf(id), /^evt_(.+)_\d+(?::\d+)?$/.exec(event)?.[1] ?? '', event],
  );
  return rows[0]?.position ?? null;
}

/** The last position of the deliveries of an endpoint, and the last one that was given before a time. */
export async function positionsSince(
  db: Db,
  id: string,
  since: Date,
): Promise<{ readonly after: string; readonly upTo: string }> {
  const { rows } = await db.query<{ after: string; upTo: string }>(
    `select engine.position_since($2)::text as after, coalesce(max(d.position), 0)::text as "upTo" from engine.delivery d where d.endpoint = $1`,
    [numberOf(id), since],
  );
  return rows[0]!;
}

const REFUSALS: Readonly<Record<string, 'gone' | 'full'>> = { P0E70: 'gone', P0E71: 'full' };

async function asked(db: Db, call: string, values: unknown[]): Promise<string> {
  try {
    const { rows } = await db.query<{ said: string }>(`select engine.${call}::text as said`, values);
    return rows[0]!.said;
  } catch (error) {
    const refusal = error instanceof pg.DatabaseError ? REFUSALS[error.code ?? ''] : undefined;
    if (refusal === undefined) throw error;
    throw new EndpointRefused(refusal, { cause: error });
  }
}
