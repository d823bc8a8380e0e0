import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FAULT_CATALOGUE } from '../../sandbox/faults/faults.ts';
import { orderNumber } from '../support/builders.ts';
import { startEngine } from '../support/engine.ts';
import { until } from '../support/until.ts';

/** Shorter than the slow faults below, so that they exceed the deadline. */
const engine = await startEngine({ env: { MTPAY_DEADLINE: '2s' } });

interface Ending {
  readonly params?: object;
  /** How often the fault acts; 1 by default. */
  readonly remaining?: number | null;
  /** HTTP status of the creation. */
  readonly created: 201 | 202 | 422;
  readonly state: string;
  /** The receipts of the inbox rows, in the order of receipt; refused callbacks leave none. */
  readonly receipts?: readonly string[];
}

const CREDITED = { created: 201, state: 'CREDITED', receipts: ['first'] } as const;
/** The order exists although the engine got no response: its callback is accepted all the same. */
const UNTOLD = { created: 202, state: 'CREDITED', receipts: ['first'] } as const;
const UNKNOWN = { created: 202, state: 'PLACEMENT_UNKNOWN' } as const;
const REFUSED = { created: 422, state: 'PLACEMENT_REFUSED' } as const;
const IN_REVIEW = { created: 201, state: 'IN_REVIEW', receipts: ['first'] } as const;
/** Not bound to the deposit: a case of its own waits for operators, the deposit still waits for its payment. */
const ASIDE = { created: 201, state: 'AWAITING_PAYMENT' } as const;

const status = (statusCode: string, ending: Ending): Ending => ({ ...ending, params: { statusCode } });

/** The whole menu of faults and the ending of each. */
const MENU: Readonly<Record<string, readonly Ending[]>> = {
  status: [
    // One refusal may concern the stamp, and from then on this worker stamps otherwise; a second one concerns the key.
    status('SIGNATURE_ERROR', CREDITED),
    status('TIMESTAMP_ERROR', CREDITED),
    status('SIGNATURE_ERROR', { ...REFUSED, remaining: null }),
    status('ACCESS_KEY_ERROR', REFUSED),
    status('PARAMETER_ERROR', REFUSED),
    status('ACCOUNT_STATUS_ERROR', REFUSED),
    status('NO_ADVERTISEMENT', REFUSED),
    status('SYSTEM_ERROR', UNKNOWN),
    status('SUCCESS', UNKNOWN),
    { ...UNTOLD, params: { statusCode: 'SYSTEM_ERROR', made: true } },
  ],
  http500: [UNKNOWN, { ...UNTOLD, params: { made: true } }],
  html: [UNKNOWN, { ...UNTOLD, params: { made: true } }],
  empty: [UNKNOWN, { ...UNTOLD, params: { made: true } }],
  truncated: [UNTOLD, { ...UNTOLD, params: { abrupt: true } }, { ...UNKNOWN, params: { made: false } }],
  slow: [
    { ...CREDITED, params: { ms: 300 } },
    { ...UNTOLD, params: { ms: 3_000 } },
  ],
  cut: [UNTOLD],
  cutBefore: [UNKNOWN],
  hang: [UNTOLD, { ...UNKNOWN, params: { made: false } }],
  wrongTypes: [UNTOLD],
  foreignRedirect: [UNTOLD],
  hugeBody: [UNTOLD],
  frozen: [REFUSED],
  early: [CREDITED],
  http429: [UNKNOWN],
  trickle: [UNTOLD, { ...CREDITED, params: { pieces: 4, everyMs: 100 } }],
  clockSkew: [
    // Learned from the Date header, up to ten minutes.
    { ...CREDITED, params: { ms: 400_000 }, remaining: 2 },
    { ...REFUSED, params: { ms: 3_600_000 }, remaining: null },
  ],
  missing: [ASIDE],
  duplicate: [{ ...CREDITED, params: { copies: 20 } }],
  delay: [{ ...CREDITED, params: { ms: 500 } }],
  secondCode: [{ ...CREDITED, receipts: ['first', 'other_content or final'] }],
  otherContent: [{ ...CREDITED, receipts: ['first', 'other_content or final'] }],
  reordered: [{ ...CREDITED, receipts: ['first', 'other_content or final'] }],
  sameCode: [IN_REVIEW],
  retryStorm: [CREDITED],
  retryAcked: [CREDITED],
  badSignature: [CREDITED],
  rotatedKey: [CREDITED],
  reflected: [CREDITED],
  lowerCaseSignature: [CREDITED],
  noSignature: ['absent', 'null', 'empty', 'array'].map((as) => ({ ...CREDITED, params: { as } })),
  changedBody: [
    { ...IN_REVIEW, params: { data: { transactionAmount: '999999.00' } } },
    { ...IN_REVIEW, params: { data: { currencyCode: 'HKD' } } },
    // Refused by the token in the address, which belongs to another order; the genuine retry is credited.
    { ...CREDITED, params: { data: { externalOrderNumber: 'somebody-else' } } },
  ],
  staleTimestamp: [{ ...ASIDE, receipts: ['stale'] }],
  aheadTimestamp: [{ ...ASIDE, receipts: ['ahead'] }],
  timestampSpelling: ['quoted', 'exponent', 'decimal'].map((as) => ({ ...CREDITED, params: { as } })),
  amountSpelling: ['exponent', 'shifted', 'zeros'].map((as) => ({ ...CREDITED, params: { as } })),
  unreadable: [
    { ...ASIDE, receipts: ['unreadable'] },
    { ...ASIDE, receipts: ['unreadable'], params: { field: 'paymentPrice', raw: '1e400' } },
    { ...CREDITED, params: { field: null, raw: '[' } },
  ],
  duplicateKeys: [CREDITED],
};

