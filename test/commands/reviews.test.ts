import { describe, expect, test } from 'vitest';
import { type ReviewOptions, runReviews } from '../../commands/reviews-terminal.ts';
import { createApiKey } from '../../database/queries/api-keys.ts';
import { arrives, operator, opened, placed, walletBalance } from '../api/decisions.ts';
import { startEngine } from '../support/engine.ts';

/** `npm run reviews`, against the whole engine. */
const engine = await startEngine();
const alice = await operator(engine, 'alice');
const keys = {
  bob: await createApiKey(engine.db.owner, { name: 'bob', scopes: ['reviews:decide'] }),
  carol: await createApiKey(engine.db.owner, { name: 'carol', scopes: ['reviews:decide'] }),
};

async function says(words: string, options: ReviewOptions = {}, key: string | undefined = keys.bob) {
  const out: string[] = [];
  const error: string[] = [];
  const env = { API_URL: engine.api.apiUrl, ...(key === '' ? {} : { API_KEY: key }) };
  const terminal = { out: (line: string) => out.push(line), error: (line: string) => error.push(line) };
  const code = await runReviews(words.split(' '), options, env, terminal);
  return { code, out: out.join('\n'), error: error.join('\n') };
}

async function mismatched() {
  const order = await placed(engine, { wallet: 'wallet-terminal' });
  await arrives(engine, order, { transactionAmount: '4999' });
  return opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
}

test('a case is listed, shown, proposed by one and confirmed by another', async () => {
  const { id } = await mismatched();
  expect((await says('list')).out).toContain(
    `${id}  AMOUNT_MISMATCH  4999 MTC for 36000 CNY  wallet-terminal  no proposal`,
  );
  const shown = (await says(`show ${id}`)).out;
  expect(shown).toContain('AMOUNT_MISMATCH: received 4999 MTC, asked 5000');
  expect(shown).toMatch(/takes +two people/);
  const proposed = (await says(`propose ${id} credit`, { reason: 'as the statement says' })).out;
  const number = /proposal +(\d+): credit, by bob/.exec(proposed)?.[1];
  expect(await says(`confirm ${id} ${number}`)).toMatchObject({
    code: 1,
    error: expect.stringContaining('same_operator: '),
  });
  const decided = await says(`confirm ${id} ${number}`, {}, keys.carol);
  expect(decided.code).toBe(0);
  expect(decided.out).toContain('credit by bob+carol');
  expect(await walletBalance(engine, 'wallet-terminal')).toBe('4999');
  expect((await says('list', { closed: true })).out).toContain(`${id}  AMOUNT_MISMATCH`);
});

test('a credit is doubted, and a proposal withdrawn', async () => {
  const order = await placed(engine, { wallet: 'wallet-doubted' });
  await arrives(engine, order);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  const doubted = await says('doubt', { deposit: order.externalOrderNumber, reason: 'recalled by the provider' });
  const id = /^case +(\S+)/.exec(doubted.out)![1]!;
  expect(id).toMatch(/^review:\d+-[0-9a-f]{8}:reversal:1$/);
  const number = /proposal +(\d+):/.exec(
    (await says(`propose ${id} reverse`, { reason: 'recalled', keep: true })).out,
  )![1];
  const withdrawn = await says(`withdraw ${id} ${number}`, { reason: 'it was another one' });
  expect(withdrawn).toMatchObject({ code: 0, out: expect.stringContaining('withdraw') });
  expect(await walletBalance(engine, 'wallet-doubted')).toBe('5000');
});

test('what people have to see is shown: the deposit, its credits, other payments, and what became of each step', async () => {
  const order = await placed(engine, { wallet: 'wallet-seen' });
  const first = await arrives(engine, order);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  const second = await arrives(engine, order, { transactionAmount: '500' });
  const { id } = await opened(alice, order, 'SECOND_CODE', 'nothing');
  const shown = (await says(`show ${id}`)).out;
  const posting = /^newest credit +posting (\d+)$/m.exec(shown)![1]!;
  expect(shown).toMatch(/^its state +CREDITED$/m);
  expect(shown).toMatch(/^it asked for +5000 MTC$/m);
  expect(shown).toMatch(/^in wallets +5000 MTC \(credited\)$/m);
  expect(shown).toMatch(
    new RegExp(`^credit +posting ${posting}: 5000 MTC to wallet-seen by machine at .* ${first.transactionCode}$`, 'm'),
  );
  expect(shown).toMatch(
    new RegExp(`^other payment +\\S+  ${first.transactionCode}  5000 MTC for 36000 CNY  no case  credited$`, 'm'),
  );
  expect(shown).toMatch(/^warning +far less than was ordered: 500 MTC, and the order asked for 5000 MTC$/m);

  const reason = 'a second payment';
  expect(await says(`propose ${id} credit`, { reason })).toMatchObject({
    code: 1,
    error: expect.stringContaining('credited_meanwhile: '),
  });
  const proposed = (await says(`propose ${id} credit`, { reason, beside: posting })).out;
  const number = /^proposal +(\d+): credit, beside posting \d+, by bob/m.exec(proposed)![1]!;
  expect(proposed).toMatch(/^step .* bob  propose  credit  a second payment  waiting$/m);
  expect((await says(`propose ${id} reject`, { reason: 'not to me' }, keys.carol)).error).toContain('proposal_open: ');
  const decided = (await says(`confirm ${id} ${number}`, {}, keys.carol)).out;
  expect(decided).toMatch(/^step .* bob  propose  credit  a second payment  carried$/m);
  expect(decided).toMatch(/^step .* carol  propose  reject  not to me  refused: proposal_open$/m);
  expect(decided).toMatch(/^step .* carol  confirm  carried$/m);
  expect(decided).toMatch(new RegExp(`^credit .* ${second.transactionCode}$`, 'm'));
  expect(decided).toMatch(/^in wallets +5500 MTC \(more\)$/m);
});

