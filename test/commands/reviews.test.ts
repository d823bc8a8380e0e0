import { describe, expect, test } from 'vitest';
import { type ReviewOptions, runReviews } from '../../commands/reviews-terminal.ts';
import { createApiKey } from '../../database/api-keys.ts';
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
  expect(id).toMatch(/^review:\d+:reversal:1$/);
  const number = /proposal +(\d+):/.exec(
    (await says(`propose ${id} reverse`, { reason: 'recalled', keep: true })).out,
  )![1];
  const withdrawn = await says(`withdraw ${id} ${number}`, { reason: 'it was another one' });
  expect(withdrawn).toMatchObject({ code: 0, out: expect.stringContaining('withdraw') });
  expect(await walletBalance(engine, 'wallet-doubted')).toBe('5000');
});

describe('what was said wrongly', () => {
  test.each([
    ['', {}, 'there is no '],
    ['decide', {}, 'there is no decide'],
    ['show', {}, 'CASE is missing'],
    ['propose review:1 credit', {}, '--reason is missing'],
    ['confirm review:1', {}, 'PROPOSAL is missing'],
    ['doubt', { reason: 'because' }, '--deposit or --posting is missing'],
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
