import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../../local/servers/paths.ts';
import { required } from '../support/database.ts';
import { DEFENCES } from './defences.ts';
import { createRandom } from './random.ts';
import { writeReport } from './report.ts';
import { runAttack } from './run.ts';
import { applyEdit } from './sabotage.ts';
import { SERIES, shareOut } from './series.ts';

test('T1, T2, T10, T11, T12, T22: of all hostile callbacks none is accepted or leaves a row; all genuine ones are credited once', async () => {
  const report = await runAttack({
    seed: 20_260_301,
    count: 1_500,
    series: ['signatures', 'tokens', 'middle'],
    ground: { postgresUrl: required('TEST_POSTGRES_URL'), workflowBundle: required('TEST_WORKFLOW_BUNDLE') },
  });
  expect(report.failures).toEqual([]);
  expect(report.accepted).toBe(0);
  expect(report.attempts).toBeGreaterThan(1_400);
  expect(new Set(report.classes.map(({ name }) => name)).size).toBeGreaterThan(80);
  expect(Object.keys(report.genuine.sent)).toEqual(
    expect.arrayContaining(['first', 'late', 'first, after the attack']),
  );
  const { json, markdown } = writeReport(report);
  expect(JSON.parse(json)).toMatchObject({ seed: 20_260_301, accepted: 0, bound95: 3 / report.attempts });
  expect(markdown.match(/^\| (signatures|tokens|forms|middle) \|/gm)).toHaveLength(report.classes.length);
});

describe('the plan of an attack', () => {
  test.each(Object.values(SERIES))(
    'gives every class of $name its share, and together what was asked for',
    (series) => {
      for (const count of [series.classes.length, 1_000, 99_999]) {
        const shares = shareOut(series.classes, count);
        expect(Math.min(...shares)).toBeGreaterThan(0);
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(count);
      }
    },
  );

  test('is the same for the same seed, and another for another', () => {
    const drawn = (seed: number) => {
      const random = createRandom(seed);
      return Array.from({ length: 20 }, () => random.hex(8));
    };
    expect(drawn(7)).toEqual(drawn(7));
    expect(drawn(7)).not.toEqual(drawn(8));
  });
});

describe('the edits that take a defence away', () => {
  test.each(DEFENCES)('still find what they remove: $name', ({ edits }) => {
    for (const edit of edits) {
      const source = readFileSync(join(root, edit.file), 'utf8');
      expect(applyEdit(source, edit)).not.toBe(source);
    }
  });

  test('are refused when they find nothing, or more than one place', () => {
    const edit = { file: 'x.ts', find: 'a', replace: 'b' };
    expect(() => applyEdit('xyz', edit)).toThrow('x.ts has 0 times, and not once: a');
    expect(() => applyEdit('aa', edit)).toThrow('x.ts has 2 times, and not once: a');
  });
});
