import { z } from 'zod';
import { parseDecimal, significantDecimals } from '../wire/decimal.ts';

const amount = (max: number, decimals: number) =>
  z.string().refine((text) => {
    const parsed = parseDecimal(text);
    return parsed !== null && Number(text) < max && significantDecimals(parsed) <= decimals;
  }, `must be a decimal of at least 0, below ${max}, with at most ${decimals} decimals`);

/**
 * The handling fee. The documents say only that the amount received "may vary with the handling fee configuration", so
 * all of it is a setting and none is taken by default. It is frozen in each order when the order is made.
 */
export const feesSchema = z.strictObject({
  /** Percent of the MTC bought. */
  percent: amount(100, 6),
  /** MTC per order, on top of the percentage. */
  fixed: amount(1_000_000, 8),
  /** `payer`: the fee is part of the price, in fiat. `merchant`: it is kept back from the MTC. */
  borneBy: z.enum(['payer', 'merchant']),
  /** Whether a callback's transactionAmount is before (`gross`) or after (`net`) a fee the merchant bears. */
  report: z.enum(['gross', 'net']),
});

export type Fees = z.infer<typeof feesSchema>;

export const NO_FEES: Fees = { percent: '0', fixed: '0', borneBy: 'merchant', report: 'net' };
