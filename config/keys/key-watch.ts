import type { KeySource } from './key-source.ts';
import type { KeySet } from './keyring.ts';
import { isSameKey, type KeyName, type KeyPair, type KeySets } from './keys.ts';
import { raiseAlarm } from '../../telemetry/alarms.ts';
import type { Log } from '../../telemetry/log.ts';
import type { Secret } from './secret.ts';

export interface KeyWatch<N extends KeyName> {
  /** Time for which a key must still verify after it stopped signing; absent: it does not matter. */
  readonly overlapMs: { readonly [name in N]?: number };
  /** Returns names of keys that may be shown: the same as in tables and addresses. */
  readonly show: (sets: KeySets<N>) => Readonly<Record<string, unknown>>;
  readonly log: Log;
  readonly everyMs?: number;
}

/** The second read that finds a change takes it: within two of these periods. */
const LOOK_EVERY_MS = 1_000;

/**
 * Logs the keys in force and, if keys come from files, takes later changes of the files. Never throws: a refused change
 * raises the alarm `keys_not_taken`, and the old keys stay. Returns a function that stops the watch.
 */
export function watchKeys<N extends KeyName>(source: KeySource<N>, watch: KeyWatch<N>): () => void {
  const { log, overlapMs, show } = watch;
  log.info({ keys: show(source.sets) }, 'keys loaded');
  for (const early of earlyEnds(source.sets, overlapMs))
    log.warn(early, 'a previous key ends soon: good only if it stopped signing long enough ago');
  if (!source.isReloadable) return () => undefined;

  const look = () => {
    const found = source.look();
    if (found.kind === 'refused') raiseAlarm(log, 'keys_not_taken', { problems: found.problems });
    if (found.kind !== 'taken') return;
    log.info({ keys: show(found.now) }, 'keys loaded');
    for (const short of shortOverlaps(found.before, found.now, overlapMs)) raiseAlarm(log, 'key_overlap_short', short);
  };
  const timer = setInterval(look, watch.everyMs ?? LOOK_EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

/** A key that stops verifying while work signed with it may still come back. */
type ShortOverlap = {
  readonly key: KeyName;
  /** Null: it no longer verifies. */
  readonly until: string | null;
  readonly neededUntil: string;
};
type Overlaps = { readonly [name in KeyName]?: number };
type AnySet = KeySet<KeyPair | Secret>;

const setsOf = (sets: Partial<KeySets>): [KeyName, AnySet][] => Object.entries(sets) as [KeyName, AnySet][];

/** Returns previous keys that end early. At the start of a process it is unknown when they stopped signing. */
function earlyEnds(sets: Partial<KeySets>, overlaps: Overlaps): ShortOverlap[] {
  return setsOf(sets).flatMap(([name, { previous }]) => {
    const neededMs = Date.now() + (overlaps[name] ?? 0);
    return previous === null || previous.untilMs >= neededMs ? [] : [shortOverlap(name, previous.untilMs, neededMs)];
  });
}

/** A key that was signing keeps verifying for the whole overlap; a key with an end date, until that date. */
function shortOverlaps(before: Partial<KeySets>, now: Partial<KeySets>, overlaps: Overlaps): ShortOverlap[] {
  return setsOf(now).flatMap(([name, after]) => {
    const overlapMs = overlaps[name];
    if (overlapMs === undefined) return [];
    const { current, previous } = before[name]!;
    const promised = [{ key: current, untilMs: Date.now() + overlapMs }, ...(previous === null ? [] : [previous])];
    return promised
      .filter(({ untilMs }) => untilMs > Date.now())
      .map(({ key, untilMs }) => ({ kept: verifiesUntil(after, key), untilMs }))
      .filter(({ kept, untilMs }) => (kept ?? 0) < untilMs)
      .map(({ kept, untilMs }) => shortOverlap(name, kept, untilMs));
  });
}

function verifiesUntil({ current, next, previous }: AnySet, key: KeyPair | Secret): number | null {
  if (isSameKey(current, key) || (next !== null && isSameKey(next, key))) return Number.POSITIVE_INFINITY;
  return previous !== null && isSameKey(previous.key, key) ? previous.untilMs : null;
}

const shortOverlap = (key: KeyName, untilMs: number | null, neededMs: number): ShortOverlap => ({
  key,
  until: untilMs === null ? null : new Date(untilMs).toISOString(),
  neededUntil: new Date(neededMs).toISOString(),
});
