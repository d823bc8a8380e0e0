import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import type pg from 'pg';
import { describe, expect, it } from 'vitest';
import { registerSealKey } from '../../../database/queries/seal-macs.ts';
import { contentHash } from '../../../providers/content-hash.ts';
import { reserved, sentBefore } from '../../ledger/payments.ts';
import { paid } from '../../support/builders.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { insertReceived } from '../../support/messages/inbox.ts';
import { seal, testSealKey } from '../../support/seals.ts';

/**
 * The functions that save round trips do nothing that the functions they replace do not, with the same login and the
 * same arguments, however hostile these are.
 */

const db = await createTestDatabase();
await registerSealKey(db.owner, testSealKey);

/** The rows that either may write, without ids that a sequence gives and times that the clock gives. */
const ROWS = `select jsonb_build_object(
  'callback', (select jsonb_agg(to_jsonb(c) - array['id', 'uid', 'received_at', 'last_at'] order by c.id) from engine.callback c),
  'attempts', (select jsonb_agg(to_jsonb(a) - array['callback', 'at'] order by a.callback, a.n) from engine.callback_attempt a),
  'stamps', (select jsonb_agg(to_jsonb(s) - 'at' order by s.key_id, s.timestamp_ms, s.external_order_number) from engine.callback_stamp s),
  'own', (select jsonb_agg(to_jsonb(o) - array['at', 'reflected_at'] order by o.timestamp_ms) from engine.own_stamp o),
  'placements', (select jsonb_agg(to_jsonb(p) - array['started_at'] order by p.external_order_number, p.n) from engine.placement_attempt p),
  'deposits', (select jsonb_agg(to_jsonb(d) - array['bound_callback', 'placed_at', 'expires_at', 'listening_until', 'closed_at']
                                || jsonb_build_object('bound', d.bound_callback is not null, 'expires', d.expires_at is not null,
                                                      'closed', d.closed_at is not null) order by d.external_order_number) from engine.deposit d)) as rows`;

interface Done {
  readonly rows: unknown;
  /** The answer, or the code of the error. */
  readonly said: unknown;
}

/** Runs it as this login and undoes it. */
async function tried(role: string, work: (client: pg.PoolClient) => Promise<unknown>): Promise<Done> {
  const client = await db.owner.connect();
  try {
    await client.query('begin');
    await client.query(`set local role ${role}`);
    const said = await work(client).catch((error: { code?: string }) => {
      if (error.code === undefined) throw error as unknown as Error;
      return { refused: error.code };
    });
    if ((said as { refused?: string } | null)?.refused !== undefined) return { rows: null, said };
    await client.query('reset role');
    return { rows: (await client.query<{ rows: unknown }>(ROWS)).rows[0]!.rows, said };
  } finally {
    await client.query('rollback');
    client.release();
  }
}
const untouched = () => tried('app_api', () => Promise.resolve(null));

async function scene() {
  const [waiting, unsent, bound, final] = [
    await reserved(db.owner),
    await reserved(db.owner),
    await reserved(db.owner),
    await reserved(db.owner),
  ];
  for (const { externalOrderNumber } of [waiting, bound, final]) await sentBefore(db.owner, externalOrderNumber);
  const client = await db.owner.connect();
  const first = paid(bound);
  try {
    const { id } = await insertReceived(client, first, { receipt: 'first', reviewReason: null });
    await byHand(db.owner, 'update engine.deposit set bound_callback = $2 where external_order_number = $1', [
      bound.externalOrderNumber,
      id,
    ]);
  } finally {
    client.release();
  }
  await byHand(db.owner, `update engine.deposit set state = 'UNPAID' where external_order_number = $1`, [
    final.externalOrderNumber,
  ]);
  await byHand(db.owner, `insert into engine.own_stamp (key_id, timestamp_ms) values ('key', 1767225600000)`);
  return { orders: { waiting, unsent, bound, final }, first };
}
const { orders, first } = await scene();

