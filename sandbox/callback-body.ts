import { sign } from './signature.ts';

/** A data field and its value as raw JSON text, so that a fault can write what no JSON writer would. */
export type Field = readonly [name: string, raw: string];

/** What a callback tells: amounts and times are texts, already as they are sent. */
export interface CallbackFacts {
  readonly externalOrderNumber: string;
  readonly transactionCode: string;
  readonly transactionAmount: string;
  readonly currencyCode: string;
  readonly paymentPrice: string;
  readonly transactionCreateTime: string;
  readonly paymentFinishedTime: string;
}

/** Sent as JSON numbers; every other field is a JSON string. */
const NUMBER_FIELDS: ReadonlySet<string> = new Set(['transactionAmount', 'paymentPrice']);

/** A value as raw JSON text: number fields given as a plain decimal text become numbers with just these digits. */
export function rawValue(name: string, value: unknown): string {
  const isNumber = NUMBER_FIELDS.has(name) && typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value);
  return isNumber ? value : JSON.stringify(value);
}

/** The data fields in the order of the documents. */
export function fieldsOf(facts: CallbackFacts): Field[] {
  return [
    ['externalOrderNumber', rawValue('externalOrderNumber', facts.externalOrderNumber)],
    ['transactionCode', rawValue('transactionCode', facts.transactionCode)],
    ['transactionAmount', rawValue('transactionAmount', facts.transactionAmount)],
    ['currencyCode', rawValue('currencyCode', facts.currencyCode)],
    ['paymentPrice', rawValue('paymentPrice', facts.paymentPrice)],
    ['transactionCreateTime', rawValue('transactionCreateTime', facts.transactionCreateTime)],
    ['paymentFinishedTime', rawValue('paymentFinishedTime', facts.paymentFinishedTime)],
  ];
}

/** Replaces fields of the same name; a name that is not there is appended. */
export function withFields(fields: readonly Field[], replacements: ReadonlyMap<string, string>): Field[] {
  const names = new Set(fields.map(([name]) => name));
  const appended = [...replacements].filter(([name]) => !names.has(name));
  return [...fields.map(([name, raw]): Field => [name, replacements.get(name) ?? raw]), ...appended];
}

const object = (members: readonly Field[]): string =>
  `{${members.map(([name, raw]) => `${JSON.stringify(name)}:${raw}`).join(',')}}`;

/** What a fault may change between a genuine callback and the bytes that are sent. */
export interface BodyChanges {
  readonly stampOffsetMs: number;
  readonly fields: (fields: readonly Field[]) => readonly Field[];
  /** The whole of `data`, raw, instead of the fields; null: the fields. */
  readonly data: string | null;
  /** From the genuine signature to the raw JSON text sent in its place; null leaves the member out. */
  readonly signature: (genuine: string) => string | null;
}

export const UNCHANGED: BodyChanges = {
  stampOffsetMs: 0,
  fields: (fields) => fields,
  data: null,
  signature: (genuine) => JSON.stringify(genuine),
};

/** The body of a callback: signature and timestamp inside it, numbers with exactly their digits. */
export function callbackBody(
  key: { readonly accessKey: string; readonly secretKey: string },
  stampMs: number,
  fields: readonly Field[],
  changes: BodyChanges = UNCHANGED,
): string {
  const stamp = String(stampMs + changes.stampOffsetMs);
  const signature = changes.signature(sign(key.accessKey, key.secretKey, stamp));
  return object([
    ...(signature === null ? [] : [['signature', signature] as const]),
    ['timestamp', stamp],
    ['data', changes.data ?? object(changes.fields(fields))],
  ]);
}
