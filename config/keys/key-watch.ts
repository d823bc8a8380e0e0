import type { KeySource } from './key-source.ts';
import type { KeySet } from './keyring.ts';
import { isSameKey, type KeyName, type KeyPair, type KeySets } from './keys.ts';
import { type Log, raiseAlarm } from '../../telemetry/log.ts';
import type { Secret } from './secret.ts';

export interface KeyWatch<N extends KeyName> {
  /** How long a key must still verify after it stopped signing, where that matters. */
  readonly overlapMs: { readonly [name in N]?: number };
  /** Names of keys that may be shown: the same that tables and addresses carry. */
  readonly show: (sets: KeySets<N>) => Readonly<Record<string, unknown>>;
  readonly log: Log;
  readonly everyMs?: number;
}

/** A change is taken by the second look that finds it: within two of these. */
const LOOK_EVERY_MS = 1_000;

/**
 * Says which keys are in force, and, where keys come from files, takes on what the files say from then on. Never
 * throws: what cannot be taken is told by the alarm `keys_not_taken`, and the old keys stay. Answers how to stop.
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

/** A key that does not verify for as long as work done under it may come back. */
type ShortOverlap = {
  readonly key: KeyName;
  /** Null: it does not verify any more at all. */
  readonly until: string | null;
  readonly neededUntil: string;
};
type Overlaps = { readonly [name in KeyName]?: number };
type AnySet = KeySet<KeyPair | Secret>;

const setsOf = (sets: Partial<KeySets>): [KeyName, AnySet][] => Object.entries(sets) as [KeyName, AnySet][];

/** At the start of a process nobody knows when the previous key stopped signing. */
function earlyEnds(sets: Partial<KeySets>, overlaps: Overlaps): ShortOverlap[] {
  return setsOf(sets).flatMap(([name, { previous }]) => {
    const neededMs = Date.now() + (overlaps[name] ?? 0);
    return previous === null || previous.untilMs >= neededMs ? [] : [shortOverlap(name, previous.untilMs, neededMs)];
  });
}

/** What signed until now has to verify for the whole overlap, and what was to verify until an end, until that end. */
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
