/**
 * One text for one value: sorted keys, no white space (RFC 8785, for what stands in a report: whole numbers and texts
 * that are well formed). `jq -cSj` and Python's `json.dumps` make the same bytes of it. Throws `TypeError` for anything
 * else.
 */
export const canonicalJson = (value: unknown): string => write(value, null, reportable);

/** The same value as a file that people can read; one text for one value, too. */
export const fileJson = (value: unknown): string => `${write(value, '\n', reportable)}\n`;

/** What has no members, as text; null: an object or a list. */
type Leaf = (value: unknown) => string | null;

/** One text for anything that came out of JSON, whatever numbers and texts are in it. */
export const canonicalText = (value: unknown, leaf: Leaf = plainText): string => write(value, null, leaf);

export const plainText: Leaf = (value) => (typeof value === 'object' && value !== null ? null : JSON.stringify(value));

/** `line` begins a line: a line end and the indentation, or null for none. */
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
  // An object of JavaScript would put names such as `10` in front, so the text is put together here.
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

/** By code units: the same on every machine and in every language. */
export const compareText = (one: string, other: string): number => (one < other ? -1 : Number(one > other));
