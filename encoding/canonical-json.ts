/**
 * Writes one text for one value: sorted keys, no white space (RFC 8785, for the values of a report: whole numbers and
 * well-formed texts). `jq -cSj` and Python's `json.dumps` write the same bytes. Throws `TypeError` for other values.
 */
export const canonicalJson = (value: unknown): string => write(value, null, reportable);

/** Writes the value as an indented file; also one text for one value. */
export const fileJson = (value: unknown): string => `${write(value, '\n', reportable)}\n`;

/** Writes a value without members; returns null for an object or a list. */
type Leaf = (value: unknown) => string | null;

/** Writes one text for any value that was parsed from JSON, with any numbers and texts. */
export const canonicalText = (value: unknown, leaf: Leaf = plainText): string => write(value, null, leaf);

export const plainText: Leaf = (value) => (typeof value === 'object' && value !== null ? null : JSON.stringify(value));

/** `line`: the line end and indentation that begin a line; null: everything on one line. */
function write(value: unknown, line: string | null, leaf: Leaf): string {
  const inner = line === null ? null : `${line}  `;
  const text = leaf(value);
  if (text !== null) return text;
  if (Array.isArray(value)) {
    return enclose(
      '[',
      value.map((item) => write(item, inner, leaf)),
      ']',
      line,
    );
  }
  // A JavaScript object would order names such as `10` first, so the text is joined here.
  const members = Object.entries(value as object)
    .toSorted(([one], [other]) => compareText(one, other))
    .map(([key, item]) => `${leaf(key)}:${line === null ? '' : ' '}${write(item, inner, leaf)}`);
  return enclose('{', members, '}', line);
}

function enclose(open: string, parts: readonly string[], close: string, line: string | null): string {
  if (parts.length === 0 || line === null) return `${open}${parts.join(',')}${close}`;
  return `${open}${line}  ${parts.join(`,${line}  `)}${line}${close}`;
}

const reportable: Leaf = (value) => {
  const isReportable =
    typeof value === 'object' ||
    typeof value === 'boolean' ||
    (typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0)) ||
    (typeof value === 'string' && value.isWellFormed());
  if (!isReportable) throw new TypeError(`a report cannot hold this ${typeof value}`);
  return plainText(value);
};

/** Compares by code units: the order is the same on every machine and in every locale. */
export const compareText = (one: string, other: string): number => (one < other ? -1 : Number(one > other));
