import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './variables.ts';

/** Every alarm has a test that names it: one that looks for it in a log. */
const alarms = /export type Alarm =([^;]+);/.exec(readFileSync(join(root, 'telemetry/alarms.ts'), 'utf8'))![1]!;
const names = [...alarms.matchAll(/'(\w+)'/g)].map((match) => match[1]!);

/** Its subject is the counting and logging of alarms; those that it raises are examples. */
const MECHANISM = 'config/alarms.test.ts';

test('every alarm is looked for by a test', () => {
  const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const tests = files.filter((name) => name.endsWith('.test.ts') && name !== MECHANISM);
  const texts = tests.map((name) => readFileSync(join(root, 'test', name), 'utf8'));
  expect(names.length).toBeGreaterThan(40);
  expect(names.filter((name) => !texts.some((text) => new RegExp(`['"]${name}\\\\?['"]`).test(text)))).toEqual([]);
});
