/**
 * One text for one value: sorted keys, no white space (RFC 8785, for what stands in a report: whole numbers and texts
 * that are well formed). `jq -cSj` and Python's `json.dumps` make the same bytes of it. Throws `TypeError` for anything
 * else.
 */
export const canonicalJson = (value: unknown): string => write(value, null);

/** The same value as a file that people can read; one text for one value, too. */
export const fileJson = (value: unknown): string => `${write(value, '\n')}\n`;

/** `line` begins a line: a line end and the indentation, or null for none. */
function write(value: unknown, line: string | null): string {
  const inner = line === null ? null : `${line}  `;
  if (Array.isArray(value)) {
    return enclose(
      '[',
      value.map((item) => write(item, inner)),
      ']',
      line,
    );
  }
  if (typeof value !== 'object' || value === null) return writePlain(value);
  // An object of JavaScript would put names such as `10` in front, so the text is put together here.
  const members = Object.entries(value)
    .toSorted(([one], [other]) => compare(one, other))
    .map(([key, item]) => `${writePlain(key)}:${line === null ? '' : ' '}${write(item, inner)}`);
  return enclose('{', members, '}', line);
}

function enclose(open: string, parts: readonly string[], close: string, line: string | null): string {
  if (parts.length === 0 || line === null) return `${open}${parts.join(',')}${close}`;
  return `${open}${line}  ${parts.join(`,${line}  `)}${line}${close}`;
}

function writePlain(value: unknown): string {
  const isPlain =
    value === null ||
    typeof value === 'boolean' ||
    (typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0)) ||
    (typeof value === 'string' && value.isWellFormed());
  if (!isPlain) throw new TypeError(`a report cannot hold this ${typeof value}`);
  return JSON.stringify(value);
}

/** By code units: the same on every machine and in every language. */
export const compare = (one: string, other: string): number => (one < other ? -1 : Number(one > other));
