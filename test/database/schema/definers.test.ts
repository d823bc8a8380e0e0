import { expect, test } from 'vitest';
import { createTestDatabase } from '../../support/database.ts';

const db = await createTestDatabase();

interface Definer {
  readonly name: string;
  readonly owner: string;
  readonly language: string;
  readonly settings: readonly string[];
  readonly source: string;
  readonly isPublic: boolean;
}

/** Functions that run with their owner's rights: every caller may exploit a fault in one. */
const { rows: definers } = await db.owner.query<Definer>(
  `select p.oid::regprocedure::text as name, pg_get_userbyid(p.proowner) as owner, l.lanname as language,
          coalesce(p.proconfig, '{}') as settings, p.prosrc as source,
          p.prorettype <> 'trigger'::regtype and
          exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0) as "isPublic"
     from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
    where n.nspname not in ('pg_catalog', 'information_schema') and p.prosecdef order by 1`,
);

test('there are some', () => expect(definers.length).toBeGreaterThan(10));

test.each(definers)(
  '$name looks its names up where nobody else can put any, and is never compiled just in time',
  (it) => {
    expect(it.settings.filter((setting) => setting.startsWith('search_path='))).toEqual([
      expect.stringMatching(/^search_path=(engine|ledger|pg_catalog), pg_temp$/),
    ]);
    expect(it.settings).toContain('jit=off');
  },
);

test.each(definers)('$name is executed by whom it was granted to, and makes no statement out of text', (it) => {
  expect(it.isPublic).toBe(false);
  expect(['sql', 'plpgsql']).toContain(it.language);
  expect(it.source).not.toMatch(/\bexecute\b/i);
});

// A body is text until a session calls it, and each session may set `standard_conforming_strings`.
test('no function reads a backslash, but for one to which both readings are the same', async () => {
  const { rows } = await db.owner.query<{ name: string }>(
    `select proname as name from pg_proc where pronamespace in ('engine'::regnamespace, 'ledger'::regnamespace)
        and strpos(regexp_replace(prosrc, '--[^' || chr(10) || ']*|E''[^'']*''', '', 'g'), chr(92)) > 0`,
  );
  expect(rows).toEqual([{ name: 'is_reason' }]);
  const samples = [
    'ok',
    'fine',
    ' ok ',
    '\u{1f600}\u{1f600}',
    'a\u0001b',
    'a\u200eb',
    'a\u2066b',
    '\ufeff \u2003',
    '\\u0001',
    'U00010000',
  ];
  const judged = async (setting: string) => {
    const client = await db.owner.connect();
    try {
      await client.query(`begin; set local standard_conforming_strings = ${setting}`);
      const { rows: found } = await client.query('select s, engine.is_reason(s) as fits from unnest($1::text[]) s', [
        samples,
      ]);
      return found;
    } finally {
      await client.query('rollback');
      client.release();
    }
  };
  const conforming = await judged('on');
  expect(new Set(conforming.map(({ fits }) => fits))).toEqual(new Set([true, false]));
  expect(await judged('off')).toEqual(conforming);
});
