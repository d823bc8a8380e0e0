import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../config/keys/secret.ts';
import { formatUnits, known, parseMtc } from '../../domain/money.ts';
import { CURRENCIES, type Currency } from '../../domain/order.ts';
import { orderFault } from '../../domain/order-limits.ts';
import { allowedDecisions, DECISIONS, STANDINGS } from '../../domain/decision.ts';
import { RECEIPTS } from '../../domain/review.ts';
import { STEP_OUTCOMES } from '../../domain/decision-steps.ts';
import { callbackUrl, capabilityKey } from '../../providers/callback-address.ts';
import { sign } from '../../providers/mtpay/signature.ts';
import { SEARCH_ATTRIBUTES } from '../../workflows/messages.ts';
import { order, settings } from '../support/builders.ts';
import { createTestDatabase } from '../support/database.ts';
import { anchors, root, withoutCode } from './variables.ts';

const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
describe('links', () => {
  test.each(PAGES)('%s links to pages and headings that are there', (path) => {
    const dead = [...withoutCode(read(path)).matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1]!)
      .filter((link) => !/^https?:/.test(link))
      .filter((link) => {
        const [file, heading] = link.split('#');
        const target = file === '' ? path : relative(root, join(root, dirname(path), file!));
        if (!existsSync(join(root, target))) return true;
        return heading !== undefined && !anchors(read(target)).includes(heading);
      });
    expect(dead).toEqual([]);
  });

  test('docs/README.md leads to every page', () => {
    const linked = [...read('docs/README.md').matchAll(/\]\(([^)#\s]+)/g)].map((match) => join('docs', match[1]!));
    expect(PAGES.filter((path) => path !== 'docs/README.md' && !linked.includes(path))).toEqual([]);
  });
});

describe('what the pages say is what the code has', () => {
  test('the runbook has a section for every alarm, and for no other', () => {
    const type = /export type Alarm =([^;]+);/.exec(read('telemetry/alarms.ts'))![1]!;
    const alarms = [...type.matchAll(/'(\w+)'/g)].map((match) => match[1]!);
    const section = /^## Alarms$(.*?)^## /ms.exec(read('docs/guides/runbook.md'))![1]!;
    const headings = [...section.matchAll(/^### (\w+)$/gm)].map((match) => match[1]!);
    expect(alarms.length).toBeGreaterThan(10);
    expect(headings.toSorted()).toEqual(alarms.toSorted());
  });

  test('callbacks.md explains every receipt and names every review reason', () => {
    const page = read('docs/reference/callbacks.md');
    const explained = new Set([...page.matchAll(/^\| `(\w+)` +\|/gm)].map((match) => match[1]));
    expect(explained).toEqual(new Set(RECEIPTS));
    const source = read('domain/review.ts') + /export type JudgedReason =[^;]+;/.exec(read('domain/judge.ts'))![0];
    const reasons = [...source.matchAll(/'([A-Z][A-Z_]+)'/g)].map((match) => match[1]!);
    expect(reasons.length).toBeGreaterThan(18);
    expect(reasons.filter((reason) => !page.includes(`\`${reason}\``))).toEqual([]);
  });

  test('reviews.md says of every standing what can be decided, and names every outcome', () => {
    const page = read('docs/guides/reviews.md');
    const rows = [...page.matchAll(/^\| `(\w+)` +\|(.*)\|$/gm)].map((match) => ({
      name: match[1]!,
      cells: match[2]!.split('|').map((cell) => cell.trim()),
    }));
    for (const standing of STANDINGS) {
      // The standing, and then a column for each decision.
      const [, ...effects] = rows.find(({ name, cells }) => name === standing && cells.length === 5)!.cells;
      const allowed = DECISIONS.filter((_, column) => effects[column] !== '');
      expect(allowed, standing).toEqual(allowedDecisions(standing));
    }
    expect(STEP_OUTCOMES.filter((word) => !page.includes(`\`${word}\``))).toEqual([]);
  });

  test('every command of the pages is there: scripts of npm, programs, scripts of deploy/', () => {
    const { scripts } = JSON.parse(read('package.json')) as { readonly scripts: Readonly<Record<string, string>> };
    const dead = PAGES.flatMap((path) => {
      const page = read(path);
      const named = [...page.matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)].map((match) => match[1]!);
      const programs = [...page.matchAll(/\b(?:tsx|sh|bash|node) ((?:[a-z-]+\/)+[\w-]+\.(?:ts|js|sh|cjs))/g)].map(
        (match) => match[1]!.replace(/^dist\/(.*)\.js$/, '$1.ts'),
      );
      return [
        ...named.filter((name) => scripts[name] === undefined),
        ...programs.filter((file) => !existsSync(join(root, file))),
      ].map((name) => `${path}: ${name}`);
    });
    expect(dead).toEqual([]);
  });

  test('the picture of architecture.md has every table, and growth.md a line about each', () => {
    const tables = [...read('database/catalogue.txt').matchAll(/^table (?:engine|ledger)\.(\w+):/gm)].map(
      (match) => match[1]!,
    );
    expect(tables.length).toBeGreaterThan(30);
    const picture = /^## Tables and their writers$.*?^```mermaid\n(.*?)^```$/ms.exec(
      read('docs/start/architecture.md'),
    )![1]!;
    const drawn = [...picture.matchAll(/^ {4}t\d+\["(.+)"\]$/gm)].flatMap((match) => match[1]!.split('<br>'));
    expect(drawn.toSorted()).toEqual([...new Set(tables)].toSorted());
    const lines = /^## What grows$(.*?)^## /ms.exec(read('docs/internals/growth.md'))![1]!;
    const told = new Set([...lines.matchAll(/`(?:\w+\.)?(\w+)`/g)].map((match) => match[1]));
    expect(drawn.filter((table) => !told.has(table))).toEqual([]);
  });

  test('the golden vector of protocol.md is what we compute', () => {
    const page = read('docs/reference/protocol.md');
    const value = (label: string) => new RegExp(`^${label} +(\\S+)$`, 'm').exec(page)![1]!;
    const secret = (label: string) => new Secret(Buffer.from(value(label)));
    const pair = { accessKey: secret('access key'), secretKey: secret('secret key') };
    expect(sign(pair, Number(value('timestamp')))).toBe(value('signature'));
  });

  test('api.md names the least and the most MTC that a create takes in each currency', () => {
    const rows = [...read('docs/reference/api.md').matchAll(/^\| ([A-Z]{3}) +\| ([\d.]+) +\| ([\d.]+) +\| any +\|$/gm)];
    const told = rows.map(([, currency, least, most]) => [currency as Currency, least!, most!] as const);
    expect(told.map(([currency]) => currency)).toEqual(CURRENCIES);
    const isTaken = (currencyCode: Currency, units: bigint) =>
      orderFault(settings(), order({ currencyCode, mtcAmount: formatUnits(units) })) === null;
    for (const [currency, ...ends] of told) {
      const [least, most] = ends.map((text) => known(parseMtc(text), text));
      const around = [least! - 1n, least!, most!, most! + 1n].map((units) => isTaken(currency, units));
      expect(around, currency).toEqual([false, true, true, false]);
    }
  });

  test('a callback address is as long as protocol.md says', () => {
    const said = Number(/ours is the origin and (\d+) characters/.exec(read('docs/reference/protocol.md'))![1]);
    const key = capabilityKey(new Secret(Buffer.alloc(32, 1)));
    expect(callbackUrl('', key, 'order-1')).toHaveLength(said);
  });

  test('changing-workflows.md names everything that histories hold', () => {
    const page = read('docs/internals/changing-workflows.md');
    const signals = [...read('workflows/messages.ts').matchAll(/define(?:Signal|Update)<.*?>\('(\w+)'\)/g)];
    const activities = [...read('activities/index.ts').matchAll(/^ {6}(\w+): \(/gm)];
    const names = [...signals, ...activities].map((match) => match[1]!);
    expect(names.length).toBeGreaterThan(6);
    expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
    expect(SEARCH_ATTRIBUTES.length).toBeGreaterThan(0);
  });

  test('the README has a line for every folder, and for none that is not there', () => {
    const told = [...read('README.md').matchAll(/^\| `([a-z]+)\/` +\|/gm)].map((match) => match[1]!);
    const folders = readdirSync(root).filter(
      (name) =>
        /^[a-z]+$/.test(name) && !['node_modules', 'dist'].includes(name) && statSync(join(root, name)).isDirectory(),
    );
    expect(told.toSorted()).toEqual(folders.toSorted());
  });
});

describe('the SQL of the pages runs as the auditor', async () => {
  const db = await createTestDatabase();
  const auditor = db.poolFor('auditor');
  const blocks = PAGES.flatMap((path) =>
    [...read(path).matchAll(/^```sql\n(.*?)^```$/gms)].map((match, at) => [`${path}, ${at + 1}`, match[1]!] as const),
  );

  test.each(blocks)('%s', async (_where, sql) => {
    await expect(auditor.query(sql)).resolves.toBeDefined();
  });

  test('and there is a lot of it', () => {
    expect(blocks.length).toBeGreaterThan(10);
  });

  test('on an empty ledger every row of the audit says 0', async () => {
    const { rows } = await auditor.query<{ found: string }>('select * from ledger.audit()');
    expect(rows.map((row) => row.found)).toEqual(rows.map(() => '0'));
  });
});

describe('no page names what belongs elsewhere', () => {
  test.each([...PAGES, '.env.example', 'docker-compose.yml', 'Dockerfile', '.ci/run'])('%s', (path) => {
    const text = read(path);
    // Paths of one machine; hosts of package registries.
    expect(text).not.toMatch(/\/(home|root|Users|work)\/\w/);
    expect(text).not.toMatch(/registry\.npmjs|npmjs\.(com|org)|pypi\.org|proxy\.golang/);
  });
});