const hex = (bytes: Buffer | null) => bytes && `\\x${bytes.toString('hex')}`;
const HUGE = '9223372036854775807';
/** Mostly what is usual, so that one hostile argument meets no other objection. */
const mostly = <T>(usual: T, ...others: readonly T[]) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constant(usual) },
    { weight: others.length, arbitrary: fc.constantFrom(...others) },
  );

describe('receive_firsts', () => {
  const call = fc.record({
    of: mostly<keyof typeof orders | 'another' | null>('waiting', 'unsent', 'bound', 'final', 'another', null),
    sealedFor: mostly<keyof typeof orders | 'of'>('of', 'bound', 'unsent'),
    content: mostly<'its' | 'any' | 'none'>('its', 'any', 'none'),
    says: mostly<unknown>('its', null, {}, 'text', { externalOrderNumber: 'o' }),
    key: mostly<string | null>('key', null, '', 'k'.repeat(40)),
    at: mostly<string | null>('now', '1767225600000', '-1', '0', HUGE, `-${HUGE}`, null),
    copies: mostly<string | null>('1', '0', '-1', '1000', '1001', '2147483647', null),
    age: mostly<string | null>('0', 'NaN', 'Infinity', '-Infinity', '1e308', null),
    sentBy: mostly<string | null>('now', 'Infinity', '-Infinity', 'NaN', '0', null),
    seal: mostly<'its' | 'empty' | 'none' | 'long'>('its', 'empty', 'none', 'long'),
    mac: mostly<'its' | 'any' | 'none'>('its', 'any', 'none'),
    sealedMs: mostly<string | null>('its', HUGE, '-1', null),
  });

  it('writes what receive or count_attempt writes from the same arguments, or nothing', async () => {
    const before = await untouched();
    const did: Record<string, number> = {};
    await fc.assert(
      fc.asyncProperty(call, async (one) => {
        const order = one.of === null ? null : one.of === 'another' ? 'o-another' : orders[one.of].externalOrderNumber;
        const asked = one.of === null || one.of === 'another' ? orders.waiting : orders[one.of];
        const data = one.of === 'bound' && one.at !== 'now' ? first : paid(asked);
        const says = one.says === 'its' ? data : one.says;
        const content = { its: contentHash(data), any: randomBytes(32), none: null }[one.content];
        const raw = Buffer.from(JSON.stringify(data));
        const now = Date.now();
        const at = one.at === 'now' ? String(now) : one.at;
        const stamp = { keyId: one.key ?? '', timestampMs: Number(at ?? 0) };
        const sealedOrder = one.sealedFor === 'of' ? (order ?? '') : orders[one.sealedFor].externalOrderNumber;
        const rawHash = createHash('sha256').update(raw).digest();
        const contentOf = content ?? Buffer.alloc(32);
        const its = seal({
          receipt: 'first',
          externalOrderNumber: sealedOrder,
          contentHash: contentOf,
          rawHash,
          stamp,
          sealedMs: now,
        });
        const signature = { its: its.signature, empty: Buffer.alloc(0), none: null, long: Buffer.alloc(5_000) }[
          one.seal
        ];
        const mac = { its: its.mac, any: randomBytes(32), none: null }[one.mac];
        const sealedMs = one.sealedMs === 'its' ? its.sealedMs : one.sealedMs;
        const sentBy = one.sentBy === 'now' ? now : one.sentBy;
        const said = JSON.stringify(says);
        const short = await tried('app_api', async (client) => {
          const { rows } = await client.query<{ did: string; id: string }>(
            'select did, (c).id from engine.receive_firsts($1)',
            [
              JSON.stringify([
                {
                  of_order: order,
                  content: hex(content),
                  says,
                  bytes: hex(raw),
                  by_key: one.key,
                  at_ms: at,
                  copies: one.copies,
                  age_ms: one.age,
                  sent_by_ms: sentBy,
                  by_seal: hex(signature),
                  by_seal_key: its.key,
                  at_sealed_ms: sealedMs,
                  by_mac: hex(mac),
                },
              ]),
            ],
          );
          return rows[0] ?? null;
        });
        const { refused, did: what, id } = (short.said ?? {}) as { refused?: string; did?: string; id?: string };
        const name = refused ?? what ?? 'nothing';
        did[name] = (did[name] ?? 0) + 1;
        const receive = () =>
          tried('app_api', (client) =>
            client.query('select from engine.receive($1, $2, $3, $4, $5, null, $6, $7, $8, $9, $10, $11, $12)', [
              order,
              content,
              said,
              raw,
              'first',
              one.key,
              at,
              one.copies,
              signature,
              its.key,
              sealedMs,
              mac,
            ]),
          );
        const long = {
          first: receive,
          repeat: () =>
            tried('app_api', (client) =>
              client.query('select engine.count_attempt($1, $2, $3, $4)', [id, one.key, at, one.copies]),
            ),
        }[what ?? ''];
        if (refused !== undefined) return;
        expect(short.rows).toEqual(long === undefined ? before.rows : (await long()).rows);
      }),
      { numRuns: 400, seed: 1, endOnFailure: true },
    );
    expect(Object.keys(did).toSorted()).toEqual(expect.arrayContaining(['first', 'nothing', 'P0E60', 'P0E61']));
  });
});

