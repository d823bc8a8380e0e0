import { z } from 'zod';
import { rawValue } from './callback-body.ts';
import { decimal, times, toText } from './decimal.ts';
import { kind } from './fault-kind.ts';

export interface PlannedTransaction {
  readonly transactionCode: string;
  readonly transactionAmount: string;
  readonly paymentPrice: string;
}

export interface PlannedDelivery {
  /** Which of the plan's transactions it tells of. */
  readonly transaction: number;
  /** Data fields told otherwise than the transaction has them, as raw JSON text. */
  readonly overrides: Readonly<Record<string, string>>;
  readonly delayMs: number;
  /** Held back until the plan's first delivery is no longer pending, so that the order of arrival is certain. */
  readonly afterFirst: boolean;
}

/** What the release of an order will bring about; usually one transaction and one delivery. */
export interface ReleasePlan {
  readonly transactions: readonly PlannedTransaction[];
  readonly deliveries: readonly PlannedDelivery[];
}

/** What a fault does to a release. `newCode` makes a transaction code. */
export type ReleaseEffect = (plan: ReleasePlan, newCode: () => string) => ReleasePlan;

const ms = z.int().min(0).max(10_000_000_000);
const DOUBLE = decimal('2');

/** Faults of the release: they decide which callbacks there are, not what one attempt at them looks like. */
export const RELEASE_FAULTS = {
  missing: kind({}, (): ReleaseEffect => (plan) => ({ ...plan, deliveries: [] })),
  /** `copies` deliveries of the same callback at once. */
  duplicate: kind(
    { copies: z.int().min(2).max(200).default(2) },
    (params): ReleaseEffect =>
      (plan) => ({
        ...plan,
        deliveries: plan.deliveries.flatMap((delivery) => Array.from({ length: params.copies }, () => delivery)),
      }),
  ),
  /** Not divided by the speed. */
  delay: kind(
    { ms },
    (params): ReleaseEffect =>
      (plan) => ({
        ...plan,
        deliveries: plan.deliveries.map((delivery) => ({ ...delivery, delayMs: delivery.delayMs + params.ms })),
      }),
  ),
  /** A second transaction for the same order, as if the payer had paid twice. */
  secondCode: kind(
    { atOnce: z.boolean().default(false) },
    (params): ReleaseEffect =>
      (plan, newCode) => ({
        transactions: [...plan.transactions, { ...plan.transactions[0]!, transactionCode: newCode() }],
        deliveries: [
          ...plan.deliveries,
          { transaction: plan.transactions.length, overrides: {}, delayMs: 0, afterFirst: !params.atOnce },
        ],
      }),
  ),
  /** A second delivery of the same transaction with other data; without `data` the amount is doubled. */
  otherContent: kind(
    { data: z.record(z.string(), z.unknown()).optional(), atOnce: z.boolean().default(false) },
    (params): ReleaseEffect =>
      (plan) => {
        const doubled = toText(times(decimal(plan.transactions[0]!.transactionAmount), DOUBLE), 2);
        const data = Object.entries(params.data ?? { transactionAmount: doubled });
        const overrides = Object.fromEntries(data.map(([name, value]) => [name, rawValue(name, value)]));
        const extra = { transaction: 0, overrides, delayMs: 0, afterFirst: !params.atOnce };
        return { ...plan, deliveries: [...plan.deliveries, extra] };
      },
  ),
};
