import { createHash } from 'node:crypto';
import { closeSync, createReadStream, fsyncSync, openSync, writeSync } from 'node:fs';
import { canonicalJson } from '../../encoding/canonical-json.ts';
import { visible } from '../../encoding/visible.ts';

/**
 * Files of many lines, each with a hash of its own and one that chains it to the line before. So a changed, removed,
 * inserted or moved line can be named. docs/guides/audit.md#the-files-of-a-report has both forms.
 */
export type Form = 'csv' | 'jsonl';

/** A cell; `isNumber`: a decimal, which a spreadsheet has to read as a number. */
export interface Cell {
  readonly name: string;
  readonly text: string | null;
  readonly isNumber?: boolean;
}

interface FormRules {
  readonly end: string;
  readonly join: (body: string, row: string, chain: string) => string;
  /** The body, the hash of the row and that of the chain. */
  readonly pattern: RegExp;
  readonly body: (matched: string) => string;
  readonly lineNumber: RegExp;
}

const FORMS: Readonly<Record<Form, FormRules>> = {
  csv: {
    end: '\r\n',
    join: (body, row, chain) => `${body},${row},${chain}`,
    pattern: /^(.*),([0-9a-f]{64}),([0-9a-f]{64})$/s,
    body: (matched) => matched,
    lineNumber: /^(\d{1,15}),/,
  },
  jsonl: {
    end: '\n',
    join: (body, row, chain) => `${body.slice(0, -1)},"row_hash":"${row}","chain_hash":"${chain}"}`,
    pattern: /^(.*),"row_hash":"([0-9a-f]{64})","chain_hash":"([0-9a-f]{64})"\}$/s,
    body: (matched) => `${matched}}`,
    lineNumber: /"line":(\d{1,15})[,}]/,
  },
};

const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

/**
 * A cell by RFC 4180. A text that a spreadsheet would evaluate as a formula has an apostrophe in front; a number has
 * none, so that a reversal stays negative.
 */
