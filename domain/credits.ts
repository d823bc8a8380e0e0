import { formatUnits, known, parseMtc } from './money.ts';

/** The credits of one deposit, as merchants and operators read them (docs/reference/api.md#what-was-credited). Pure. */

/** A posting that put money into a wallet for the deposit. Ids text, decimals canonical. */
export interface Credit {
  readonly postingId: string;
  /** MTC that the wallet got. */
  readonly amount: string;
  /** The part of the payment that stays in suspense, because only the ordered amount was credited, MTC; null: none. */
  readonly rest: string | null;
  readonly wallet: string;
  /** The provider's code of the payment that brought this money. */
  readonly transactionCode: string | null;
  readonly how: 'machine' | 'people';
  readonly at: Date;
  /**
   * The posting that took it out of the wallet again; `kept`: into suspense instead of to the provider. Null: it is in
   * the wallet.
   */
  readonly reversed: { readonly postingId: string; readonly at: Date; readonly kept: boolean } | null;
}

/** The payments of a deposit that are in wallets: none, one, one in part (the rest is in suspense), or more. */
export const DEPOSIT_STANDINGS = ['none', 'credited', 'partly', 'more'] as const;
export type DepositStanding = (typeof DEPOSIT_STANDINGS)[number];

/** `creditedAmount`: the sum that is in wallets, MTC; null: nothing was ever credited. */
export function sumOf(credits: readonly Pick<Credit, 'amount' | 'rest' | 'reversed'>[]): {
  readonly standing: DepositStanding;
  readonly creditedAmount: string | null;
} {
  const stands = credits.filter((credit) => credit.reversed === null);
  const units = stands.reduce((sum, { amount }) => sum + known(parseMtc(amount), 'credit'), 0n);
  return {
    standing: standingOf(stands),
    creditedAmount: credits.length === 0 ? null : formatUnits(units),
  };
}

function standingOf([first, second]: readonly Pick<Credit, 'rest'>[]): DepositStanding {
  if (first === undefined) return 'none';
  if (second !== undefined) return 'more';
  return first.rest === null ? 'credited' : 'partly';
}
