import { describe, expect, test } from 'vitest';
import { arrives, bookedFor, decideTogether, opened, operator, placed, walletBalance } from '../../api/decisions.ts';
import { expectRefusal } from '../../api/evidence.ts';
import { startEngine } from '../../support/engine.ts';
import { until } from '../../support/until.ts';
import { byHand } from '../../support/database.ts';

/** Operators decide the cases that no machine may decide: the whole engine, each operator with a personal key. */
const engine = await startEngine();
const [alice, bob, carol] = [
  await operator(engine, 'alice'),
  await operator(engine, 'bob'),
  await operator(engine, 'carol'),
];

let wallets = 0;
const newWallet = () => `wallet-decided-${(wallets += 1)}`;

/** A deposit whose payment has the wrong price: the judge refuses it, nothing is posted. */
async function mismatched() {
  const order = await placed(engine, { wallet: newWallet() });
  const data = await arrives(engine, order, { paymentPrice: 36001, transactionAmount: '4999' });
  const found = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  return { order, data, id: found.id as string, found };
}

/** A credited deposit that was paid a second time. */
async function paidTwice() {
  const order = await placed(engine, { wallet: newWallet() });
  await arrives(engine, order);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  const data = await arrives(engine, order);
  const found = await opened(alice, order, 'SECOND_CODE', 'parked');
  return { order, data, id: found.id as string };
}

describe('the deposit’s own payment', () => {
  test('that does not fit is shown with its numbers and what may be decided, and nothing is posted', async () => {
    const { order, data, found } = await mismatched();
    expect(found).toMatchObject({
      id: `deposit:${order.externalOrderNumber}`,
      state: 'open',
      detail: 'received 4999 MTC, asked 5000',
      transactionCode: data.transactionCode,
      transactionAmount: '4999',
      paymentPrice: '36001',
      wallet: order.wallet,
      standing: 'nothing',
      allowed: ['credit', 'reject'],
      needsTwo: true,
      proposal: null,
    });
    expect(await bookedFor(engine, data.transactionCode)).toEqual([]);
  });

  test('credited by two people: the wallet has it once, and both are named', async () => {
    const { order, data, id } = await mismatched();
    expect(await decideTogether(alice, bob, id, { decision: 'credit' })).toMatchObject({
      state: 'closed',
      decision: 'credit',
      decidedBy: 'alice+bob',
    });
    expect(await engine.deposit(order.externalOrderNumber)).toMatchObject({
      state: 'CREDITED',
      creditedAmount: '4999',
      transactionCode: data.transactionCode,
    });
    const postings = await bookedFor(engine, data.transactionCode);
    expect(postings).toMatchObject([
      { kind: 'suspense', amount: '4999', actor: null },
      {
        kind: 'release',
        key: `after:${postings[0]!.id}`,
        credit: `wallet:${order.wallet}`,
        actor: 'alice+bob',
      },
    ]);
    expect(await walletBalance(engine, order.wallet)).toBe('4999');
    const result = await engine.client.workflow.getHandle(id).result();
    expect(result).toMatchObject({ state: 'CREDITED', transactionCode: data.transactionCode });
    await engine.auditLedger();
  });

  test('rejected: the deposit is REJECTED, nothing was posted', async () => {
    const { order, data, id } = await mismatched();
    await decideTogether(bob, alice, id, { decision: 'reject' });
    expect(await engine.deposit(order.externalOrderNumber)).toMatchObject({ state: 'REJECTED', creditedAmount: null });
    expect(await bookedFor(engine, data.transactionCode)).toEqual([]);
  });
});

