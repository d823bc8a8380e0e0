import { z } from 'zod';
import { DEPOSIT_STATES } from '../domain/deposit.ts';
import { formatUnits, known, type Parsed, parseFiat, parseMtc } from '../domain/money.ts';
import { BUY_COIN_MODES, CURRENCIES, IDENTIFIER, LANGUAGES } from '../domain/order.ts';
import { isObject, JsonError, JsonNumber, type JsonValue, parseStrictJson } from '../mtpay/strict-json.ts';
import { ApiError, type FieldFault } from './errors.ts';

const identifier = z.string().regex(IDENTIFIER, 'expected 1 to 64 of A-Z a-z 0-9 _ -');

/** A decimal string in, its canonical form out. */
const amount = (read: (text: string) => Parsed<bigint>, decimals: number) =>
  z
    .string('expected a decimal string, such as "5000" or "32551.20"')
    .max(40)
    .superRefine((text, context) => {
      const parsed = read(text);
      if (!parsed.ok)
        context.addIssue({ code: 'custom', message: `${parsed.fault}; at most 15 digits and ${decimals} decimals` });
    })
    .transform((text) => formatUnits(known(read(text), 'amount')));

/** Letters of any script; no control, no bidi control, no line break, no lone surrogate. Compared and sent in NFC. */
const personName = z
  .string()
  .transform((text) => text.normalize('NFC').trim())
  .refine((text) => text.length >= 1 && text.length <= 100, 'expected 1 to 100 characters')
  .refine((text) => !/[\p{Cc}\p{Cs}\p{Bidi_Control}\p{Zl}\p{Zp}]/u.test(text), 'control characters are not allowed');

export const createBody = z
  .strictObject({
    externalOrderNumber: identifier,
    wallet: identifier,
    buyCoinMode: z.enum(BUY_COIN_MODES),
    mtcAmount: amount(parseMtc, 8).optional(),
    totalPrice: amount(parseFiat, 2).optional(),
    currencyCode: z.enum(CURRENCIES),
    supportLanguage: z.enum(LANGUAGES),
    payerRealName: personName,
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
  });
export type CreateBody = z.output<typeof createBody>;

const cursor = z.string().transform((text, context) => {
  const match = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z)\|([A-Za-z0-9_-]{1,64})$/.exec(
    Buffer.from(text, 'base64url').toString('latin1'),
  );
  if (match !== null && isMoment(match[1]!)) return { createdAt: match[1]!, externalOrderNumber: match[2]! };
  context.addIssue({ code: 'custom', message: 'not a cursor of ours: use nextCursor of the previous page' });
  return z.NEVER;
});

/** Date.parse alone takes the 31st of February, and the year 0, which the database does not have. */
const isMoment = (text: string): boolean =>
  !text.startsWith('0000') &&
  !Number.isNaN(Date.parse(text)) &&
  new Date(text).toISOString().slice(0, 19) === text.slice(0, 19);

export const encodeCursor = (end: { readonly createdAt: string; readonly externalOrderNumber: string }): string =>
  Buffer.from(`${end.createdAt}|${end.externalOrderNumber}`, 'latin1').toString('base64url');

export const listQuery = z.strictObject({
  state: z.enum(DEPOSIT_STATES).optional(),
  wallet: identifier.optional(),
  cursor: cursor.optional(),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,2}$/, 'expected 1 to 200')
    .transform(Number)
    .refine((limit) => limit <= 200, 'expected 1 to 200')
    .default(50),
});

export const pathIdentifier = (field: string) => z.object({ [field]: identifier });

/** Reads strict JSON and checks it. Throws {@link ApiError} that names every field at fault. */
export function readBody<T extends z.ZodType>(schema: T, raw: Uint8Array): z.output<T> {
  return check(schema, plain(parse(raw)));
}

/** Checks what came in the address. Throws {@link ApiError} that names every field at fault. */
export function check<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.flatMap((issue): FieldFault[] =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ field: [...issue.path, key].join('.').slice(0, 100), message: 'unknown field' }))
      : [{ field: issue.path.join('.'), message: issue.message }],
  );
  const names = faults.map((fault) => `${fault.field === '' ? 'the body' : fault.field}: ${fault.message}`);
  throw new ApiError('invalid_request', names.slice(0, 5).join('; '), { faults: faults.slice(0, 20) });
}

function parse(raw: Uint8Array): JsonValue {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
  } catch (error) {
    throw Object.assign(new ApiError('invalid_request', 'the body is not UTF-8'), { cause: error });
  }
  try {
    return parseStrictJson(text);
  } catch (error) {
    if (error instanceof JsonError)
      throw new ApiError('invalid_request', `the body is not strict JSON: ${error.message}`);
    throw error;
  }
}

/** For zod: a number becomes one, so that it is told apart from a string; no amount is ever taken from it. */
function plain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return Number(value.text);
  if (Array.isArray(value)) return value.map((item: JsonValue) => plain(item));
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}
