import type { Db } from '../../pool.ts';

/** The queue of the sender, and what merchants see of it (044-deliveries.sql, docs/reference/webhooks.md). */

/** A message to send now. It is this sender's for 30 seconds. */
export interface ClaimedDelivery {
  readonly attempt: string;
  readonly endpoint: string;
  readonly owner: string;
  readonly url: string;
  readonly signature: 'v1' | 'v1a';
  /** Encrypted. */
  readonly secret: Buffer;
  /** Signs as well; null: there is none, or its time is over. */
  readonly secretBefore: Buffer | null;
  /** `webhook-id`. */
  readonly name: string;
  readonly body: string;
  readonly isRedelivery: boolean;
}

/** Takes the next messages, and writes an attempt for each. */
export async function claimDeliveries(db: Db, atMost: number): Promise<ClaimedDelivery[]> {
  const { rows } = await db.query<ClaimedDelivery>(
    `select attempt::text, endpoint_id::text as endpoint, owner, url, signature, secret, secret_before as "secretBefore", name, body,
            is_redelivery as "isRedelivery" from engine.claim_deliveries($1)`,
    [atMost],
  );
  return rows;
}

/** What became of an attempt. Without a status there was no answer, and `fault` says why. */
export interface AttemptResult {
  readonly attempt: string;
  readonly status: number | null;
  readonly fault: string | null;
  readonly ms: number;
  readonly answer: string | null;
  /** The wait that the endpoint asked for. */
  readonly waitMs: number | null;
}

export interface EndpointAlarm {
  readonly endpoint: string;
  readonly alarm: 'endpoint_failing' | 'endpoint_disabled';
}

/** Records what became of attempts, and moves their lines. May be repeated. */
export async function settleDeliveries(db: Db, results: readonly AttemptResult[]): Promise<EndpointAlarm[]> {
  const { rows } = await db.query<EndpointAlarm>(
    `select 'ep_' || endpoint_id as endpoint, alarm from engine.settle_deliveries($1)`,
    [JSON.stringify(results)],
  );
  return rows;
}

/** Deletes what endpoints answered more than a week ago. Returns how many answers. */
export async function forgetAnswers(db: Db, atMost: number): Promise<number> {
  const { rows } = await db.query<{ forgotten: number }>(
    `select engine.forget_answers(interval '7 days', $1) as forgotten`,
    [atMost],
  );
  return rows[0]!.forgotten;
}

/** For how many milliseconds the oldest message waits that nothing holds up; 0: none does. */
export async function findLateDeliveriesMs(db: Db): Promise<number> {
  const { rows } = await db.query<{ ms: number }>(
    'select coalesce(extract(epoch from engine.deliveries_late()) * 1000, 0)::int as ms',
  );
  return rows[0]!.ms;
}

export interface DeliveryRow {
  readonly event: string;
  readonly type: string;
  readonly externalOrderNumber: string | null;
  readonly sequence: number;
  readonly endpoint: string;
  readonly position: string;
  readonly outcome: 'delivered' | 'given_up' | null;
  readonly publishedAt: Date;
  readonly settledAt: Date | null;
  readonly attempts: readonly DeliveryAttempt[];
}

export interface DeliveryAttempt {
  readonly at: string;
  readonly redelivery: boolean;
  readonly status: number | null;
  readonly fault: string | null;
  readonly ms: number | null;
  readonly answer: string | null;
}

export interface DeliveryFilter {
  readonly endpoint: string;
  readonly delivered?: boolean | undefined;
  readonly deposit?: string | undefined;
  /** After this position. */
  readonly after: string;
  readonly limit: number;
}

const ATTEMPTS = (answer: string) => `coalesce((
  select jsonb_agg(jsonb_build_object('at', to_char(t.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'redelivery', t.redelivery is not null,
                                      'status', t.status, 'fault', t.fault, 'ms', t.ms${answer}) order by t.id)
    from (select x.* from engine.delivery_attempt x where x.subject = d.subject and x.endpoint = d.endpoint and x.sequence = d.sequence order by x.id desc limit 50) t), '[]')`;

/** Deliveries of one endpoint in the order of their events. */
export async function listDeliveries(
  db: Db,
  { endpoint, delivered, deposit, after, limit }: DeliveryFilter,
): Promise<{ readonly items: readonly DeliveryRow[]; readonly end: string | null }> {
  const values: unknown[] = [endpoint, after, limit + 1];
  const where = ['d.endpoint = $1', 'd.position > $2'];
  if (delivered === true) where.push(`d.outcome = 'delivered'`);
  if (delivered === false) where.push(`d.outcome is distinct from 'delivered'`);
  if (deposit !== undefined) where.push(`d.subject = $${values.push(deposit)}`);
  const { rows } = await db.query<DeliveryRow>(
    `select b.name as event, e.type, case when e.subject ~ ':' then null else e.subject end as "externalOrderNumber", e.sequence, 'ep_' || d.endpoint as endpoint,
            d.position::text, d.outcome, e.published_at as "publishedAt", d.settled_at as "settledAt", ${ATTEMPTS(`, 'answer', t.answer`)} as attempts
       from (select d.* from engine.delivery d where ${where.join(' and ')} order by d.position limit $3) d
       join engine.event e on e.subject = d.subject and e.sequence = d.sequence
       join engine.event_body b on b.id = e.id and b.subject = e.subject
      order by d.position`,
    values,
  );
  const items = rows.slice(0, limit);
  return { items, end: rows.length > limit ? items.at(-1)!.position : null };
}

export interface DeliveryEvidence extends Pick<DeliveryRow, 'event' | 'type' | 'endpoint' | 'outcome' | 'settledAt'> {
  readonly attempts: readonly Omit<DeliveryAttempt, 'answer'>[];
}

/** Every delivery of a deposit's events to endpoints, without what they answered: that is their owners' alone. */
export async function deliveriesOf(db: Db, externalOrderNumber: string): Promise<DeliveryEvidence[]> {
  const { rows } = await db.query<DeliveryEvidence>(
    `select b.name as event, e.type, 'ep_' || d.endpoint as endpoint, d.outcome, d.settled_at as "settledAt", ${ATTEMPTS('')} as attempts
       from engine.delivery d join engine.event e on e.subject = d.subject and e.sequence = d.sequence join engine.event_body b on b.id = e.id and b.subject = e.subject
      where d.subject = $1 order by d.endpoint, d.sequence limit 1000`,
    [externalOrderNumber],
  );
  return rows;
}