describe('T28: one person', () => {
  test('cannot confirm their own proposal; a second one can', async () => {
    const { order, id } = await mismatched();
    const proposed = await alice.propose(id, { decision: 'credit', reason: 'looks fine' });
    expect(proposed.body.proposal).toMatchObject({ operator: 'alice', decision: 'credit', reason: 'looks fine' });
    expectRefusal(await alice.confirm(id, proposed.body.proposal.id), 409, 'same_operator');
    expect(await walletBalance(engine, order.wallet)).toBe('0');
    expect((await bob.confirm(id, proposed.body.proposal.id)).status).toBe(200);
    expect(await walletBalance(engine, order.wallet)).toBe('4999');
  });

  test('cannot be somebody else: the operator is the key’s name and no field', async () => {
    const { id } = await mismatched();
    const answer = await alice.propose(id, { decision: 'credit', reason: 'looks fine', operator: 'bob' });
    expectRefusal(answer, 400, 'invalid_request');
    expect((await alice.case(id)).proposal).toBeNull();
  });

  test('cannot go round the API: an update with rows that are not there moves nothing, and the proposal waits on', async () => {
    const { order, id } = await mismatched();
    const proposed = await alice.propose(id, { decision: 'credit', reason: 'looks fine' });
    const update = engine.client.workflow.getHandle(id).executeUpdate('confirm', {
      args: [{ decisionId: '999999', proposalId: proposed.body.proposal.id, operator: 'bob' }],
    });
    expect(await update).toMatchObject({ kind: 'refused', refusal: 'not_written' });
    expect(await walletBalance(engine, order.wallet)).toBe('0');
    // The proposal is genuine, and a forged message takes nothing away from it.
    expect(await alice.case(id)).toMatchObject({ state: 'open', proposal: { id: proposed.body.proposal.id } });
    expect((await bob.confirm(id, proposed.body.proposal.id)).status).toBe(200);
    expect(await walletBalance(engine, order.wallet)).toBe('4999');
  });

  test('cannot use a confirmation that was meant for another proposal', async () => {
    const { order, id } = await mismatched();
    const first = (await alice.propose(id, { decision: 'reject', reason: 'not ours' })).body.proposal.id;
    await alice.withdraw(id, first);
    const second = (await alice.propose(id, { decision: 'credit', reason: 'ours after all' })).body.proposal.id;
    expectRefusal(await bob.confirm(id, first), 409, 'other_proposal');
    expect(await bob.case(id)).toMatchObject({ state: 'open', proposal: { id: second } });
    expect(await walletBalance(engine, order.wallet)).toBe('0');
  });
});

describe('a step is refused', () => {
  test('without a reason, with a short one, or with a control character in it', async () => {
    const { id } = await mismatched();
    for (const reason of [undefined, '', 'ab', ' ab ', 'with\u0000nul', 'two\u2028lines', 'x'.repeat(1001)]) {
      expectRefusal(await alice.propose(id, { decision: 'credit', reason }), 400, 'invalid_request');
    }
    expect((await alice.case(id)).steps).toEqual([]);
  });

  test('with what belongs to another decision, before anything is written down', async () => {
    const { id } = await mismatched();
    const other = await placed(engine);
    const reason = '客户付了两次';
    for (const body of [
      { decision: 'credit', keep: true },
      { decision: 'reject', keep: true },
      { decision: 'reject', toDeposit: other.externalOrderNumber },
      { decision: 'reverse', toDeposit: other.externalOrderNumber },
      { decision: 'reject', onlyOrdered: true },
    ]) {
      expectRefusal(await alice.propose(id, { ...body, reason }), 409, 'decision_not_allowed');
    }
    expect((await alice.case(id)).steps).toEqual([]);
    expect((await alice.propose(id, { decision: 'reject', reason })).body.proposal).toMatchObject({ reason });
  });

  test('while another proposal waits, and that one is untouched', async () => {
    const { id } = await mismatched();
    const waiting = (await alice.propose(id, { decision: 'credit', reason: 'looks fine' })).body.proposal;
    expectRefusal(await bob.propose(id, { decision: 'reject', reason: 'I do not think so' }), 409, 'proposal_open');
    expect((await carol.case(id)).proposal).toEqual(waiting);
  });

  test('once the case is decided', async () => {
    const { id } = await mismatched();
    await decideTogether(alice, bob, id, { decision: 'reject' });
    expectRefusal(await alice.propose(id, { decision: 'credit', reason: 'after all' }), 409, 'case_closed');
    expectRefusal(await bob.confirm(id, '1'), 409, 'case_closed');
    expectRefusal(await bob.withdraw(id, '1'), 409, 'case_closed');
  });

  test('where nothing waits, where there is no such case, and where the key has no such scope', async () => {
    const { id } = await mismatched();
    expectRefusal(await bob.confirm(id, '1'), 409, 'no_proposal');
    expectRefusal(await bob.confirm('review:999999999', '1'), 404, 'not_found');
    expectRefusal(await bob.confirm('deposit:no such', '1'), 400, 'invalid_request');
    expectRefusal(await engine.call('GET', '/v1/reviews'), 403, 'forbidden');
    const path = `/v1/reviews/${encodeURIComponent(id)}/propose`;
    expectRefusal(await engine.call('POST', path, { decision: 'credit', reason: 'looks fine' }), 403, 'forbidden');
  });

  test('when it would credit what could not be read, and nobody says what it is', async () => {
    const order = await placed(engine);
    await arrives(engine, order, { transactionAmount: 'true' });
    const { id } = await opened(alice, order, 'UNREADABLE', 'unreadable');
    expectRefusal(await alice.propose(id, { decision: 'credit', reason: 'looks fine' }), 409, 'facts_required');
    expect(await decideTogether(alice, bob, id, { decision: 'reject' })).toMatchObject({ decision: 'reject' });
  });

  test('when it would credit a code that stands', async () => {
    const order = await placed(engine, { wallet: newWallet() });
    const data = await arrives(engine, order);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    await arrives(engine, order, { transactionCode: data.transactionCode, paymentFinishedTime: '2021-07-01T00:06:00' });
    const { id } = await opened(alice, order, 'OTHER_CONTENT', 'elsewhere');
    expectRefusal(await alice.propose(id, { decision: 'credit', reason: 'looks fine' }), 409, 'code_stands');
    await decideTogether(alice, bob, id, { decision: 'reject' });
    expect(await walletBalance(engine, order.wallet)).toBe('5000');
  });
});

