import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { bundleForGate } from './bundle.ts';
import { type Caught, differences } from './gate.ts';
import { type Path, recordedPaths, type Touches } from './predicates.ts';
import { quietRuntime } from '../runtime.ts';

/** A change someone might make to the code of workflows, and the gate's expected report about it. */
export interface Change {
  readonly what: string;
  /** A file of this repository. */
  readonly file: string;
  /** Every place of this text becomes `to`. */
  readonly from: string;
  readonly to: string;
  /** Which recorded paths the change touches, read from what they recorded. */
  readonly touches: Touches;
  /** Matches the gate's sentence in each of them. */
  readonly says: RegExp;
  /** The change would affect paths to which other changes lead: it gets a copy of its own. */
  readonly isAlone?: true;
}

/** One test for each change: it is caught in every recorded path it touches, in no other, and the decision is named. */
export function describeChanges(title: string, changes: readonly Change[]): void {
  describe(title, async () => {
    quietRuntime();
    const outcomeOf = await makeChanges(changes, await recordedPaths());

    test.each(changes.map((change) => [change.what, change] as const))('%s', async (_what, change) => {
      const { touched, caught, strays } = await outcomeOf(change);
      expect(touched, 'a recorded path shows it').not.toEqual([]);
      expect([...caught.keys()].toSorted()).toEqual(touched.toSorted());
      expect(strays).toEqual([]);
      for (const [name, { sentence, fromError }] of caught) {
        expect(sentence, name).toMatch(change.says);
        // The audit has the SDK's error alone: every such error needs a sentence.
        expect(fromError ?? '', name).not.toMatch(/TMPRL|Nondeterminism|machine/);
      }
    });
  });
}

interface Outcome {
  readonly touched: readonly string[];
  /** The touched paths that the gate caught. */
  readonly caught: ReadonlyMap<string, Caught>;
  /** Paths that were caught and that no change in this copy touches. */
  readonly strays: readonly string[];
}

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** A copy of the code with changes that touch no path in common: one bundle and one replay serve for all of them. */
interface Copy {
  readonly changes: Map<Change, readonly string[]>;
  readonly sources: Map<string, string>;
  found?: Promise<ReadonlyMap<string, Caught>>;
}

/**
 * Makes the changes in copies of the code, and replays every path on each. Returns a function that resolves with the
 * results.
 */
async function makeChanges(
  changes: readonly Change[],
  paths: readonly Path[],
): Promise<(change: Change) => Promise<Outcome>> {
  const touchedBy = (change: Change) => paths.filter(change.touches).map(({ recorded }) => recorded.name);
  const all = changes.map((change) => ({ change, touched: touchedBy(change) }));
  const copies: Copy[] = [];
  // The changes that touch most come first: each fills a copy alone, and the rest needs fewer copies.
  for (const { change, touched } of all.toSorted((a, b) => b.touched.length - a.touched.length)) {
    const copy = (await firstFitting(copies, change, touched)) ?? { changes: new Map(), sources: new Map() };
    if (!copies.includes(copy)) copies.push(copy);
    copy.sources.set(change.file, replaced(change, await sourceOf(copy, change.file)));
    copy.changes.set(change, touched);
  }
  return async (change) => {
    const copy = copies.find(({ changes }) => changes.has(change))!;
    const touched = copy.changes.get(change)!;
    const found = await (copy.found ??= replayOn(copy, paths));
    const all = new Set([...copy.changes.values()].flat());
    return {
      touched,
      caught: new Map([...found].filter(([name]) => touched.includes(name))),
      strays: [...found.keys()].filter((name) => !all.has(name)),
    };
  };
}

async function firstFitting(
  copies: readonly Copy[],
  change: Change,
  touched: readonly string[],
): Promise<Copy | undefined> {
  if (change.isAlone) return undefined;
  for (const copy of copies) {
    if ([...copy.changes.keys()].some(({ isAlone }) => isAlone)) continue;
    const taken = new Set([...copy.changes.values()].flat());
    const isThere = (await sourceOf(copy, change.file)).includes(change.from);
    if (isThere && !touched.some((name) => taken.has(name))) return copy;
  }
  return undefined;
}

function replaced({ what, file, from, to }: Change, source: string): string {
  if (!source.includes(from)) throw new Error(`${file} does not say "${from}" any more: change "${what}" anew`);
  return source.replaceAll(from, to);
}

const sourceOf = async (copy: Copy, file: string): Promise<string> =>
  copy.sources.get(file) ?? (await readFile(join(root, file), 'utf8'));

const replayOn = async ({ sources }: Copy, paths: readonly Path[]): Promise<ReadonlyMap<string, Caught>> =>
  differences(
    await bundleForGate(sources),
    paths.map(({ recorded }) => recorded),
  );
