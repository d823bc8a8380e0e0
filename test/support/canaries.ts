/** Texts that must not be found, by the name that a report uses: the report itself must not show them either. */
export type Canaries = Readonly<Record<string, string>>;

/** A text in which canaries are looked for, and where it came from. */
export interface Source {
  readonly name: string;
  readonly text: string;
}

/** Shorter ones would be found by chance. */
const MIN_LENGTH = 6;
/** base64 that begins at an unlucky byte shares no end with the whole; the rest must still be telling. */
const MIN_BASE64 = 8;

/**
 * Returns every place where a canary occurs, as `NAME as SPELLING in SOURCE`. Spellings, in any case:
 * - hexadecimal; base64 or base64url at any offset within a longer text;
 * - URL-encoded; JSON or JavaScript escapes; UTF-16; a list of byte values;
 * - reversed; with white space between its characters;
 * - all of these once more inside base64 or hexadecimal, as in an exported history or a dumped `bytea`.
 */
export function findCanaries(canaries: Canaries, sources: readonly Source[]): string[] {
  const spelt = Object.entries(canaries).flatMap(([name, value]) => {
    if (value.length < MIN_LENGTH) throw new Error(`the canary ${name} is too short to be told from chance`);
    return spellings(value).map(([spelling, text]) => ({ name, spelling, text }));
  });
  return sources.flatMap((source) => {
    const layers = [source.text, ...decoded(source.text)].map(plain);
    return spelt
      .filter(({ text }) => layers.some((layer) => layer.includes(text)))
      .map(({ name, spelling }) => `${name} as ${spelling} in ${source.name}`);
  });
}

/** Compared without case and without white space, which log lines and dumps put anywhere. */
const plain = (text: string): string => text.toLowerCase().replaceAll(/\\[nrt]|\s+/g, '');

function spellings(value: string): [string, string][] {
  const bytes = Buffer.from(value, 'utf8');
  const hex = bytes.toString('hex');
  const escaped = (unit: (code: string) => string) =>
    [...Array(value.length).keys()].map((at) => unit(value.charCodeAt(at).toString(16).padStart(4, '0'))).join('');
  const percent = [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
  const all: [string, string][] = [
    ['it is', value],
    ['reversed', Array.from(value).toReversed().join('')],
    ['hexadecimal', hex],
    ['URL-encoded', encodeURIComponent(value)],
    ['a form field', encodeURIComponent(value).replaceAll('%20', '+')],
    ['URL-encoded throughout', percent],
    ['JSON', JSON.stringify(value).slice(1, -1)],
    ['JSON escapes throughout', escaped((code) => `\\u${code}`)],
    [
      'JSON with escapes',
      Array.from(value)
        .map((c) => (c < '\u0080' ? c : escapesOf(c)))
        .join(''),
    ],
    ['HTML', value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll("'", '&#39;')],
    ['UTF-16', Buffer.from(value, 'utf16le').toString('latin1')],
    ['byte values', [...bytes].join(',')],
    ...[0, 1, 2].map((offset): [string, string] => [`base64 (offset ${offset})`, base64At(bytes, offset)]),
  ];
  return all
    .map(([name, text]): [string, string] => [name, plain(text)])
    .filter(([name, text], at, list) => text.length >= MIN_LENGTH && (at === 0 || text !== list[0]![1]) && name !== '')
    .flatMap(([name, text]): [string, string][] => {
      const url = text.replaceAll('+', '-').replaceAll('/', '_');
      return name.startsWith('base64') && url !== text
        ? [
            [name, text],
            [name.replace('base64', 'base64url'), url],
          ]
        : [[name, text]];
    });
}

const escapesOf = (character: string): string =>
  [...Array(character.length).keys()]
    .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
    .join('');

/** Returns the characters of base64 that depend on these bytes alone, when other bytes precede and follow them. */
function base64At(bytes: Buffer, offset: number): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes])
    .toString('base64')
    .replace(/=+$/, '');
  const from = Math.ceil((offset * 8) / 6);
  const to = Math.floor(((offset + bytes.length) * 8) / 6);
  const inner = text.slice(from, to);
  return inner.length < MIN_BASE64 ? '' : inner;
}

/** Decodes long runs of base64 and hexadecimal, two levels deep: a payload within an exported history within a dump. */
function decoded(text: string, depth = 2): string[] {
  if (depth === 0) return [];
  const base64 = [...text.matchAll(/[A-Za-z0-9+/_-]{12,}={0,2}/g)].map(([run]) =>
    Buffer.from(run, 'base64').toString('utf8'),
  );
  const hex = [...text.matchAll(/(?:[0-9a-f]{2}){8,}/gi)].map(([run]) => Buffer.from(run, 'hex').toString('utf8'));
  const found = [...base64, ...hex].join('\n');
  return found === '' ? [] : [found, ...decoded(found, depth - 1)];
}
