import type { z } from 'zod';
import type { FieldFault } from '../../contract/errors.ts';
import { findJsonFault, placeInText } from '../../encoding/json-fault.ts';
import { isObject, JsonError, JsonNumber, type JsonValue, parseStrictJson } from '../../encoding/strict-json.ts';
import { RequestRefused } from '../../intake/refusal.ts';

/** Parses strict JSON and validates it. Throws {@link RequestRefused} that names every invalid field. */
export function readBody<T extends z.ZodType>(schema: T, raw: Uint8Array): z.output<T> {
  return check(schema, plain(parse(raw)));
}

/**
 * Validates a value, such as the parameters of an address. Throws {@link RequestRefused} that names every invalid
 * field.
 */
export function check<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.flatMap((issue): FieldFault[] =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ field: [...issue.path, key].join('.').slice(0, 100), message: 'unknown field' }))
      : [{ field: issue.path.join('.'), message: issue.message }],
  );
  const names = faults.map((fault) => `${fault.field === '' ? 'the body' : fault.field}: ${fault.message}`);
  throw new RequestRefused('invalid_request', names.slice(0, 5).join('; '), { faults: faults.slice(0, 20) });
}

function parse(raw: Uint8Array): JsonValue {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
  } catch (error) {
    throw new RequestRefused('invalid_request', 'the body is not UTF-8', { cause: error });
  }
  try {
    return parseStrictJson(text);
  } catch (error) {
    if (error instanceof JsonError) throw new RequestRefused('invalid_request', faultOf(text, error));
    throw error;
  }
}

/** Returns what is wrong and where, without a value of the body. */
function faultOf(text: string, error: JsonError): string {
  if (text === '') return 'the body is empty; send a JSON object';
  const { what, at } = (error.at === null ? findJsonFault(text) : null) ?? error;
  return `the body is not strict JSON: ${what}${at === null ? '' : ` at ${placeInText(text, at)}`}`;
}

/** For zod: a JSON number becomes a number, so that it differs from a string. No amount is ever read from it. */
function plain(value: JsonValue): unknown {
  if (value instanceof JsonNumber) return Number(value.text);
  if (Array.isArray(value)) return value.map((item: JsonValue) => plain(item));
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
  return value;
}
