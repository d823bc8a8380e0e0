import { z } from 'zod';
import type { HistoryFacts, HistoryStep } from '../../archive/history.ts';
import { DECISIONS, STANDINGS } from '../../domain/decision.ts';
import { FINAL_STATES } from '../../domain/deposit.ts';
import { parseFiat, parseFraction, parseMtc, type ParseResult, parseUnitPrice } from '../../domain/money.ts';
import { BUY_COIN_MODES, CURRENCIES, PROVIDER_NAMES } from '../../domain/order.ts';
import type { DepositInput } from '../../workflows/messages.ts';

/**
 * The shapes of inputs, answers and results in histories, of all versions. A history with another shape is forged. The
 * comparisons rely on these shapes and need not check again.
 */

const decimal = (parse: (text: string) => ParseResult<bigint>) =>
  z.string().refine((text) => parse(text).ok, 'no amount');
const id = z.string().regex(/^[1-9]\d{0,17}$/, 'no id');
const time = z.string().refine((text) => new Date(text).toJSON() === text, 'no time');
const text = z.string();
const durationMs = z.int().min(0);

const band = z.looseObject({ from: decimal(parseUnitPrice), to: decimal(parseUnitPrice) });
const settings = z.looseObject({
  rateBands: z.looseObject({ CNY: band, HKD: band, TWD: band }),
  feeBand: decimal(parseFraction),
  feeBands: z.partialRecord(z.enum(CURRENCIES), decimal(parseFraction)).optional(),
  creditCap: decimal(parseMtc).optional(),
  latePolicy: z.enum(['credit', 'review']),
  paymentWindowMs: durationMs,
  listeningWindowMs: durationMs,
  reviewLimit: decimal(parseFraction),
});
/** Exactly one amount, by the mode: the judge relies on it. */
const isOrder = ({
  buyCoinMode,
  mtcAmount,
  totalPrice,
}: Pick<DepositInput, 'buyCoinMode' | 'mtcAmount' | 'totalPrice'>) =>
  buyCoinMode === 'MtcAmount' ? mtcAmount !== null && totalPrice === null : mtcAmount === null && totalPrice !== null;
const depositInput = z
  .looseObject({
    externalOrderNumber: text,
    wallet: text,
    buyCoinMode: z.enum(BUY_COIN_MODES),
    mtcAmount: decimal(parseMtc).nullable(),
    totalPrice: decimal(parseFiat).nullable(),
    currencyCode: z.enum(CURRENCIES),
    settings,
    reservedAt: time.optional(),
    provider: z.enum(PROVIDER_NAMES).optional(),
  })
  .refine(isOrder, 'the amount is not that of the mode');

const payment = z.looseObject({
  inboxId: id,
  transactionCode: text,
  transactionAmount: decimal(parseMtc),
  currencyCode: text,
  paymentPrice: decimal(parseFiat),
  receivedAt: time,
});
const reviewInput = z.looseObject({
  inboxId: id,
  externalOrderNumber: text,
  reason: text,
  transactionCode: text.nullable(),
  payment: payment.nullish(),
  order: depositInput.nullish(),
  standing: z.enum(STANDINGS).optional(),
  doubt: z.looseObject({ postingId: id, operator: text, reason: text }).optional(),
  workflowId: text.optional(),
  heldBy: text.optional(),
  said: text.optional(),
});

const nothing = z.null();
/** The end of the row when its workflow asked. */
const settlement = z.strictObject({
  state: z.enum(['CREDITED', 'REJECTED']),
  postingId: id.nullable(),
  late: z.boolean(),
  transactionCode: text.nullable(),
});
/** The named payment is not the bound one. */
const unbound = z.strictObject({
  kind: z.literal('unbound'),
  binds: payment.nullable(),
  settled: settlement.nullable(),
});
const parked = z.strictObject({ postingId: id.nullable(), codeStands: z.boolean() });
const placement = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('placed'),
    advertisementCode: text,
    expiresAt: time,
    redirectHash: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'no hash')
      .optional(),
  }),
  z.strictObject({ kind: z.literal('unknown'), expiresAt: time }),
  z.strictObject({ kind: z.literal('refused'), reason: text }),
]);
const concluded = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('decided'),
    decision: z.enum(DECISIONS),
    postingId: id.nullable(),
    decidedBy: text,
    settled: z.strictObject({ postingId: id, transactionCode: text.nullable() }).optional(),
    elsewhere: z.literal(true).optional(),
  }),
  z.strictObject({
    kind: z.literal('withdrawn'),
    postingId: id,
    decidedBy: text,
    standing: z.enum(STANDINGS).optional(),
  }),
  z.strictObject({ kind: z.literal('refused'), refusal: text, detail: text, standing: z.enum(STANDINGS).optional() }),
]);

