/**
 * Reads JSON from outside exactly: numbers keep their text (`200.00`), duplicate keys and `__proto__` are refused,
 * depth is bounded, objects have no prototype. JSON.parse does none of this
 * (docs/decisions/0004-strict-json-of-our-own.md).
 */

/** A number as it was written in the text. */
export class JsonNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
export type JsonValue = null | boolean | string | JsonNumber | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** The text is not strict JSON; a retry does not help. The message may give the position, never the content. */
export class JsonError extends Error {
  /** The fault without its position. */
  readonly what: string;
  /** Its index in the text; null: see json-fault.ts, or it has none. */
  readonly at: number | null;
  constructor(what: string, at: number | null = null, before: 'at' | 'before' = 'at') {
    super(at === null ? what : `${what} ${before} ${at}`);
    this.what = what;
    this.at = at;
  }
}

const MAX_DEPTH = 16;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const NUMBER = /-?\d[\d.eE+-]*/y;

/** Throws {@link JsonError}. `text` is bounded by the caller. */
export function parseStrictJson(text: string): JsonValue {
  try {
    // JSON.parse checks the grammar first, and the reader relies on it.
    JSON.parse(text);
  } catch {
    throw new JsonError('not JSON');
  }
  return new Reader(text).document();
}

export const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber);

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): JsonValue {
    return this.#value(0);
  }

  #value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw new JsonError(`nested deeper than ${MAX_DEPTH}`);
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#literal('true', true);
      case 'f':
        return this.#literal('false', false);
      case 'n':
        return this.#literal('null', null);
      default:
        return new JsonNumber(this.#match(NUMBER));
    }
  }

  #object(depth: number): JsonObject {
    const object = Object.create(null) as Record<string, JsonValue>;
    this.#each('}', () => {
      const key = this.#string();
      if (key === '__proto__') throw new JsonError('forbidden key', this.#at);
      if (key in object) throw new JsonError('duplicate key', this.#at);
      this.#skipSpace();
      this.#at += 1; // the colon
      object[key] = this.#value(depth + 1);
    });
    return object;
  }

  #array(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.#each(']', () => items.push(this.#value(depth + 1)));
    return items;
  }

  /** Reads the members between the opening bracket under the cursor and `close`. */
  #each(close: string, member: () => void): void {
    this.#at += 1;
    for (;;) {
      this.#skipSpace();
      if (this.#text[this.#at] === ',') this.#at += 1;
      this.#skipSpace();
      if (this.#text[this.#at] === close) break;
      member();
    }
    this.#at += 1;
  }

  #string(): string {
    const value = JSON.parse(this.#match(STRING)) as string;
    if (!value.isWellFormed()) throw new JsonError('lone surrogate', this.#at, 'before');
    return value;
  }

  #literal<T>(word: string, value: T): T {
    this.#at += word.length;
    return value;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) throw new JsonError('unexpected character', this.#at);
    this.#at = pattern.lastIndex;
    return found[0];
  }

  #skipSpace(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at += 1;
  }
}
