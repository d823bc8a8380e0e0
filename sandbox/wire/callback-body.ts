import { sign } from './signature.ts';

/** A data field and its value as raw JSON text, so that a fault can write text that no JSON writer produces. */
export type Field = readonly [name: string, raw: string];

/** The content of a callback; amounts and times are texts in the sent form. */
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
export const NUMBER_FIELDS: ReadonlySet<string> = new Set(['transactionAmount', 'paymentPrice']);

/** Returns a value as raw JSON text: a decimal text in a number field becomes a number with exactly its digits. */
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

/** Replaces fields of the same name; appends a name that is absent. */
export function withFields(fields: readonly Field[], replacements: ReadonlyMap<string, string>): Field[] {
  const names = new Set(fields.map(([name]) => name));
  const appended = [...replacements].filter(([name]) => !names.has(name));
  return [...fields.map(([name, raw]): Field => [name, replacements.get(name) ?? raw]), ...appended];
}

const object = (members: readonly Field[]): string =>
  `{${members.map(([name, raw]) => `${JSON.stringify(name)}:${raw}`).join(',')}}`;

/** The values that faults may send in place of a genuine signature or timestamp. */
export interface CallbackToSend {
  /** The timestamp that was signed. */
  readonly stamp: string;
  /** Header timestamp and signature of the merchant's own placement; null if they are no longer known. */
  readonly placement: { readonly stamp: string; readonly signature: string } | null;
}

/** The changes of a fault to the bytes of a genuine callback. */
export interface BodyChanges {
  readonly stampOffsetMs: number;
  readonly fields: (fields: readonly Field[]) => readonly Field[];
  /** The whole `data` as raw text, instead of the fields; null: the fields. */
  readonly data: string | null;
  /** From the genuine signature to the raw JSON text sent in its place; null leaves the member out. */
  readonly signature: (genuine: string, sending: CallbackToSend) => string | null;
  /** From the genuine timestamp to the raw JSON text sent in its place. */
  readonly stamp: (genuine: string, sending: CallbackToSend) => string;
}

export const UNCHANGED: BodyChanges = {
  stampOffsetMs: 0,
  fields: (fields) => fields,
  data: null,
  signature: (genuine) => JSON.stringify(genuine),
  stamp: (genuine) => genuine,
};

/** The key that signs a callback, and the kept facts of the placement. */
export interface CallbackKeys {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly placement: { readonly accessKey: string; readonly secretKey: string; readonly stamp: string } | null;
}

/** Returns the body of a callback: signature and timestamp inside, numbers with exactly their digits. */
export function callbackBody(
  key: CallbackKeys,
  stampMs: number,
  fields: readonly Field[],
  changes: BodyChanges = UNCHANGED,
): string {
  const stamp = String(stampMs + changes.stampOffsetMs);
  const placed = key.placement;
  const sending: CallbackToSend = {
    stamp,
    placement: placed && { stamp: placed.stamp, signature: sign(placed.accessKey, placed.secretKey, placed.stamp) },
  };
  const signature = changes.signature(sign(key.accessKey, key.secretKey, stamp), sending);
  return object([
    ...(signature === null ? [] : [['signature', signature] as const]),
    ['timestamp', changes.stamp(stamp, sending)],
    ['data', changes.data ?? object(changes.fields(fields))],
  ]);
}
