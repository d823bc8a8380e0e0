import { z } from 'zod';
import { rawValue } from '../wire/callback-body.ts';
import { decimal, times, toText } from '../wire/decimal.ts';
import { kind } from './fault-kind.ts';
import { charactersIn } from '../plain-text.ts';
import { RETRIES } from '../wire/retry-schedule.ts';

export interface PlannedTransaction {
  readonly transactionCode: string;
  readonly transactionAmount: string;
  readonly paymentPrice: string;
}

export interface PlannedDelivery {
  /** The index of the plan's transaction that it reports. */
  readonly transaction: number;
  /** Data fields that differ from the transaction, as raw JSON text. */
  readonly overrides: Readonly<Record<string, string>>;
  readonly delayMs: number;
  /** Waits until the plan's first delivery is no longer pending, so that the order of arrival is certain. */
  readonly afterFirst: boolean;
  /** Sent only once, as this retry of the table; null: the schedule starts at the beginning of the table. */
  readonly onlyRetry: number | null;
}

/** The results of an order's release; usually one transaction and one delivery. */
export interface ReleasePlan {
  readonly transactions: readonly PlannedTransaction[];
  readonly deliveries: readonly PlannedDelivery[];
}

/** The functions that effects may call. */
export interface ReleaseWorld {
  /** Returns a new transaction code. */
  newCode(): string;
  /** Returns the code of the order of that number, or of the last other order released; null if there is none. */
  codeOfOther(externalOrderNumber: string | null): Promise<string | null>;
}

/** The effect of a fault on a release. */
export type ReleaseEffect = (plan: ReleasePlan, world: ReleaseWorld) => ReleasePlan | Promise<ReleasePlan>;

const ms = z.int().min(0).max(10_000_000_000);
const DOUBLE = decimal('2');

const REGULAR: PlannedDelivery = { transaction: 0, overrides: {}, delayMs: 0, afterFirst: false, onlyRetry: null };

const withSecondCode = (plan: ReleasePlan, code: string, afterFirst: boolean): ReleasePlan => ({
  transactions: [...plan.transactions, { ...plan.transactions[0]!, transactionCode: code }],
  deliveries: [...plan.deliveries, { ...REGULAR, transaction: plan.transactions.length, afterFirst }],
});

/** Faults of the release: they decide which callbacks exist, not the content of one attempt. */
export const RELEASE_FAULTS = {
  missing: kind(
    'The payer paid and the currency was released, and no callback is ever sent.',
    {},
    (): ReleaseEffect => (plan) => ({ ...plan, deliveries: [] }),
  ),
  duplicate: kind(
    'Copies of the same callback are delivered at once.',
    { copies: z.int().min(2).max(200).default(2) },
    (params): ReleaseEffect =>
      (plan) => ({
        ...plan,
        deliveries: plan.deliveries.flatMap((delivery) => Array.from({ length: params.copies }, () => delivery)),
      }),
  ),
  delay: kind(
    'The callback comes late, by a time the speed does not divide.',
    { ms: ms.default(60_000) },
    (params): ReleaseEffect =>
      (plan) => ({
        ...plan,
        deliveries: plan.deliveries.map((delivery) => ({ ...delivery, delayMs: delivery.delayMs + params.ms })),
      }),
  ),
  secondCode: kind(
    'The order brings a second transaction with a code of its own, as if the payer had paid twice.',
    { atOnce: z.boolean().default(false) },
    (params): ReleaseEffect =>
      (plan, world) =>
        withSecondCode(plan, world.newCode(), !params.atOnce),
  ),
  otherContent: kind(
    'A second callback tells the same transaction with other data; unless told otherwise, twice the amount.',
    { data: z.record(z.string(), z.unknown()).optional(), atOnce: z.boolean().default(false) },
    (params): ReleaseEffect =>
      (plan) => {
        const doubled = toText(times(decimal(plan.transactions[0]!.transactionAmount), DOUBLE), 2);
        const data = Object.entries(params.data ?? { transactionAmount: doubled });
        const overrides = Object.fromEntries(data.map(([name, value]) => [name, rawValue(name, value)]));
        return { ...plan, deliveries: [...plan.deliveries, { ...REGULAR, overrides, afterFirst: !params.atOnce }] };
      },
  ),
  reordered: kind(
    'Callbacks of the order arrive in the wrong order: the later transaction is told first. An order with one callback gets a second transaction for it.',
    {},
    (): ReleaseEffect => (plan, world) => {
      const several = plan.deliveries.length > 1 ? plan : withSecondCode(plan, world.newCode(), true);
      const reversed = several.deliveries.toReversed();
      return {
        ...several,
        deliveries: reversed.map((delivery, index) => ({ ...delivery, afterFirst: index > 0 })),
      };
    },
  ),
  sameCode: kind(
    'The callback carries the transaction code of another order, of the one released last unless one is named.',
    {
      of: z
        .string()
        .min(1)
        .refine((text) => charactersIn(text) <= 128, 'must have at most 128 characters')
        .nullable()
        .default(null),
    },
    (params): ReleaseEffect =>
      async (plan, world) => {
        const code = await world.codeOfOther(params.of);
        if (code === null) return plan;
        const overrides = { transactionCode: JSON.stringify(code) };
        return {
          ...plan,
          deliveries: plan.deliveries.map((each) => ({ ...each, overrides: { ...each.overrides, ...overrides } })),
        };
      },
  ),
  retryStorm: kind(
    'The first delivery and all sixteen retries of the table come at the same moment.',
    {},
    (): ReleaseEffect => (plan) => ({
      ...plan,
      deliveries: plan.deliveries.flatMap((delivery) => [
        delivery,
        ...Array.from({ length: RETRIES }, (_, index) => ({ ...delivery, onlyRetry: index + 1 })),
      ]),
    }),
  ),
};
