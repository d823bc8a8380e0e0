import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DECISIONS, entersWallet, isReason, needsTwo, proposalFault, STANDINGS } from '../../domain/decision.ts';
import { formatUnits } from '../../domain/money.ts';
import { createTestDatabase } from '../support/database.ts';

/**
 * The rules exist twice: here for the workflow and the API, and in the database, which moves the money
 * (020-decide.sql).
 */
const { owner } = await createTestDatabase();

const both = [false, true];
const REASONS = ['paid twice', 'ab'];
/** Every possible proposal for a case, including those that the table of steps refuses. */
const ALL = STANDINGS.flatMap((standing) =>
  DECISIONS.flatMap((decision) =>
    both.flatMap((keep) =>
      [null, 'B-1'].flatMap((toDeposit) =>
        [null, '12'].flatMap((beside) =>
          both.flatMap((onlyOrdered) =>
            [null, 'A-1'].flatMap((deposit) =>
              REASONS.map((reason) => ({ standing, deposit, decision, reason, keep, toDeposit, beside, onlyOrdered })),
            ),
          ),
        ),
      ),
    ),
  ),
);

test('the database finds the fault with a proposal that the workflow finds, whatever is proposed of whatever case', async () => {
  const { rows } = await owner.query<{ fault: string | null; enters: boolean }>(
    `select engine.decision_fault(standing, deposit, decision, reason, keep, "toDeposit", beside, "onlyOrdered") as fault,
            engine.decision_enters(standing, decision) as enters
       from rows from (jsonb_to_recordset($1) as (standing text, deposit text, decision text, reason text, keep boolean, "toDeposit" text,
                                                  beside bigint, "onlyOrdered" boolean)) with ordinality x
      order by ordinality`,
    [JSON.stringify(ALL)],
  );
  const amounts = { amount: '5000', reviewLimit: '0' };
  const expected = ALL.map((one) => ({
    fault: proposalFault({ ...one, ...amounts, open: true, proposal: null }, { ...one, operator: 'alice' }),
    enters: entersWallet(one.standing, one.decision),
  }));
  expect(rows).toEqual(expected);
  expect(new Set(expected.map(({ fault }) => fault)).size).toBe(5);
});

test('it has one person suffice where the workflow has', async () => {
  const anyUnits = fc.oneof(fc.bigInt(1n, 10n ** 23n - 1n), fc.bigInt(1n, 30n));
  const anyCase = fc.record({
    amount: fc.option(anyUnits.map(formatUnits)),
    reviewLimit: fc.oneof(anyUnits.map(formatUnits), fc.constant('0')),
    beside: fc.option(fc.constant('12'), { freq: 2 }),
  });
  const cases = fc.sample(anyCase, 3_000);
  const { rows } = await owner.query<{ two: boolean }>(
    `select engine.one_suffices(amount, "reviewLimit", beside) is not true as two
       from rows from (jsonb_to_recordset($1) as (amount text, "reviewLimit" text, beside bigint)) with ordinality x order by ordinality`,
    [JSON.stringify(cases)],
  );
  expect(rows.map(({ two }) => two)).toEqual(cases.map((one) => needsTwo(one, one)));
});

test('it takes the reasons that the workflow takes', async () => {
  // One of every kind of character, and counts just around the limits.
  const some =
    'a| |\t|\n|\u00a0|\u3000|\ufeff|\u2029|\u0085|\u009f|\u00ad|\u061c|\u200b|\u200e|\u202e|\u2069|付|\u0301|😀';
  const character = fc.constantFrom(...some.split('|'));
  const text = fc.array(character, { maxLength: 6 }).map((all) => all.join(''));
  const long = fc.tuple(fc.integer({ min: 990, max: 1_001 }), text).map(([n, end]) => `${'x'.repeat(n)}${end}`);
  const every = Array.from({ length: 0x3100 }, (_, code) => `ab${String.fromCodePoint(code + 1)}`);
  const reasons = [...fc.sample(text, 3_000), ...fc.sample(long, 300), ...every];
  const { rows } = await owner.query<{ taken: boolean }>(
    'select engine.is_reason(reason) as taken from unnest($1::text[]) with ordinality x(reason, n) order by n',
    [reasons],
  );
  const differ = reasons.filter((reason, i) => rows[i]!.taken !== isReason(reason));
  expect(differ.map((reason) => JSON.stringify(reason))).toEqual([]);
});
