import { z } from 'zod';
import { DEPOSIT_STATES, type DepositState } from '../domain/deposit.ts';
import { formatUnits, known, type ParseResult, parseFiat, parseMtc } from '../domain/money.ts';
import { IDENTIFIER } from '../domain/order.ts';
import { buyCoinMode, currencyCode, depositState, supportLanguage } from './states.ts';

declare module 'zod' {
  interface GlobalMeta {
    /** The form in the OpenAPI document, if the schema's own form is unclear, as for a number in an address. */
    wire?: Readonly<Record<string, unknown>>;
    /** The document has these named schemas instead, one for each value of a field. */
    variants?: { readonly by: string; readonly of: Readonly<Record<string, object>> };
  }
}

const identifier = (description: string, example: string) =>
  z
    .string()
    .regex(IDENTIFIER, 'expected 1 to 64 of A-Z a-z 0-9 _ -')
    .meta({ description, examples: [example] });

/** The merchant's order number in paths, bodies and responses. */
export const externalOrderNumber = identifier('The merchant’s order number; it is the idempotency key.', 'order-1001');
export const walletName = identifier('The customer’s wallet.', 'wallet-42');

/** Returns the pattern of a positive decimal as {@link read} accepts it, so that the document is exact. */
function amountPattern(decimals: number): RegExp {
  const small = Array.from({ length: decimals }, (_, zeros) => `0{${zeros}}[1-9][0-9]{0,${decimals - 1 - zeros}}`);
  return new RegExp(`^(?:[1-9][0-9]{0,14}(?:\\.[0-9]{1,${decimals}}0*)?|0\\.(?:${small.join('|')})0*)$`);
}

/** Takes a decimal string and returns its canonical form. */
export const amount = (
  read: (text: string) => ParseResult<bigint>,
  decimals: number,
  description: string,
  example: string,
) =>
  z
    .string('expected a decimal string, such as "5000" or "32551.20"')
    .max(40)
    .superRefine((text, context) => {
      const parsed = read(text);
      if (!parsed.ok)
        context.addIssue({ code: 'custom', message: `${parsed.fault}; at most 15 digits and ${decimals} decimals` });
    })
    .transform((text) => formatUnits(known(read(text), 'amount')))
    .meta({
      description: `${description} Positive, at most 15 digits and ${decimals} decimals, as a string.`,
      examples: [example],
      wire: { type: 'string', maxLength: 40, pattern: amountPattern(decimals).source },
    });

/** Controls, bidi controls and line separators, which make text deceptive; for a class of a regular expression. */
export const CONTROLS = '\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069';
/** Further characters that trimming removes. */
export const SPACES = ' \\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000\\ufeff';
// The pattern matches a text in one way only: with two, a long text that ends in a control would backtrack everywhere.
const NAME = new RegExp(`^[${SPACES}]*[^${CONTROLS}${SPACES}][^${CONTROLS}]*$`, 'u');

/** Letters of any script; no control, no bidi control, no line break, no lone surrogate. Compared and sent in NFC. */
const personName = z
  .string()
  .refine((text) => text.length <= 200 && Array.from(text).length <= 100, 'expected 1 to 100 characters')
  .refine((text) => NAME.test(text) && !/\p{Cs}/u.test(text), 'expected a name; control characters are not allowed')
  .transform((text) => text.normalize('NFC').trim())
  .meta({
    description: 'The payer’s real name, in any script, at most 100 characters. Stored encrypted and never returned.',
    examples: ['Li Ming'],
    wire: { type: 'string', minLength: 1, maxLength: 100, pattern: NAME.source },
  });

const EXAMPLE = {
  externalOrderNumber: 'order-1001',
  wallet: 'wallet-42',
  buyCoinMode: 'MtcAmount',
  mtcAmount: '5000',
  currencyCode: 'CNY',
  supportLanguage: 'en',
  payerRealName: 'Li Ming',
};
const { mtcAmount: _, ...withoutAmount } = EXAMPLE;
const PRICE_EXAMPLE = { ...withoutAmount, buyCoinMode: 'PaymentPrice', totalPrice: '32551.20' };

const order = { externalOrderNumber, wallet: walletName };
const payer = { currencyCode, supportLanguage, payerRealName: personName };
const mtcAmount = amount(parseMtc, 8, 'MTC to buy, in mode MtcAmount.', '5000');
const totalPrice = amount(parseFiat, 2, 'The whole price that the payer pays, in mode PaymentPrice.', '32551.20');
const mode = <const M extends string>(name: M, description: string) => z.literal(name).meta({ description });

/** The rule between the fields, for readers of the document: each mode requires its own field and refuses the other. */
const createVariants = {
  MtcAmount: z
    .strictObject({ ...order, buyCoinMode: mode('MtcAmount', 'The MTC is given.'), mtcAmount, ...payer })
    .meta({ id: 'CreateDepositByAmount', description: 'The wallet gets this much MTC.', examples: [EXAMPLE] }),
  PaymentPrice: z
    .strictObject({ ...order, buyCoinMode: mode('PaymentPrice', 'The price is given.'), totalPrice, ...payer })
    .meta({ id: 'CreateDepositByPrice', description: 'The payer pays this price.', examples: [PRICE_EXAMPLE] }),
};

