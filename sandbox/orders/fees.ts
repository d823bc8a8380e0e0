import { z } from 'zod';
import { parseDecimal, significantDecimals } from '../wire/decimal.ts';

const amount = (max: number, decimals: number) =>
  z.string().refine((text) => {
    const parsed = parseDecimal(text);
    return parsed !== null && Number(text) < max && significantDecimals(parsed) <= decimals;
  }, `must be a decimal of at least 0, below ${max}, with at most ${decimals} decimals`);

/**
 * The handling fee. The documents say only that the amount received "may vary with the handling fee configuration". So
 * all of it is a setting, with no fee by default. Each order freezes it when it is made.
 */
export const feesSchema = z.strictObject({
  /** Percent of the MTC bought. */
  percent: amount(100, 6),
  /** MTC per order, on top of the percentage. */
  fixed: amount(1_000_000, 8),
  /** `payer`: the fee is part of the price, in fiat. `merchant`: it is deducted from the MTC. */
  borneBy: z.enum(['payer', 'merchant']),
  /** Whether a callback's transactionAmount is before (`gross`) or after (`net`) the merchant's fee. */
  report: z.enum(['gross', 'net']),
});

export type Fees = z.infer<typeof feesSchema>;

export const NO_FEES: Fees = { percent: '0', fixed: '0', borneBy: 'merchant', report: 'net' };