/** The result of each activity. Those without a result return null. */
const ANSWERS: Readonly<Record<string, z.ZodType>> = {
  placeOrder: placement,
  settlePlacement: placement,
  close: z.union([payment, z.strictObject({ settled: settlement })]).nullable(),
  credit: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('credited'), postingId: id, postedAt: time }),
    z.strictObject({
      kind: z.literal('conflict'),
      reason: z.enum(['LEDGER_CONFLICT', 'LEDGER_REJECTED', 'OTHER_PAYMENT_CREDITED', 'SEAL_BROKEN']),
      detail: text.optional(),
    }),
    unbound,
  ]),
  // Older code returned nothing.
  recordState: z.strictObject({ expiresAt: time.nullable(), settled: settlement.optional() }).nullable(),
  settlement: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('open'), binds: payment.nullable() }),
    z.strictObject({ kind: z.literal('settled'), ...settlement.shape }),
  ]),
  // In histories of v1 it returns nothing.
  recordReview: z.union([parked, unbound]).nullable(),
  park: parked,
  recordProposal: z.strictObject({ stands: z.boolean() }).nullable(),
  decide: concluded,
  caseOutcome: z.union([
    concluded,
    z.strictObject({ kind: z.literal('open'), standing: z.enum(STANDINGS).nullable(), proposalId: id.nullable() }),
  ]),
};

/** The updates that the workflow's validators accept. Their rows show whether an operator took the step. */
const step = { decisionId: text, operator: text };
const UPDATES: Readonly<Record<string, z.ZodType>> = {
  propose: z.looseObject({
    ...step,
    decision: z.enum(DECISIONS),
    reason: text,
    keep: z.boolean(),
    toDeposit: text.nullable(),
    beside: text.nullish(),
    onlyOrdered: z.boolean().optional(),
  }),
  confirm: z.looseObject({ ...step, proposalId: text }),
  withdraw: z.looseObject({ ...step, proposalId: text }),
};

const SIGNALS: Readonly<Record<string, z.ZodType>> = {
  // A payment of another shape is ignored by the workflow, and so by the audit.
  callbackAccepted: z.unknown(),
  // Hints: the workflow asks the database about their content, and the answer is compared.
  orderAnswered: z.unknown(),
  lookAgain: z.unknown(),
};

const RESULTS: Readonly<Record<string, z.ZodType>> = {
  deposit: z.strictObject({
    state: z.enum(FINAL_STATES),
    late: z.boolean(),
    postingId: id.nullable(),
    transactionCode: text.nullable(),
    refusal: text.nullable(),
  }),
  review: z.strictObject({ decision: z.enum(DECISIONS), postingId: id.nullable(), decidedBy: text }),
};

/** Faults of a history's shape, each with its path: `input.settings.feeBand: no amount`. */
export function shapeFaults(facts: HistoryFacts): string[] {
  const isDeposit = facts.workflowType === 'deposit';
  if (!isDeposit && facts.workflowType !== 'review') return [`a workflow of type ${facts.workflowType} moves no money`];
  return [
    ...faults('input', isDeposit ? depositInput : reviewInput, facts.input),
    ...facts.steps.flatMap((one) => stepFaults(one)),
    ...(facts.end?.status === 'completed' ? faults('result', RESULTS[facts.workflowType]!, facts.end.result) : []),
  ];
}

function stepFaults(one: HistoryStep): string[] {
  if (one.kind === 'timer' || (one.kind === 'activity' && one.failed)) return [];
  const where = `event ${one.eventId}, ${one.kind} ${one.name}`;
  const known = { signal: SIGNALS, update: UPDATES, activity: ANSWERS }[one.kind];
  const schema = Object.hasOwn(known, one.name) ? known[one.name] : undefined;
  if (schema === undefined) return [`${where}: there is no such ${one.kind}`];
  if (one.kind === 'activity') return faults(where, schema, one.result);
  const said = faults(where, schema, one.input);
  // A refused step has no answer.
  const answer = one.kind === 'update' && one.name === 'confirm' ? concluded.nullish() : nothing.optional();
  return one.kind === 'update' ? [...said, ...faults(`${where}, its answer`, answer, one.outcome)] : said;
}

function faults(where: string, schema: z.ZodType, value: unknown): string[] {
  const parsed = schema.safeParse(value);
  if (parsed.success) return [];
  return parsed.error.issues.slice(0, 5).map(({ path, message }) => {
    const place = [where, ...path.map(String)].join('.');
    return `${place}: ${message}`;
  });
}
