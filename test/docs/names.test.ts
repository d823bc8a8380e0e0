import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './variables.ts';

/** An exported name has one meaning in the engine; the sandbox has names of its own. */
const sources = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    // A generator writes the names of schema.d.ts.
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name));
const FOLDERS = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && /^(?!node_modules|dist|docs|test|sandbox)[a-z]+$/.test(entry.name))
  .map((entry) => entry.name);

const EXPORT = /^export (?:abstract )?(?:async )?(type|interface|class|const|let|function\*?) (\w+)/gm;

function homonyms(files: readonly string[]): Record<string, string[]> {
  const where = new Map<string, Set<string>>();
  for (const file of files)
    for (const [, , name] of readFileSync(join(root, file), 'utf8').matchAll(EXPORT))
      where.set(name!, (where.get(name!) ?? new Set()).add(file));
  expect(where.size).toBeGreaterThan(250);
  return Object.fromEntries([...where].filter(([, at]) => at.size > 1).map(([name, at]) => [name, [...at].toSorted()]));
}

test('an exported name is made in one file; an activity has the name of its call in a workflow', () => {
  const activities = /\n {4}activities: \{\n([^]*?)\n {4}\},/.exec(
    readFileSync(join(root, 'activities/index.ts'), 'utf8'),
  )![1]!;
  const found = Object.entries(homonyms(FOLDERS.flatMap(sources))).filter(
    ([name, files]) =>
      !(
        new RegExp(`^ {6}${name}: `, 'm').test(activities) &&
        files.length === 2 &&
        files[0]!.startsWith('activities/') &&
        files[1] === 'workflows/activity-calls.ts'
      ),
  );
  expect(Object.fromEntries(found)).toEqual({});
});

test('so it is in the sandbox', () => {
  expect(homonyms(sources('sandbox'))).toEqual({});
});