const cases = FAULT_CATALOGUE.flatMap(({ kind, moment }) =>
  (MENU[kind] ?? []).map((ending) => ({ kind, moment, ...ending, shown: JSON.stringify(ending.params ?? {}) })),
);

const receiptsOf = async (externalOrderNumber: string): Promise<string[]> => {
  const { rows } = await engine.db.owner.query<{ receipt: string; settled: boolean }>(
    'select receipt, outcome is not null as settled from engine.callback where deposit = $1 order by id',
    [externalOrderNumber],
  );
  return rows.map(({ receipt, settled }) => (settled ? receipt : `${receipt}, open`));
};

/** Whether the second of two callbacks finds the deposit open or final is a race; both results are right. */
const fits = (found: readonly string[], expected: readonly string[]): boolean =>
  found.length === expected.length && expected.every((each, index) => each.split(' or ').includes(found[index]!));

describe('the engine against the menu', () => {
  const credited: string[] = [];
  // The first deposit of all takes longer than the deadline above.
  beforeAll(() => engine.create());
  afterAll(() => expect(new Set(credited).size).toBe(credited.length));

  test.each(cases)('$kind $shown ends as $state', async ({ kind, moment, params = {}, ...ending }) => {
    const externalOrderNumber = orderNumber();
    const scope = externalOrderNumber;
    const named = kind === 'sameCode' ? { of: credited[0] } : params;
    const remaining = ending.remaining === undefined ? 1 : ending.remaining;
    const fault = { scope, kind, params: named, remaining };
    if (moment === 'placement') await engine.control('POST', '/faults', fault);
    const { status: created } = await engine.create({ externalOrderNumber, wallet: externalOrderNumber });
    expect(created).toBe(ending.created);
    if (moment !== 'placement') await engine.control('POST', '/faults', fault);

    // The provider's clock is right again; the engine learns it from the next order, and until then callbacks look
    // stale.
    if (kind === 'clockSkew') await engine.create();
    const receipts = ending.receipts ?? [];
    if (kind !== 'early' && (receipts.length > 0 || moment === 'release')) await engine.pay(externalOrderNumber);
    await engine.untilState(externalOrderNumber, ending.state);
    await until(`receipts ${receipts.join(', ')}`, async () => fits(await receiptsOf(externalOrderNumber), receipts));

    const isCredited = ending.state === 'CREDITED';
    // A second payment may be in suspense by now, or not yet.
    const { rows } = await engine.db.owner.query(
      `select from ledger.transaction where deposit = $1 and kind = 'credit'`,
      [externalOrderNumber],
    );
    expect(rows).toHaveLength(isCredited ? 1 : 0);
    const deposit = await engine.deposit(externalOrderNumber);
    expect(deposit.creditedAmount).toBe(isCredited ? '5000' : null);
    if (isCredited) credited.push(externalOrderNumber);
    await engine.auditLedger();
  });
});

test('nothing on the menu was left out', () => {
  expect(Object.keys(MENU).toSorted()).toEqual(FAULT_CATALOGUE.map(({ kind }) => kind).toSorted());
});