describe('a second payment', () => {
  test('waits in suspense from the moment its case opens, and the merchant sees that it waits', async () => {
    const { order, data, id } = await paidTwice();
    expect(id).toMatch(/^review:\d+-[0-9a-f]{8}$/);
    expect(await bookedFor(engine, data.transactionCode)).toMatchObject([
      { kind: 'suspense', key: `suspense:mtpay:${data.transactionCode}` },
    ]);
    expect(await walletBalance(engine, order.wallet)).toBe('5000');
    const seen = await engine.deposit(order.externalOrderNumber);
    expect(seen).toMatchObject({ state: 'CREDITED', standing: 'credited', creditedAmount: '5000' });
    expect(seen.otherPayments).toEqual([
      {
        case: id,
        reason: 'SECOND_CODE',
        openedAt: expect.stringMatching(/Z$/),
        transactionCode: data.transactionCode,
        amount: '5000',
      },
    ]);
  });

  test('is credited beside the first by two people who name it, and by nobody else', async () => {
    const { order, data, id } = await paidTwice();
    const found = await alice.case(id);
    const [first] = found.credits;
    expect(found).toMatchObject({
      newestCredit: first.postingId,
      deposit: { state: 'CREDITED', standing: 'credited', mtcAmount: '5000', creditedAmount: '5000' },
      otherPayments: [{ transactionCode: first.transactionCode, case: null, outcome: 'credited' }],
    });
    const credit = { decision: 'credit', reason: 'stands in the statement twice' };
    for (const beside of [undefined, '999999', String(Number(first.postingId) + 1)]) {
      expectRefusal(await alice.propose(id, { ...credit, beside }), 409, 'credited_meanwhile');
    }
    const { body } = await alice.propose(id, { ...credit, beside: first.postingId });
    expect(body).toMatchObject({ needsTwo: true, proposal: { beside: first.postingId } });
    expectRefusal(await alice.confirm(id, body.proposal.id), 409, 'same_operator');
    expect(await walletBalance(engine, order.wallet)).toBe('5000');
    expect((await bob.confirm(id, body.proposal.id)).status).toBe(200);
    expect(await walletBalance(engine, order.wallet)).toBe('10000');
    const postings = await bookedFor(engine, data.transactionCode);
    expect(postings).toMatchObject([
      { kind: 'suspense' },
      { kind: 'release', key: `after:${postings[0]!.id}`, actor: 'alice+bob' },
    ]);
    expect(await engine.deposit(order.externalOrderNumber)).toMatchObject({
      state: 'CREDITED',
      transactionCode: first.transactionCode,
      standing: 'more',
      creditedAmount: '10000',
      credits: [
        { postingId: first.postingId, how: 'machine', reversed: null },
        { postingId: postings[1]!.id, transactionCode: data.transactionCode, how: 'people', reversed: null },
      ],
      otherPayments: [],
    });
    await engine.auditLedger();
  });

  test('rejected: it goes back to the provider’s account, the first credit stays', async () => {
    const { order, data, id } = await paidTwice();
    await decideTogether(alice, bob, id, { decision: 'reject' });
    expect(await bookedFor(engine, data.transactionCode)).toMatchObject([
      { kind: 'suspense', amount: '5000' },
      { kind: 'reversal', amount: '-5000' },
    ]);
    expect(await walletBalance(engine, order.wallet)).toBe('5000');
    await engine.auditLedger();
  });
});

