import type pg from 'pg';
import { type SignatureTrust, operatorKeyOf } from '../../config/keys/operator-keys.ts';
import type { SignedStep } from '../../domain/signed-step.ts';
import type { Db } from '../pool.ts';

/** A step with everything that its signature covers, as the tables have it. */
interface SignedRow {
  readonly id: string;
  readonly operator: string;
  readonly said: Omit<SignedStep, 'nonce' | 'proposalSignature'>;
  readonly proposal_signature: Buffer | null;
  readonly signature: Buffer | null;
  readonly signer_key: string | null;
  readonly nonce: Buffer | null;
}

/**
 * Only a credit has a wallet that gets the money: that of the named deposit, or of the one that the callback claims. A
 * step whose callback is missing is included, too: nobody can have signed it.
 */
const SIGNED_STEPS = `
  select s.id, s.operator, s.signature, s.signer_key, s.nonce, case when p.id <> s.id then p.signature end as proposal_signature,
         jsonb_build_object(
           'step', s.step, 'case', s.workflow_id, 'contentHash', encode(c.content_hash, 'hex'), 'amount', c.data->>'transactionAmount',
           'proposed', jsonb_build_object(
             'operator', p.operator, 'decision', p.decision, 'reason', p.reason, 'keep', p.keep, 'toDeposit', p.to_deposit,
             'wallet', case when p.decision = 'credit' then
               (select d.wallet from engine.deposit d where d.external_order_number = coalesce(p.to_deposit, c.external_order_number)) end,
             'beside', p.beside::text, 'onlyOrdered', p.only_ordered),
           'reason', case when s.step = 'withdraw' then s.reason end,
           'facts', case when f.decision is not null then jsonb_build_object(
             'transactionCode', f.transaction_code, 'amount', trim_scale(f.amount)::text, 'currencyCode', f.currency_code,
             'paymentPrice', trim_scale(f.payment_price)::text, 'statementLine', f.statement_line) end) as said
    from engine.decision s left join engine.callback c on c.id = s.callback
    left join engine.decision p on p.id = coalesce(s.proposal, s.id)
    left join engine.stated_facts f on f.decision = s.id`;

/** Returns why a step is not one that its operator signed; null: it is. */
function faultOf({ keys }: SignatureTrust, row: SignedRow): string | null {
  if (row.signature === null) return `${row.operator} has not signed it`;
  const step = {
    ...row.said,
    proposalSignature: row.proposal_signature?.toString('base64url') ?? null,
    nonce: row.nonce!.toString('base64url'),
  };
  const signer = operatorKeyOf(keys, row.operator, step, row.signature);
  if (signer === null) return `its signature is not one of ${row.operator}'s over this step`;
  return signer === row.signer_key ? null : `signed with the key ${signer}, and ${row.signer_key} is written down`;
}

/**
 * Returns the first of these steps that its operator has not signed, in words; null: each is signed. A step that cannot
 * be seen counts as not signed. It may be there a moment later, because its writer decides when to commit.
 */
export async function unsignedAmong(db: Db, trust: SignatureTrust, ids: readonly string[]): Promise<string | null> {
  const { rows } = await db.query<SignedRow>(`${SIGNED_STEPS} where s.id = any($1::bigint[])`, [ids]);
  for (const id of ids) {
    const row = rows.find((found) => found.id === id);
    const fault = row === undefined ? 'it is not written down' : faultOf(trust, row);
    if (fault !== null) return `step ${id}: ${fault}`;
  }
  return null;
}

/** Ids below 1 are up to nothing: the sequence makes none. */
const isUpTo = (id: string, last: string): boolean => BigInt(id) > 0n && BigInt(id) <= BigInt(last);

/**
 * Returns every step that is wrong. Its signature does not verify; or it has none although signatures are required, and
 * is younger than the step `after`.
 */
export async function findUnsigned(
  db: Db,
  trust: SignatureTrust,
  after: string,
  batch: number,
): Promise<{ readonly id: string; readonly fault: string }[]> {
  const wrong: { id: string; fault: string }[] = [];
  for (let from: string | null = null; ; ) {
    const { rows }: pg.QueryResult<SignedRow> = await db.query(
      `${SIGNED_STEPS} where $1::bigint is null or s.id > $1 order by s.id limit $2`,
      [from, batch],
    );
    for (const row of rows) {
      if (row.signature === null && (!trust.required || isUpTo(row.id, after))) continue;
      const fault = faultOf(trust, row);
      if (fault !== null) wrong.push({ id: row.id, fault });
    }
    if (rows.length < batch) return wrong;
    from = rows.at(-1)!.id;
  }
}
