import type pg from 'pg';
import { sha256 } from '../../archive/canonical-history.ts';
import { creditAll } from '../../ledger/credit.ts';
import { contentHash } from '../../providers/content-hash.ts';
import { order as buildOrder, paid, settings } from '../support/builders.ts';
import { seal } from '../support/seals.ts';

const BATCH = 500;

/**
 * Many credits at once, by the ledger's own function, without histories: deposit, sealed callback, posting, archive
 * row. Of every hundred one is reversed into suspense, and half of those are released again. Returns the order numbers.
 */
export async function makeCredits(owner: pg.Pool, worker: pg.Pool, count: number): Promise<string[]> {
  const numbers: string[] = [];
  for (let from = 0; from < count; from += BATCH) {
    const made = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => {
      const n = from + i;
      const mtcAmount = n % 7 === 0 ? `${100 + n}.0625` : String(100 + n);
      const order = buildOrder({ wallet: `w-${n % 300}`, mtcAmount });
      const data = paid(order, { transactionAmount: mtcAmount, paymentPrice: String((100 + n) * 7) });
      const raw = `{"signature":"[signature]","timestamp":${n},"data":${JSON.stringify(data)}}`;
      const hash = contentHash(data);
      const facts = { receipt: 'first' as const, externalOrderNumber: order.externalOrderNumber, contentHash: hash };
      const sealed = seal({ ...facts, rawHash: sha256(raw), stamp: null, sealedMs: Date.now() });
      return { order, data, raw, hash: hash.toString('hex'), seal: sealed.signature.toString('hex'), key: sealed.key };
    });
    numbers.push(...made.map(({ order }) => order.externalOrderNumber));
    const inbox = await insert(owner, JSON.stringify(made));
    await creditAll(
      worker,
      made.map(({ order, data }) => ({
        inboxId: inbox.get(order.externalOrderNumber)!,
        deposit: order.externalOrderNumber,
        wallet: order.wallet,
        transactionCode: data.transactionCode,
        amount: data.transactionAmount,
        currencyCode: data.currencyCode,
        paymentPrice: data.paymentPrice,
        late: false,
        workflowId: `deposit:${order.externalOrderNumber}`,
      })),
    );
    await owner.query(
      `select engine.append_archive(d.id, gen_random_uuid()::text, 'deposit', 'COMPLETED', clock_timestamp(), 14, sha256(convert_to(d.id, 'UTF8')), null, 'none', 'test')
         from (select 'deposit:' || n as id from unnest($1::text[]) n) d`,
      [made.map(({ order }) => order.externalOrderNumber)],
    );
  }
  const taken = numbers.filter((_, n) => n % 100 === 50);
  await moveAll(owner, 'reverse', taken);
  await moveAll(
    owner,
    'release',
    taken.filter((_, n) => n % 2 === 0),
  );
  return numbers;
}

async function insert(owner: pg.Pool, made: string): Promise<ReadonlyMap<string, string>> {
  const client = await owner.connect();
  try {
    await client.query('begin');
    await client.query('set local session_replication_role = replica');
    await client.query(
      `insert into engine.deposit (external_order_number, wallet, buy_coin_mode, mtc_amount, currency_code, support_language, fingerprint, settings, state, placed_at, expires_at, listening_until)
       select m->'order'->>'externalOrderNumber', m->'order'->>'wallet', 'MtcAmount', (m->'order'->>'mtcAmount')::numeric, 'CNY', 'en', sha256('x'), $2, 'AWAITING_PAYMENT',
              clock_timestamp(), clock_timestamp() + interval '1 hour', clock_timestamp() + interval '2 hours'
         from jsonb_array_elements($1::jsonb) m`,
      [made, JSON.stringify(settings())],
    );
    const { rows } = await client.query<{ n: string; id: string }>(
      `insert into engine.callback (external_order_number, deposit, transaction_code, content_hash, data, raw, receipt, acked, seal, seal_key, sealed_ms)
       select m->'data'->>'externalOrderNumber', m->'data'->>'externalOrderNumber', m->'data'->>'transactionCode', decode(m->>'hash', 'hex'), m->'data', convert_to(m->>'raw', 'UTF8'),
              'first', true, decode(m->>'seal', 'hex'), m->>'key', 1 from jsonb_array_elements($1::jsonb) m
       returning external_order_number as n, id::text`,
      [made],
    );
    await client.query(
      `update engine.deposit d set bound_callback = c.id from engine.callback c where c.deposit = d.external_order_number and d.bound_callback is null`,
    );
    await client.query('commit');
    return new Map(rows.map(({ n, id }) => [n, id]));
  } finally {
    client.release();
  }
}

/** As decided by two operators, without a case. */
async function moveAll(owner: pg.Pool, how: 'reverse' | 'release', deposits: readonly string[]): Promise<void> {
  for (const deposit of deposits) {
    const { rows } = await owner.query<{ id: string }>(
      'select max(id)::text as id from ledger.transaction where deposit = $1',
      [deposit],
    );
    const [id, case_] = [rows[0]!.id, `review:${rows[0]!.id}`];
    await owner.query(
      how === 'reverse'
        ? `select * from ledger.reverse('after:' || $1::bigint, $1::bigint, true, $2, 'alice+bob', 'recalled')`
        : `select * from ledger.release('after:' || $1::bigint, $1::bigint, $3, 'w-other', 0, $2, 'bob+alice', 'came after all')`,
      how === 'reverse' ? [id, case_] : [id, case_, deposit],
    );
  }
}