describe('conclude_attempt', () => {
  const said = fc.constantFrom<unknown>(
    { kind: 'placed', redirectUrl: 'https://pay.example/1', advertisementCode: 'A', providerTimeMs: null },
    { kind: 'placed' },
    { kind: 'placed', redirectUrl: null },
    { kind: 'closed', cause: 'NOT_SENT' },
    { kind: 'unknown', cause: 'x' },
    { kind: 'not_sent', cause: 'x' },
    { kind: 'refused', statusCode: 'X', message: 'x' },
    { kind: 'placed', redirectUrl: `https://pay.example/${'x'.repeat(40_000)}` },
    { kind: ['placed'] },
    'placed',
    [],
    null,
  );
  const state = fc.constantFrom('PLACING', 'PLACEMENT_UNKNOWN', 'AWAITING_PAYMENT', 'CREDITED', 'UNPAID');
  const n = mostly<string | null>('1', '0', '2', '-1', '2147483647', null);

  it('does what end_attempt and deposit_step do with the same arguments', async () => {
    const open = await reserved(db.owner);
    const number = open.externalOrderNumber;
    await sentBefore(db.owner, number);
    const kinds = new Set<string>();
    await fc.assert(
      fc.asyncProperty(
        state,
        fc.constantFrom(null, 'unknown'),
        fc.boolean(),
        n,
        said,
        async (now, outcome, its, at, told) => {
          await byHand(
            db.owner,
            'update engine.deposit set state = $2, redirect_url = null where external_order_number = $1',
            [number, now],
          );
          await byHand(
            db.owner,
            `update engine.placement_attempt set outcome = $2, answer = case when $2 = 'unknown' then '{"kind": "unknown"}'::jsonb end where external_order_number = $1`,
            [number, outcome],
          );
          const values = [its ? number : 'o-another', at, JSON.stringify(told)];
          const short = await tried('app_worker', async (client) => {
            const { rows } = await client.query('select stands from engine.conclude_attempt($1, $2, $3)', values);
            return rows[0]!.stands as unknown;
          });
          const long = await tried('app_worker', async (client) => {
            const { rows } = await client.query<{ stands: { kind?: unknown } | null }>(
              'select engine.end_attempt($1, $2, $3) as stands',
              values,
            );
            const { stands } = rows[0]!;
            if (stands?.kind === 'placed')
              await client.query(`select engine.deposit_step($1, 'AWAITING_PAYMENT')`, [values[0]]);
            return stands;
          });
          expect(short).toEqual(long);
          kinds.add(JSON.stringify((short.said as { kind?: unknown } | null)?.kind ?? short.said));
        },
      ),
      { numRuns: 200, seed: 1, endOnFailure: true },
    );
    expect(kinds.size).toBeGreaterThan(3);
  });
});
