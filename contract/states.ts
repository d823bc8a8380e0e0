import { z } from 'zod';
import { DEPOSIT_STANDINGS, type DepositStanding } from '../domain/credits.ts';
import { type Decision, DECISIONS, type Standing, STANDINGS } from '../domain/decision.ts';
import { DEPOSIT_STATES, type DepositState } from '../domain/deposit.ts';
import { BUY_COIN_MODES, CURRENCIES, LANGUAGES } from '../domain/order.ts';

/** The words with a closed list of values, each value with its meaning. */

/** Returns the schema of a word. `about` begins its description; the meanings of the values follow. */
function word<const V extends string>(
  id: string,
  values: readonly [V, ...V[]],
  about: string,
  meanings: Readonly<Record<V, string>>,
) {
  const list = values.map((value) => `\`${value}\`: ${meanings[value]}.`).join(' ');
  return z.enum(values).meta({ id, description: `${about} ${list}` });
}

/** For a merchant; docs/reference/lifecycle.md#states has the words of the engine. */
const STATES = {
  PLACING: 'the order is being placed at the provider, and there is no checkout link yet',
  PLACEMENT_REFUSED: 'no order exists, and none will be placed under this number',
  PLACEMENT_UNKNOWN:
    'nobody knows whether the provider has the order; there is no link, and a payment is still accepted',
  AWAITING_PAYMENT: 'the checkout link works, and no payment came yet',
  EXPIRED: 'the payment window ended without a payment; a late one is still accepted',
  CREDITING: 'a payment came and is being credited',
  IN_REVIEW: 'a payment came, and operators decide about it',
  CREDITED: 'a payment was credited; final',
  REJECTED: 'operators did not credit the payment to this deposit; final',
  UNPAID: 'no payment came in time; final',
} as const satisfies Record<DepositState, string>;

export const depositState = word('DepositState', DEPOSIT_STATES, 'The state of a deposit.', STATES);

export const depositStanding = word(
  'DepositStanding',
  DEPOSIT_STANDINGS,
  'How many payments of this deposit are in wallets now.',
  {
    none: 'no payment',
    credited: 'one payment',
    partly: 'one payment, of which a rest is in suspense',
    more: 'more than one payment',
  } satisfies Record<DepositStanding, string>,
);

export const decision = word('Decision', DECISIONS, 'A decision of operators.', {
  credit: 'the money goes into the wallet',
  reject: 'it does not, and goes back to the provider if it is here',
  reverse: 'a credit is taken out of the wallet',
  restore: 'money that was taken out goes into the wallet again',
} satisfies Record<Decision, string>);

export const moneyStanding = word('MoneyStanding', STANDINGS, 'Where the books have the money of a case.', {
  nothing: 'not booked',
  parked: 'in suspense, until operators decide',
  credited: 'in a wallet, and doubted',
  withdrawn: 'in suspense, taken out of a wallet',
  returned: 'back at the provider',
  elsewhere: 'its code belongs to the case of another callback',
  unreadable: 'not booked, because its amount could not be read; two people may state it',
} satisfies Record<Standing, string>);

export const buyCoinMode = word('BuyCoinMode', BUY_COIN_MODES, 'Which side of the order is fixed.', {
  MtcAmount: 'the MTC that the wallet gets; the provider computes the price',
  PaymentPrice: 'the price that the payer pays; the provider computes the MTC',
});

export const currencyCode = word('Currency', CURRENCIES, 'The currency that the payer pays in.', {
  CNY: 'yuan',
  HKD: 'Hong Kong dollar',
  TWD: 'New Taiwan dollar',
});

export const supportLanguage = word('Language', LANGUAGES, 'The language of the checkout.', {
  en: 'English',
  zh_CN: 'Chinese in simplified characters',
  zh_TW: 'Chinese in traditional characters',
});