export function csvCell({ text, isNumber = false }: Cell): string {
  if (text === null) return '';
  const shown = visible(text);
  if (isNumber && /^-?\d+(\.\d+)?$/.test(shown)) return shown;
  const harmless = /^\s*[=+\-@|%＝＋－＠]/.test(shown) ? `'${shown}` : shown;
  return /[",;\r\n]|^\s|\s$/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

const bodyOf: Readonly<Record<Form, (line: number, cells: readonly Cell[]) => string>> = {
  csv: (line, cells) => [String(line), ...cells.map(csvCell)].join(','),
  jsonl: (line, cells) =>
    canonicalJson({
      line,
      ...Object.fromEntries(cells.map(({ name, text }) => [name, text === null ? null : visible(text)])),
    }),
};

/** The first line of a CSV file; other files have none. */
const headerOf = (form: Form, columns: readonly string[]): string | null =>
  form === 'csv' ? ['line', ...columns, 'row_hash', 'chain_hash'].join(',') : null;

/** The chain hash before the first line: the hash of the header, or of the empty text where there is none. */
const beginOf = (header: string | null): string => sha256(header ?? '');

/** The entry of such a file in the signed report. */
export interface LineFile {
  readonly form: Form;
  readonly columns: readonly string[];
  readonly rows: number;
  /** The chain hash of the last line. */
  readonly head: string;
  /** sha256 of the whole file. */
  readonly sha256: string;
}

const FLUSH = 256 * 1024;

/** Writes such a file, in constant memory. */
export class LineWriter {
  readonly #form: Form;
  readonly #columns: readonly string[];
  readonly #file: number;
  readonly #hash = createHash('sha256');
  #waiting = '';
  #rows = 0;
  #head: string;

  /** Throws `EEXIST` if the file exists. */
  constructor(path: string, form: Form, columns: readonly string[]) {
    this.#form = form;
    this.#columns = columns;
    this.#file = openSync(path, 'wx', 0o640);
    const header = headerOf(form, columns);
    this.#head = beginOf(header);
    if (header !== null) this.#put(header);
  }

  /** The cells in the order of the columns. */
  line(cells: readonly Cell[]): void {
    this.#rows += 1;
    const body = bodyOf[this.#form](this.#rows, cells);
    const row = sha256(body);
    this.#head = sha256(`${this.#head}${row}`);
    this.#put(FORMS[this.#form].join(body, row, this.#head));
  }

  close(): LineFile {
    this.#flush();
    fsyncSync(this.#file);
    closeSync(this.#file);
    const sha256OfFile = this.#hash.digest('hex');
    return { form: this.#form, columns: this.#columns, rows: this.#rows, head: this.#head, sha256: sha256OfFile };
  }

  #put(line: string): void {
    this.#waiting += `${line}${FORMS[this.#form].end}`;
    if (this.#waiting.length > FLUSH) this.#flush();
  }

  #flush(): void {
    const bytes = Buffer.from(this.#waiting, 'utf8');
    this.#waiting = '';
    this.#hash.update(bytes);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
  }
}

/** Maximum number of named lines. */
const NAMED = 1_000;

/**
 * Returns the faults of a file of lines, by line; empty when it is the signed one. Reads it as a stream. Rejects when
 * it cannot be read.
 */
export async function lineFaults(path: string, signed: LineFile): Promise<string[]> {
  const reader = new LineReader(signed);
  const hash = createHash('sha256');
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: FLUSH }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    let from = 0;
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
      reader.line(bytes.toString('utf8', from, at + 1));
      from = at + 1;
      if (reader.faults.length >= NAMED) return [...reader.faults, 'the rest was not read'];
    }
    rest = bytes.subarray(from);
    if (rest.length > 16 * FLUSH) return [...reader.faults, 'it holds what is no line of ours'];
  }
  if (rest.length > 0) reader.line(rest.toString('utf8'));
  return reader.end(hash.digest('hex') === signed.sha256);
}

class LineReader {
  readonly faults: string[] = [];
  readonly #signed: LineFile;
  readonly #rules: FormRules;
  #header: string | null;
  /** The number that the next line should have. */
  #expected = 1;
  /** The chain up to here; null: not known. */
  #chain: string | null;
  #unnamed = 0;
  /** Ranges of skipped numbers. */
  readonly #missing: [from: number, to: number][] = [];

  constructor(signed: LineFile) {
    this.#signed = signed;
    this.#rules = FORMS[signed.form];
    this.#header = headerOf(signed.form, signed.columns);
    this.#chain = beginOf(this.#header);
  }

  line(text: string): void {
    const { pattern, body: whole, lineNumber } = this.#rules;
    const line = text.replace(/\r?\n$/, '');
    if (this.#header !== null) {
      if (line !== this.#header) this.#tell('the header was changed');
      this.#header = null;
      return;
    }
    const [, matched, row, chain] = pattern.exec(line) ?? [];
    if (matched === undefined || row === undefined || chain === undefined) {
      this.#tell(`line ${this.#expected} was changed: it does not end with two hashes`);
      this.#chain = null;
      this.#expected += 1;
      return;
    }
    const body = whole(matched);
    const number = Number(lineNumber.exec(body)?.[1] ?? Number.NaN);
    if (sha256(body) !== row) {
      this.#tell(`line ${this.#expected} was changed`);
      this.#expected += 1;
    } else if (number === this.#expected) {
      if (this.#chain !== null && sha256(`${this.#chain}${row}`) !== chain)
        this.#tell(`line ${number} does not continue the line before it: one of the two was written anew`);
      this.#expected += 1;
    } else if (number > this.#expected) {
      this.#missing.push([this.#expected, number - 1]);
      this.#expected = number + 1;
    } else {
      // The chain continues without this line.
      this.#tell(this.#found(number) ? `line ${number} stands at another place` : `line ${number} was put in`);
      return;
    }
    this.#chain = chain;
  }

  end(isSigned: boolean): string[] {
    if (this.#expected <= this.#signed.rows) this.#missing.push([this.#expected, this.#signed.rows]);
    for (const [from, to] of this.#missing)
      this.#tell(from === to ? `line ${from} is missing` : `lines ${from} to ${to} are missing`);
    if (this.#expected > this.#signed.rows + 1)
      this.#tell(`lines were put in after line ${this.#signed.rows}, the last that was signed`);
    if (this.#unnamed > 0) this.faults.push(`${this.#unnamed} further places`);
    if (this.faults.length > 0 || isSigned) return this.faults;
    return this.#chain === this.#signed.head
      ? ['its lines are the signed ones, and its bytes are not: line ends were changed']
      : ['lines were written anew with hashes made to fit: the last hash is not the signed one'];
  }

  #tell(fault: string): void {
    if (this.faults.length < NAMED) this.faults.push(fault);
    else this.#unnamed += 1;
  }

  /** Whether the number was skipped before; then it is moved, not missing. */
  #found(number: number): boolean {
    const at = this.#missing.findIndex(([from, to]) => from <= number && number <= to);
    const range = this.#missing[at];
    if (range === undefined) return false;
    const parts: [number, number][] = [
      [range[0], number - 1],
      [number + 1, range[1]],
    ];
    this.#missing.splice(at, 1, ...parts.filter(([from, to]) => from <= to));
    return true;
  }
}
