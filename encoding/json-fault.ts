/** Where a text stops being JSON, in words for its writer. The words never have a value of the text. */
export interface JsonFault {
  readonly what: string;
  /** The index of the fault in the text. */
  readonly at: number;
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
/** A string up to its end, or up to its fault. */
// oxlint-disable-next-line eslint/no-control-regex -- JSON allows no control in a string
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y;

class Found extends Error {
  readonly fault: JsonFault;
  constructor(what: string, at: number) {
    super(what);
    this.fault = { what, at };
  }
}

/** Returns the first fault of a text that `JSON.parse` refuses; null: there is none. One pass, without recursion. */
export function findJsonFault(text: string): JsonFault | null {
  try {
    new Scanner(text).document();
    return null;
  } catch (error) {
    if (error instanceof Found) return error.fault;
    throw error;
  }
}

/** `line 3, column 1`; both begin at 1. */
export function placeInText(text: string, at: number): string {
  const before = text.slice(0, at).split('\n');
  return `line ${before.length}, column ${before.at(-1)!.length + 1}`;
}

class Scanner {
  readonly #text: string;
  #at = 0;
  /** The brackets that are open. */
  readonly #open: ('}' | ']')[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    this.#take(SPACE);
    if (this.#at === this.#text.length) throw new Found('the text is empty', 0);
    this.#value();
    while (this.#open.length > 0) this.#next(this.#open.at(-1)!);
    this.#take(SPACE);
    if (this.#at < this.#text.length) throw new Found('there is more after the end', this.#at);
  }

  /** Reads a value; of objects and lists up to the first value in them that is none of both. */
  #value(): void {
    for (;;) {
      this.#take(SPACE);
      const first = this.#text[this.#at];
      if (first === '"') return this.#string();
      if (first !== '{' && first !== '[') {
        if (!this.#take(NUMBER) && !this.#take(WORD)) this.#fail('a value was expected');
        return;
      }
      this.#at += 1;
      const close = first === '{' ? '}' : ']';
      this.#take(SPACE);
      if (this.#text[this.#at] === close) {
        this.#at += 1;
        return;
      }
      this.#open.push(close);
      if (close === '}') this.#key();
    }
  }

  /** Reads a key and its colon. */
  #key(): void {
    if (this.#text[this.#at] !== '"') this.#fail('a key in double quotes was expected');
    this.#string();
    this.#take(SPACE);
    if (this.#text[this.#at] !== ':') this.#fail('a colon was expected after the key');
    this.#at += 1;
  }

  /** Reads what follows a member. */
  #next(close: '}' | ']'): void {
    this.#take(SPACE);
    if (this.#text[this.#at] === close) {
      this.#at += 1;
      this.#open.pop();
      return;
    }
    const comma = this.#at;
    if (this.#text[comma] !== ',') this.#fail(`a comma or ${close} was expected`);
    this.#at += 1;
    this.#take(SPACE);
    if (this.#text[this.#at] === close) throw new Found(`a comma must not come before ${close}`, comma);
    if (close === '}') this.#key();
    this.#value();
  }

  #string(): void {
    const from = this.#at;
    this.#take(STRING);
    const last = this.#text[this.#at];
    if (last === undefined) throw new Found('a text in quotes does not end', from);
    if (last !== '"') this.#fail(last === '\\' ? 'an unknown escape' : 'a control character within a text');
    this.#at += 1;
  }

  #fail(what: string): never {
    if (this.#at === this.#text.length) throw new Found('the text ends too early', this.#at);
    throw new Found(what, this.#at);
  }

  #take(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at;
    const found = pattern.test(this.#text);
    if (found) this.#at = pattern.lastIndex;
    return found;
  }
}
