import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { arrives, decideTogether, opened, operator, placed } from '../api/decisions.ts';
import { expectRefusal } from '../api/evidence.ts';
import { callbackAddress, callbackBody } from '../support/messages/callbacks.ts';
import { startEngine } from '../support/engine.ts';

/** All stored evidence of one deposit, as an auditor reads it. */
const engine = await startEngine();
const [alice, bob] = [await operator(engine, 'alice'), await operator(engine, 'bob')];
const auditor = await createApiKey(engine.db.owner, { name: 'auditor', scopes: ['audit:read'] });
const limited = await createApiKey(engine.db.owner, {
  name: 'limited',
  scopes: ['audit:read'],
  wallets: ['wallet-other'],
});
const read = (n: string, key: string | undefined = auditor) =>
  engine.call('GET', `/v1/deposits/${n}/evidence`, undefined, { key });

interface Line {
  readonly at: string;
  readonly source: string;
  readonly text: string;
  readonly hash: string;
}

test('tells what was asked, placed, called back, decided and posted, in order, each with its hash', async () => {
  const order = await placed(engine, { wallet: 'wallet-evidence', payerRealName: 'Zhuge Liangliang' });
  const n = order.externalOrderNumber;
  const data = await arrives(engine, order, { transactionAmount: '4999' });
  await engine.callback(callbackAddress(engine, n), callbackBody(engine, data));
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  await decideTogether(alice, bob, id, { decision: 'credit' });
  await engine.untilState(n, 'CREDITED');
  const answer = await read(n);
  expect(answer.status, answer.text).toBe(200);
  const lines = answer.body.lines as Line[];
  expect(lines.map(({ at }) => at)).toEqual(lines.map(({ at }) => at).toSorted());
  const said = lines.map(({ source, text }) => `${source}: ${text}`).join('\n');
  for (const part of [
    `deposit ${n}: asked for 5000 MTC for wallet-evidence, to be paid in CNY`,
    'placement attempt 1: order sent to the provider: placed',
    `provider says transaction ${data.transactionCode}: 4999 MTC for 36000 CNY; taken as first`,
    ', attempt 1: signed with key ',
    ', attempt 2: signed with key ',
    ': the same content again',
    'alice proposed credit: compared with the statement',
    'bob confirmed proposal ',
    '; it counted, and came to decided with posting ',
    'suspense of 4999 MTC from clearing:mtpay to suspense:mtpay',
    'release of 4999 MTC from suspense:mtpay to wallet:wallet-evidence, decided by alice+bob',
    'placed the order: kind placed',
    'was told of the payment: ',
    'carried the decision out: kind decided, decision credit',
    'told as deposit.credited, posting ',
    'told as case.decided, case ',
  ]) {
    expect(said).toContain(part);
  }
  expect(said).not.toContain('Zhuge');
  expect(lines.every(({ hash }) => /^[0-9a-f]{64}$/.test(hash))).toBe(true);
});

test('the hash of a posting is that of its line in the ledger’s chain', async () => {
  const order = await placed(engine);
  await arrives(engine, order);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  const { rows } = await engine.db.owner.query<{ id: string; line: string }>(
    'select id, ledger.line(t) as line from ledger.transaction t where deposit = $1',
    [order.externalOrderNumber],
  );
  const lines = (await read(order.externalOrderNumber)).body.lines as Line[];
  const posting = lines.find(({ source }) => source === `posting ${rows[0]!.id}`);
  expect(posting?.hash).toBe(createHash('sha256').update(rows[0]!.line).digest('hex'));
});

test('is for auditors, and for their wallets only; there is none of a deposit that is not there', async () => {
  const order = await placed(engine);
  expectRefusal(await engine.call('GET', `/v1/deposits/${order.externalOrderNumber}/evidence`), 403, 'forbidden');
  expectRefusal(await read(order.externalOrderNumber, limited), 404, 'not_found');
  expectRefusal(await read('o-nobody'), 404, 'not_found');
});
