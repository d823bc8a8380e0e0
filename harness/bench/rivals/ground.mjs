import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import express from 'express';
import pg from 'pg';

/** The shared code of both rivals: tables, the checks of a callback, and the transaction that moves the money. */

const { DATABASE_URL, PROVIDER_URL, ACCESS_KEY, SECRET_KEY, CALLBACK_KEY, PORT } = process.env;
export const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 20 });

await pool.query(`
  create table deposit (n text primary key, wallet text not null, amount numeric not null check (amount > 0), currency text not null,
    fingerprint bytea not null, state text not null default 'PLACING', redirect_url text, created_at timestamptz not null default now());
  create table inbox (id bigint generated always as identity primary key, n text not null references deposit, hash bytea not null,
    raw bytea not null, data jsonb not null, received_at timestamptz not null default now(), unique (n, hash));
  create table account (code text primary key, balance numeric not null default 0);
  create table posting (id bigint generated always as identity primary key, n text not null unique references deposit,
    code text not null unique, inbox bigint not null references inbox, posted_at timestamptz not null default now());
  create table entry (posting bigint not null references posting, account text not null references account, amount numeric not null,
    primary key (posting, account));
  create table outgoing (id bigint generated always as identity primary key, n text not null, event text not null);
  insert into account values ('clearing')`);

const key = Buffer.from(CALLBACK_KEY, 'base64url');
const kid = createHash('sha256').update('mtpay-cb|kid|').update(key).digest('hex').slice(0, 8);
const token = (n) => createHmac('sha256', key).update(`mtpay-cb|v1|${n}`).digest('base64url');
const isSame = (one, other) => one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));

/** Returns the order of a genuine callback, else null; checks address, signature and time. */
export function genuine({ params, body }) {
  const message = JSON.parse(body.toString('utf8'));
  const { signature, timestamp, data } = message;
  const expected = createHmac('sha256', SECRET_KEY).update(`${ACCESS_KEY}_${timestamp}`).digest('hex').toUpperCase();
  const isAddressed = params.kid === kid && isSame(params.token, token(data.externalOrderNumber));
  const isSigned = isSame(String(signature), expected);
  return isAddressed && isSigned && Math.abs(Date.now() - timestamp) < 73 * 3_600_000 ? data : null;
}

/** Reserves the order number for these parameters. Refuses a repeat with other parameters. */
export async function reserve({ externalOrderNumber: n, wallet, mtcAmount, currencyCode }) {
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([wallet, mtcAmount, currencyCode]))
    .digest();
  const { rows } = await pool.query(
    `insert into deposit (n, wallet, amount, currency, fingerprint) values ($1, $2, $3, $4, $5)
     on conflict (n) do update set n = excluded.n returning fingerprint, redirect_url`,
    [n, wallet, mtcAmount, currencyCode, fingerprint],
  );
  if (!fingerprint.equals(rows[0].fingerprint)) throw new Error('other parameters');
  return rows[0].redirect_url;
}

export async function place(order) {
  const response = await fetch(PROVIDER_URL, { method: 'POST', body: JSON.stringify(order) });
  const { data } = await response.json();
  await pool.query(
    `update deposit set state = 'AWAITING_PAYMENT', redirect_url = $2 where n = $1 and state = 'PLACING'`,
    [order.externalOrderNumber, data.redirectUrl],
  );
  return data.redirectUrl;
}

const hashOf = (data) => createHash('sha256').update(JSON.stringify(data)).digest();

export const keep = (client, data, raw) =>
  client.query('insert into inbox (n, hash, raw, data) values ($1, $2, $3, $4) on conflict do nothing', [
    data.externalOrderNumber,
    hashOf(data),
    raw,
    data,
  ]);

/** Judges the payment and posts it: deposit locked, both sides of the books, the balances, the event. Idempotent. */
export async function credit(
  client,
  { externalOrderNumber: n, transactionAmount, paymentPrice, currencyCode, transactionCode },
) {
  const { rows } = await client.query(
    'select wallet, amount, currency, state from deposit where n = $1 for no key update',
    [n],
  );
  const [deposit] = rows;
  const rate = paymentPrice / transactionAmount;
  const isRight =
    Number(deposit.amount) === transactionAmount && deposit.currency === currencyCode && rate >= 6.5 && rate <= 8;
  if (deposit.state === 'CREDITED') return;
  if (deposit.state !== 'AWAITING_PAYMENT' || !isRight) throw new Error(`${n} is for people`);
  const wallet = `wallet:${deposit.wallet}`;
  await client.query(
    `with p as (insert into posting (n, code, inbox) select $1, $2, id from inbox where n = $1 returning id)
     insert into entry select p.id, a.code, a.amount from p, (values ('clearing', $4::numeric), ($3, -$4::numeric)) a (code, amount)`,
    [n, transactionCode, wallet, transactionAmount],
  );
  await client.query(
    `update account set balance = balance + case code when 'clearing' then $2::numeric else -$2::numeric end where code in ('clearing', $1)`,
    [wallet, transactionAmount],
  );
  await client.query(`update deposit set state = 'CREDITED' where n = $1`, [n]);
  await client.query(`insert into outgoing (n, event) values ($1, 'credited')`, [n]);
}

/** Creates a wallet's account before any posting: the order of locks is deposit, then accounts by code. */
export const openWallet = (client, wallet) =>
  client.query('insert into account (code) values ($1) on conflict do nothing', [`wallet:${wallet}`]);

export async function inTransaction(work) {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

/** Listens, and reports how many deposits were credited. */
export function serve(name, { create, callback, ended }) {
  const app = express();
  app.disable('x-powered-by');
  app.post('/v1/deposits', express.json(), async (request, response) => {
    response.status(201).json({ redirectUrl: await create(request.body) });
  });
  app.post('/v1/callbacks/mtpay/:kid/:token', express.raw({ type: () => true }), async (request, response) => {
    const data = genuine(request);
    if (data === null) return void response.sendStatus(401);
    await callback(data, request.body);
    response.type('text').send('SUCCESS');
  });
  app.post('/ended/:n', async (request, response) => {
    await ended(request.params.n);
    response.sendStatus(200);
  });
  app.post('/credited', async (_request, response) => {
    const { rows } = await pool.query('select count(*)::int as n from posting');
    response.json(rows[0]);
  });
  app.listen(Number(PORT), '127.0.0.1', () => console.log(`${name} ready`));
}