describe('a credit that was wrong', () => {
  async function doubted() {
    const order = await placed(engine, { wallet: newWallet() });
    const data = await arrives(engine, order);
    await engine.untilState(order.externalOrderNumber, 'CREDITED');
    const doubt = await alice.doubt({
      externalOrderNumber: order.externalOrderNumber,
      reason: 'the provider recalled it',
    });
    expect(doubt.status, doubt.text).toBe(201);
    return { order, data, id: doubt.body.id as string, doubt: doubt.body };
  }

  test('is reversed by two people, and both postings stay', async () => {
    const { order, data, id, doubt } = await doubted();
    expect(doubt).toMatchObject({
      reason: 'CREDIT_IN_DOUBT',
      detail: 'the provider recalled it',
      openedBy: 'alice',
      standing: 'credited',
      allowed: ['reject', 'reverse'],
    });
    await decideTogether(alice, bob, id, { decision: 'reverse' });
    expect(await walletBalance(engine, order.wallet)).toBe('0');
    expect(await bookedFor(engine, data.transactionCode)).toMatchObject([
      { kind: 'credit', amount: '5000' },
      { kind: 'reversal', amount: '-5000', credit: `wallet:${order.wallet}`, actor: 'alice+bob' },
    ]);
    expect(await engine.deposit(order.externalOrderNumber)).toMatchObject({
      state: 'CREDITED',
      standing: 'none',
      creditedAmount: '0',
      credits: [{ amount: '5000', reversed: { kept: false } }],
      reversal: { kept: false },
    });
    await engine.auditLedger();
  });

  test('in the wrong wallet: it is taken out into suspense, and goes to the right one by a second decision', async () => {
    const { order, data, id } = await doubted();
    const right = await placed(engine, { wallet: newWallet() });
    const taken = await decideTogether(alice, bob, id, { decision: 'reverse', keep: true });
    expect(taken).toMatchObject({
      state: 'open',
      standing: 'withdrawn',
      allowed: ['credit', 'reject', 'reverse', 'restore'],
      proposal: null,
    });
    expect(await walletBalance(engine, order.wallet)).toBe('0');
    expectRefusal(await alice.propose(id, { decision: 'credit', reason: 'to whom?' }), 409, 'deposit_required');
    await decideTogether(bob, carol, id, { decision: 'credit', toDeposit: right.externalOrderNumber });
    expect(await walletBalance(engine, right.wallet)).toBe('5000');
    // The merchant of either deposit reads where the money is: no longer in suspense.
    expect(await engine.deposit(order.externalOrderNumber)).toMatchObject({
      creditedAmount: '0',
      credits: [{ reversed: { kept: true } }],
      reversal: { kept: false },
    });
    expect(await engine.deposit(right.externalOrderNumber)).toMatchObject({
      state: 'AWAITING_PAYMENT',
      standing: 'credited',
      creditedAmount: '5000',
      credits: [{ wallet: right.wallet, transactionCode: data.transactionCode, how: 'people' }],
    });
    expect((await bookedFor(engine, data.transactionCode)).map((posting) => posting.kind)).toEqual([
      'credit',
      'reversal',
      'release',
    ]);
    await engine.auditLedger();
  });

  test('found right after all: the credit stays, and may be doubted again', async () => {
    const { order, id } = await doubted();
    await decideTogether(alice, bob, id, { decision: 'reject' });
    expect(await walletBalance(engine, order.wallet)).toBe('5000');
    const again = await bob.doubt({ externalOrderNumber: order.externalOrderNumber, reason: 'asked once more' });
    expect(again.body.id).toMatch(/:reversal:2$/);
    await decideTogether(alice, bob, again.body.id, { decision: 'reverse' });
    expect(await walletBalance(engine, order.wallet)).toBe('0');
  });

  test('taken out and found right: it goes back to its wallet', async () => {
    const { order, id } = await doubted();
    await decideTogether(alice, bob, id, { decision: 'reverse', keep: true });
    expect(await engine.deposit(order.externalOrderNumber)).toMatchObject({ reversal: { kept: true } });
    await decideTogether(alice, bob, id, { decision: 'reject' });
    expect(await walletBalance(engine, order.wallet)).toBe('5000');
    const back = await engine.deposit(order.externalOrderNumber);
    expect(back).toMatchObject({ standing: 'credited', creditedAmount: '5000' });
    expect(back).not.toHaveProperty('reversal');
    await engine.auditLedger();
  });

  test('doubted twice at once is one case', async () => {
    const { order, id } = await doubted();
    const second = await bob.doubt({ externalOrderNumber: order.externalOrderNumber, reason: 'me too' });
    expect(second.body).toMatchObject({ id, openedBy: 'alice' });
  });

  test('of which there is none cannot be doubted', async () => {
    const order = await placed(engine);
    const about = { externalOrderNumber: order.externalOrderNumber, reason: 'nothing there' };
    expectRefusal(await alice.doubt(about), 404, 'not_found');
    expectRefusal(await alice.doubt({ ...about, postingId: '1' }), 400, 'invalid_request');
  });
});