test('what is to be credited in part is said before it is confirmed, and after', async () => {
  const order = await placed(engine, { wallet: 'wallet-partly' });
  await arrives(engine, order, { transactionAmount: '6000' });
  const { id } = await opened(alice, order, 'AMOUNT_MISMATCH', 'nothing');
  await says(`propose ${id} credit`, { reason: 'what was ordered', 'only-ordered': true });
  const shown = (await says(`show ${id}`, {}, keys.carol)).out;
  const number = /^proposal +(\d+): credit of what was ordered, and no more, by bob/m.exec(shown)![1];
  const decided = (await says(`confirm ${id} ${number}`, {}, keys.carol)).out;
  expect(decided).toMatch(/^credit +posting \d+: 5000 MTC \(1000 MTC more in suspense\) to wallet-partly/m);
  expect(decided).toMatch(/^in wallets +5000 MTC \(partly\)$/m);
});

test('a decision is doubted, and what was taken out is restored', async () => {
  const order = await placed(engine, { wallet: 'wallet-restored' });
  await arrives(engine, order);
  await engine.untilState(order.externalOrderNumber, 'CREDITED');
  const idOf = (said: { out: string }) => /^case +(\S+)/.exec(said.out)![1]!;
  const together = async (id: string, decision: string) => {
    const { out } = await says(`propose ${id} ${decision}`, { reason: 'as the provider says' });
    return says(`confirm ${id} ${/^proposal +(\d+):/m.exec(out)![1]}`, {}, keys.carol);
  };
  const doubt = idOf(await says('doubt', { deposit: order.externalOrderNumber, reason: 'recalled' }));
  const reversed = await together(doubt, 'reverse');
  expect(reversed.out).toMatch(/^credit .*; taken out at \S+, posting \d+$/m);
  expect(reversed.out).toMatch(/^in wallets +0 MTC \(none\)$/m);
  const again = await says('doubt', { case: doubt, reason: 'recalled by mistake' });
  expect(again.out).toMatch(/^may be decided +reject, restore$/m);
  expect(await together(idOf(again), 'restore')).toMatchObject({ code: 0 });
  expect(await walletBalance(engine, 'wallet-restored')).toBe('5000');
});

test('what cannot be read is credited as two people state it, and each is shown the other’s words at the end', async () => {
  const order = await placed(engine, { wallet: 'wallet-stated' });
  await arrives(engine, order, { transactionAmount: 'true' });
  const { id } = await opened(alice, order, 'UNREADABLE', 'unreadable');
  const reason = 'read in the statement';
  const facts = { code: 'ATTERMINAL01', amount: '5000', currency: 'CNY', price: '36000' };
  expect((await says(`propose ${id} credit`, { reason })).error).toContain('facts_required: ');
  expect(await says(`propose ${id} credit`, { reason, code: 'ATTERMINAL01' })).toMatchObject({
    code: 2,
    error: expect.stringContaining('--amount is missing'),
  });
  const proposed = await says(`propose ${id} credit`, { reason, ...facts, 'statement-line': 'page 7' });
  const number = /^proposal +(\d+):/m.exec(proposed.out)![1];
  expect((await says(`show ${id}`, {}, keys.carol)).out).not.toContain('ATTERMINAL01');
  const decided = await says(`confirm ${id} ${number}`, facts, keys.carol);
  expect(decided.out).toMatch(/^step .* bob  propose .* ATTERMINAL01, 5000 MTC for 36000 CNY, page 7  carried$/m);
  expect(decided.out).toMatch(/^step .* carol  confirm  ATTERMINAL01, 5000 MTC for 36000 CNY  carried$/m);
  expect(await walletBalance(engine, 'wallet-stated')).toBe('5000');
});

describe('what was said wrongly', () => {
  test.each([
    ['', {}, 'there is no '],
    ['decide', {}, 'there is no decide'],
    ['show', {}, 'CASE is missing'],
    ['propose review:1 credit', {}, '--reason is missing'],
    ['confirm review:1', {}, 'PROPOSAL is missing'],
    ['doubt', { reason: 'because' }, '--deposit, --posting or --case is missing'],
  ] as const)('%s', async (words, options, told) => {
    expect(await says(words, options)).toMatchObject({ code: 2, error: expect.stringContaining(told) });
  });

  test('without a key, nothing is asked', async () => {
    expect(await says('list', {}, '')).toMatchObject({ code: 2, error: expect.stringContaining('API_KEY is missing') });
  });

  test('with a key that is not known, the API says so', async () => {
    expect(await says('list', {}, `dek_${'x'.repeat(43)}`)).toMatchObject({
      code: 1,
      error: expect.stringMatching(/^unauthorized: /),
    });
  });
});