export const createBody = z
  .strictObject({
    ...order,
    buyCoinMode,
    mtcAmount: mtcAmount.optional(),
    totalPrice: totalPrice.optional(),
    ...payer,
  })
  .superRefine((body, context) => {
    const [needed, other] =
      body.buyCoinMode === 'MtcAmount'
        ? (['mtcAmount', 'totalPrice'] as const)
        : (['totalPrice', 'mtcAmount'] as const);
    if (body[needed] === undefined)
      context.addIssue({ code: 'custom', path: [needed], message: `required in mode ${body.buyCoinMode}` });
    if (body[other] !== undefined)
      context.addIssue({ code: 'custom', path: [other], message: `not allowed in mode ${body.buyCoinMode}` });
  })
  .meta({
    id: 'CreateDeposit',
    description: 'A customer’s request to pay in. The mode says which one of mtcAmount and totalPrice is given.',
    examples: [EXAMPLE, PRICE_EXAMPLE],
    variants: { by: 'buyCoinMode', of: createVariants },
  });
export type CreateBody = z.output<typeof createBody>;

const DAY =
  '(?:20[0-9]{2}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))' +
  '|20(?:[02468][048]|[13579][26])-02-29)';
/** The end of a page, in microseconds. Only existing days match, so that the database can parse each of them. */
export const CURSOR_TIME = `${DAY}T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}\\.[0-9]{6}Z`;
const CURSOR = new RegExp(`^(${CURSOR_TIME})~([A-Za-z0-9_-]{1,64})$`);

/** A parameter that says where a page begins. */
export const cursorOf = <T>(form: RegExp, read: (parts: RegExpExecArray) => T, example: string) =>
  z
    .string()
    .regex(form, 'not a cursor of ours: use nextCursor of the previous page')
    .transform((text) => read(form.exec(text)!))
    .meta({ description: 'Where the page begins: nextCursor of the page before.', examples: [example] });

const cursor = cursorOf(
  CURSOR,
  ([, createdAt, orderNumber]) => ({ createdAt: createdAt!, externalOrderNumber: orderNumber! }),
  '2026-01-31T09:30:00.000001Z~order-1001',
);

export const encodeCursor = (end: { readonly createdAt: string; readonly externalOrderNumber: string }): string =>
  `${end.createdAt}~${end.externalOrderNumber}`;

const INSTANT = new RegExp(`^${DAY}T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}(?:\\.[0-9]{1,6})?Z$`);
/** A time in a parameter; only existing days match. */
export const instant = (description: string) =>
  z
    .string()
    .regex(INSTANT, 'expected a time as RFC 3339 in UTC, such as 2026-01-31T09:30:00Z')
    .transform((text) => new Date(text))
    .meta({ description: `${description} RFC 3339, UTC.`, examples: ['2026-01-31T09:30:00Z'] });

export const pageLimit = z
  .string()
  .regex(/^(?:[1-9]\d?|1\d\d|200)$/, 'expected 1 to 200')
  .transform(Number)
  .default(50)
  .meta({
    description: 'The most items of a page.',
    wire: { type: 'integer', minimum: 1, maximum: 200, default: 50 },
  });

const isState = (text: string) => (DEPOSIT_STATES as readonly string[]).includes(text);
const states = z
  .preprocess(
    (given) => [given].flat().flatMap((one: unknown) => (typeof one === 'string' ? one.split(',') : [one])),
    z
      .array(z.string())
      .max(DEPOSIT_STATES.length)
      .refine((given) => given.every(isState), `expected one or more of ${DEPOSIT_STATES.join(', ')}`),
  )
  .transform((given) => given as DepositState[])
  .meta({
    description: 'Only deposits in one of these states. Repeat the parameter, or separate the states by commas.',
    examples: [['CREDITED']],
    wire: {
      type: 'array',
      items: { $ref: '#/components/schemas/DepositState' },
      minItems: 1,
      maxItems: DEPOSIT_STATES.length,
    },
  });

export const listQuery = z.strictObject({
  state: states.optional(),
  wallet: walletName.optional(),
  createdFrom: instant('Only deposits that were created at this time or later.').optional(),
  createdBefore: instant('Only deposits that were created before this time.').optional(),
  transactionCode: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'expected 1 to 64 of A-Z a-z 0-9 _ -')
    .optional()
    .meta({
      description: 'Only deposits for which a payment with this name came, or was credited.',
      examples: ['ATUQXFSR87N9R6TM8'],
    }),
  orderPrefix: identifier(
    'Only deposits whose order number begins so. The list is then in the order of the numbers, byte by byte, and a page ' +
      'with further filters may be short or empty before the last.',
    'order-10',
  ).optional(),
  cursor: cursor.optional(),
  limit: pageLimit,
});

/** The longest wait, in seconds: shorter than a minute, after which proxies give up. */
export const MAX_WAIT_SECONDS = 30;

export const readQuery = z.strictObject({
  wait: z
    .string()
    .regex(/^(?:[1-9]|[12]\d|30)$/, `expected 1 to ${MAX_WAIT_SECONDS} seconds`)
    .transform(Number)
    .optional()
    .meta({
      description:
        'Seconds. The response comes as soon as the deposit has another state or a new event, at the latest after this ' +
        'time, and at once if its state is final. It also comes at once while too many others wait.',
      wire: { type: 'integer', minimum: 1, maximum: MAX_WAIT_SECONDS, examples: [20] },
    }),
  state: depositState.optional().meta({
    description:
      'With `wait`: the state that the caller knows. If the deposit has another one, the response comes at once.',
  }),
});