test('a case whose workflow was terminated by hand is held by a new one, and can be decided', async () => {
  const { order, id } = await mismatched();
  await engine.client.workflow.getHandle(id).terminate('somebody tidied up');
  await byHand(
    engine.db.owner,
    `update engine.review_case set opened_at = opened_at - interval '1 hour' where workflow_id = $1`,
    [id],
  );
  await until('a new workflow to hold the case', async () => {
    const { status, type } = await engine.client.workflow.getHandle(id).describe();
    return status.name === 'RUNNING' && type === 'review';
  });
  await decideTogether(alice, bob, id, { decision: 'credit' });
  expect(await engine.deposit(order.externalOrderNumber)).toMatchObject({ state: 'CREDITED' });
  expect(await walletBalance(engine, order.wallet)).toBe('4999');
});

test('the list has open cases oldest first, page by page, and decided ones apart', async () => {
  const { id } = await mismatched();
  const all = (await alice.list('?limit=200')).items.map((found: { id: string }) => found.id);
  expect(all).toContain(id);
  const paged: string[] = [];
  for (let next: string | null = ''; next !== null; ) {
    const page: { items: { id: string }[]; nextCursor: string | null } = await alice.list(
      `?limit=2${next === '' ? '' : `&cursor=${next}`}`,
    );
    paged.push(...page.items.map((found) => found.id));
    next = page.nextCursor;
  }
  expect(paged).toEqual(all);
  await decideTogether(alice, bob, id, { decision: 'reject' });
  expect((await alice.list('?limit=200')).items.map((found: { id: string }) => found.id)).not.toContain(id);
  const closed = await alice.list('?state=closed&limit=200&reason=AMOUNT_MISMATCH');
  expect(closed.items.map((found: { id: string }) => found.id)).toContain(id);
});
