/** A place in the text of a history that a forger could change, payloads decoded. */
export interface Place {
  /** `workflowExecutionSignaled.input.payloads[].payload.transactionAmount`. */
  readonly path: string;
  readonly change: Change;
  /** Changes the history, which is the parsed text; `how` chooses among the ways to do it. */
  readonly apply: (history: Json, how: number) => void;
}
export type Change = 'left out' | 'swapped' | 'number' | 'letter' | 'time' | 'value';

// oxlint-disable-next-line typescript/no-explicit-any -- any JSON there is
type Json = any;
type Find = (history: Json) => Json;

const MINUTE = 60_000;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;
const encode = (text: string) => Buffer.from(text).toString('base64');
const decode = (text: string) => Buffer.from(text, 'base64').toString('utf8');

export function placesOf(text: string): readonly Place[] {
  const { events }: Json = JSON.parse(text);
  return events.flatMap((event: Json, i: number) => {
    const kind = Object.keys(event).find((key) => key.endsWith('EventAttributes'))!;
    const name = kind.replace('EventAttributes', '');
    const inside = within(event, name, (history) => history.events[i]).map((place) => ({
      ...place,
      path: place.path.replace(`.${kind}`, ''),
    }));
    const leftOut: Place = { path: name, change: 'left out', apply: (history) => history.events.splice(i, 1) };
    const swapped: Place = {
      path: name,
      change: 'swapped',
      apply: ({ events: all }) => ([all[i], all[i - 1]] = [all[i - 1], all[i]]),
    };
    return [...inside, leftOut, ...(i === 0 ? [] : [swapped])];
  });
}

function within(node: Json, path: string, find: Find): Place[] {
  if (Array.isArray(node)) return node.flatMap((item, i) => within(item, `${path}[]`, (history) => find(history)[i]));
  if (node.metadata?.encoding !== undefined) return [...ofPayload(node, path, find), ...ofMetadata(node, path, find)];
  return Object.entries(node).flatMap(([field, value]) => {
    const at = `${path}.${field}`;
    const below =
      typeof value === 'object' && value !== null
        ? within(value, at, (history) => find(history)[field])
        : [valueAt(value, at, (history, put) => (find(history)[field] = put(find(history)[field])))];
    return [...below, leftOut(value, at, (history) => delete find(history)[field])];
  });
}

const leftOut = (value: Json, path: string, apply: (history: Json) => void): Place => ({
  // A payload of null is the same as none.
  path: JSON.stringify(value).includes(encode('binary/null')) ? `${path} of nothing` : path,
  change: 'left out',
  apply,
});

/** Decodes a payload: JSON again. */
function ofPayload(payload: Json, path: string, find: Find): Place[] {
  if (payload.data === undefined) return [];
  const rewrite = (history: Json, change: (root: Json) => void) => {
    const root: Json = { payload: JSON.parse(decode(find(history).data)) };
    change(root);
    find(history).data = encode(JSON.stringify(root.payload) ?? '');
  };
  return within({ payload: JSON.parse(decode(payload.data)) }, path, (root) => root).map((place) => ({
    ...place,
    apply: (history, how) => rewrite(history, (root) => place.apply(root, how)),
  }));
}

const ofMetadata = (payload: Json, path: string, find: Find): Place[] =>
  Object.entries(payload.metadata as Record<string, string>).map(([field, value]) => {
    const put = (history: Json, change: (text: Json) => Json) => {
      const { metadata } = find(history);
      metadata[field] = encode(change(decode(metadata[field])));
    };
    return valueAt(decode(value), `${path}.metadata.${field}`, put);
  });

/** `put` calls a function with the value there and stores its result. */
function valueAt(value: Json, path: string, put: (history: Json, change: (value: Json) => Json) => void): Place {
  const place = (change: Change, to: (value: Json, how: number) => Json): Place => ({
    path,
    change,
    apply: (history, how) => put(history, (stands) => to(stands, how)),
  });
  if (typeof value === 'number') return place('number', (stands: number, how) => stands + 1 + (how % 1000));
  if (typeof value !== 'string') return place('value', (stands: Json) => (stands === null ? 'x' : !stands));
  if (TIME.test(value)) return place('time', (stands: string, how) => movedTime(stands, how));
  return place('letter', otherLetter);
}

/** Moves a time by ten minutes to a day, forwards or back; digits finer than milliseconds stay. */
function movedTime(time: string, how: number): string {
  const by = (10 + (how % 1430)) * MINUTE * (how % 2 === 0 ? 1 : -1);
  const moved = new Date(Date.parse(time) + by).toISOString();
  return time.length > moved.length ? moved.slice(0, -1) + time.slice(moved.length - 1) : moved;
}

/** Replaces one character by another of its kind, so that a number stays a number and a name a name. */
function otherLetter(text: string, how: number): string {
  const at = how % Math.max(1, text.length);
  const stands = text[at] ?? '';
  const ring = ['0123456789', 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'].find((one) =>
    one.includes(stands),
  );
  const other = ring === undefined || stands === '' ? 'x' : ring[(ring.indexOf(stands) + 1 + (how % 8)) % ring.length]!;
  return text.slice(0, at) + other + text.slice(at + 1);
}
