/**
 * A strict JSON reader that keeps every number as written: `JSON.parse` would turn `32551.20` into a float. Objects are
 * returned as maps, so no prototype can be polluted. A repeated key is refused.
 */

/** A JSON number with its digits as in the text. */
export class JsonNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Json = null | boolean | string | JsonNumber | readonly Json[] | ReadonlyMap<string, Json>;

/** The text is not strict JSON. `message` states the fault and its position. */
export class JsonSyntaxError extends Error {}

const MAX_DEPTH = 32;
const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\p{Cc}]|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy;
const LITERALS: ReadonlyMap<string, Json> = new Map<string, Json>([
  ['true', true],
  ['false', false],
  ['null', null],
]);

/** Parses one JSON text; throws {@link JsonSyntaxError} for anything else, including repeated keys and deep nesting. */
export function parseJson(text: string): Json {
  let at = 0;

  const fail = (expected: string): never => {
    throw new JsonSyntaxError(`expected ${expected} at character ${at}`);
  };
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) return null;
    at = pattern.lastIndex;
    return match[0];
  };
  const skip = (character: string): boolean => {
    take(SPACE);
    if (text[at] !== character) return false;
    at += 1;
    return true;
  };
  const string = (): string => {
    take(SPACE);
    const quoted = take(STRING) ?? fail('a string');
    return JSON.parse(quoted) as string;
  };

  function object(depth: number): Json {
    const members = new Map<string, Json>();
    if (skip('}')) return members;
    do {
      const key = string();
      if (members.has(key)) throw new JsonSyntaxError(`the key ${JSON.stringify(key)} is given twice`);
      if (!skip(':')) fail('":"');
      members.set(key, value(depth + 1));
    } while (skip(','));
    return skip('}') ? members : fail('"," or "}"');
  }

  function array(depth: number): Json {
    const items: Json[] = [];
    if (skip(']')) return items;
    do items.push(value(depth + 1));
    while (skip(','));
    return skip(']') ? items : fail('"," or "]"');
  }

  function value(depth: number): Json {
    if (depth > MAX_DEPTH) throw new JsonSyntaxError(`nested deeper than ${MAX_DEPTH}`);
    if (skip('{')) return object(depth);
    if (skip('[')) return array(depth);
    if (text[at] === '"') return string();
    for (const [word, literal] of LITERALS) {
      if (!text.startsWith(word, at)) continue;
      at += word.length;
      return literal;
    }
    return new JsonNumber(take(NUMBER) ?? fail('a value'));
  }

  const result = value(0);
  take(SPACE);
  if (at !== text.length) fail('the end');
  return result;
}
