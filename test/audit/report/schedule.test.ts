import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { collectEvidence } from '../../../archive/evidence.ts';
import { archiveObjects } from '../../../archive/objects.ts';
import { ReportBuilder } from '../../../audit/report/builder.ts';
import { openFiles, writeReport } from '../../../audit/report/files.ts';
import { aboutPlaces } from '../../../audit/report/finding-facts.ts';
import type { AuditReport, Finding } from '../../../audit/report/report.ts';
import { describeBooks } from '../../../audit/report/schedule.ts';
import { parseCommand } from '../../../audit/audit-arguments.ts';
import { csvCell } from '../../../audit/report/chained-lines.ts';
import { openSession } from '../../../audit/tables/session.ts';
import { verifyReport } from '../../../audit/report/verify.ts';
import { byHand, createTestDatabase } from '../../support/database.ts';
import { makeCredits } from '../credits.ts';
import { finish, newDirectory, newSigner } from './sample.ts';

const db = await createTestDatabase();
const signer = newSigner();
let numbers: string[];
/** The report of the whole book, with a sample. */
let plain: Made;

beforeAll(async () => {
  numbers = await makeCredits(db.owner, db.poolFor('app_worker'), 1_000);
  plain = await report(['--list', '25', '--seed', '7']);
});

interface Made {
  readonly report: AuditReport;
  readonly json: string;
  readonly directory: string;
  file(suffix: string): string;
}

/** The report of an audit with these findings. */
async function report(words: readonly string[] = [], findings: readonly Finding[] = []): Promise<Made> {
  const session = await openSession({ url: db.urlFor('auditor') }, null);
  const directory = newDirectory();
  const open = openFiles(directory);
  try {
    const builder = new ReportBuilder();
    builder.findAll(findings);
    const books = await describeBooks(session, builder, parseCommand(words), open);
    const about = await aboutPlaces(session, builder.listedPlaces());
    const made = finish(builder, { books, about });
    const { json } = writeReport(made, signer, directory, open);
    const file = (suffix: string) => join(directory, readdirSync(directory).find((name) => name.endsWith(suffix))!);
    return { report: made, json, directory, file };
  } finally {
    open.drop();
    await session.end();
  }
}

const textOf = (path: string): string => readFileSync(path, 'utf8');
const linesOf = (path: string): string[] => textOf(path).split('\r\n').slice(0, -1);

/** The columns of a line whose cells hold no comma. */
function cells(path: string): Record<string, string>[] {
  const [header, ...rows] = linesOf(path);
  const names = header!.split(',');
  return rows.map((row) => Object.fromEntries(row.split(',').map((cell, at) => [names[at]!, cell])));
}

async function verified(json: string): Promise<{ readonly exit: number; readonly said: string[] }> {
  const said: string[] = [];
  const exit = await verifyReport(json, { pinned: null, say: (line) => void said.push(line.trim()) });
  return { exit, said };
}

/** The file with a change by another person; it is restored afterwards. */
async function after(path: string, change: (text: string) => string, json: string) {
  const before = textOf(path);
  const changed = change(before);
  expect(changed).not.toBe(before);
  writeFileSync(path, changed);
  const result = await verified(json);
  writeFileSync(path, before);
  return result;
}

/** In units of a hundred millionth, as whole numbers. */
const units = (decimal: string): bigint => {
  const [whole, fraction = ''] = decimal.replace('-', '').split('.');
  return BigInt(`${whole}${fraction.padEnd(8, '0')}`) * (decimal.startsWith('-') ? -1n : 1n);
};

describe('the schedule', () => {
  test('has every posting once, reversals and releases with their sign, and adds up to the ledger', async () => {
    const made = plain;
    const rows = cells(made.file('schedule.csv'));
    expect(rows).toHaveLength(1_015);
    expect(new Set(rows.map(({ posting }) => posting)).size).toBe(1_015);
    const { rows: balances } = await db.owner.query<{ account: string; amount: string }>(
      `select case when a.code like 'wallet:%' then 'wallets' else split_part(a.code, ':', 1) end as account,
              (sum(b.amount) * case when a.kind = 'asset' then 1 else -1 end)::text as amount
         from ledger.balance b join ledger.account a on a.id = b.account_id group by 1, a.kind`,
    );
    for (const { account, amount } of balances) {
      const sum = rows.reduce((all, row) => all + units(row[`to_${account}`]!), 0n);
      expect(sum, account).toBe(units(amount));
    }
    expect(balances.map(({ account }) => account).toSorted()).toEqual(['clearing', 'suspense', 'wallets']);
    const reversal = rows.find(({ kind }) => kind === 'reversal')!;
    expect(units(reversal['amount']!)).toBeLessThan(0n);
    expect(reversal).toMatchObject({ decided_by: 'alice+bob', evidence: 'on its way' });
    expect(rows.find(({ kind }) => kind === 'release')).toMatchObject({ wallet: 'w-other' });
    const { schedule, accounts, differences } = made.report.books!;
    expect(schedule).toMatchObject({ lines: 1_015, agrees: true, flagged: { lines: 0 } });
    expect(differences).toEqual([{ asset: 'MTC', difference: '0' }]);
    expect(accounts.every(({ kept, closing }) => kept === closing)).toBe(true);
    const { rows: first } = await db.owner.query<{ id: string; hash: string }>(
      `select c.id::text, encode(c.content_hash, 'hex') as hash from engine.callback c where c.external_order_number = $1`,
      [numbers[0]],
    );
    expect(rows.find(({ deposit }) => deposit === numbers[0])).toMatchObject({
      wallet: 'w-0',
      amount: '100.0625',
      currency: 'CNY',
      paid: '700',
      evidence: 'authentic',
      callback: first[0]!.id,
      callback_content_hash: first[0]!.hash,
      callbacks_with_code: '1',
    });
  });

  test('of the same facts is the same, byte by byte', async () => {
    const [one, other] = [plain, await report(['--list', '25', '--seed', '7'])];
    expect(other.report.books).toEqual(one.report.books);
    for (const name of ['schedule.csv', 'schedule.jsonl', 'wallets.csv', 'sample.csv', '.html'])
      expect(textOf(other.file(name)) === textOf(one.file(name)), name).toBe(true);
  });

  test('each line of both files has hashes that anybody can compute', async () => {
    const made = plain;
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
    const [header, ...rows] = linesOf(made.file('schedule.csv'));
    let chain = sha256(header!);
    for (const row of rows) {
      chain = sha256(`${chain}${sha256(row.slice(0, -130))}`);
      expect(row.slice(-64)).toBe(chain);
    }
    const objects = textOf(made.file('schedule.jsonl')).trimEnd().split('\n');
    expect(objects).toHaveLength(rows.length);
    let other = sha256('');
    for (const object of objects) {
      const { row_hash: rowHash, chain_hash: chainHash, ...line } = JSON.parse(object) as Record<string, unknown>;
      const sorted = Object.fromEntries(Object.entries(line).toSorted(([a], [b]) => (a < b ? -1 : 1)));
      expect(rowHash).toBe(sha256(JSON.stringify(sorted)));
      other = sha256(`${other}${String(rowHash)}`);
      expect(chainHash).toBe(other);
    }
  });

  test('of a period rolls forward from the one before it, and the two have each line once', async () => {
    const { rows } = await db.owner.query<{ at: Date }>('select at from ledger.block order by n offset 2 limit 1');
    // The second block of credits is the first of the second period.
    const border = rows[0]!.at.toISOString();
    const [whole, first, second] = [plain, await report(['--to', border]), await report(['--from', border])];
    const linesIn = ({ report: { books } }: Made) => books!.schedule.lines;
    expect(linesIn(first)).toBe(500);
    expect(linesIn(second)).toBe(515);
    expect([first, second].flatMap((part) => cells(part.file('schedule.csv')).map(({ posting }) => posting))).toEqual(
      cells(whole.file('schedule.csv')).map(({ posting }) => posting),
    );
    const account = ({ report: { books } }: Made, name: string) => books!.accounts.find((one) => one.account === name)!;
    for (const name of ['wallets', 'suspense:mtpay', 'clearing:mtpay']) {
      expect(account(second, name).opening).toBe(account(first, name).closing);
      expect(account(second, name).closing).toBe(account(whole, name).closing);
    }
    expect(account(first, 'wallets').kept).toBeNull();
    expect([first, second].every(({ report: { books } }) => books!.schedule.agrees)).toBe(true);
    const wallets = cells(second.file('wallets.csv'));
    expect(wallets).toHaveLength(301);
    const sum = wallets.reduce((all, row) => all + units(row['closing']!), 0n);
    expect(sum).toBe(units(account(second, 'wallets').closing));
  });

  test('does not add up when an entry was changed, and says so', async () => {
    await byHand(db.owner, 'update ledger.entry set amount = amount - 1 where transaction_id = 7 and line = 2');
    const { books, unexplained } = (await report()).report;
    await byHand(db.owner, 'update ledger.entry set amount = amount + 1 where transaction_id = 7 and line = 2');
    expect(books!.schedule.agrees).toBe(false);
    expect(unexplained).toBe(1);
    expect(books!.differences).toEqual([{ asset: 'MTC', difference: '-1' }]);
  });
});

describe('verify names what was done to the files', () => {
  const swapCell = (text: string, line: number, from: RegExp, to: string) => {
    const lines = text.split('\r\n');
    lines[line] = lines[line]!.replace(from, to);
    return lines.join('\r\n');
  };

  test('nothing: genuine', async () => {
    const { exit, said } = await verified(plain.json);
    expect({ exit, said }).toMatchObject({ exit: 0 });
    expect(said.join('\n')).toMatch(/schedule\.csv: 1015 lines, each as it was signed/);
  });

  test('two changed cells: their two lines', async () => {
    const twice = (text: string) => swapCell(swapCell(text, 17, /,w-\d+,/, ',w-evil,'), 900, /,CNY,/, ',HKD,');
    const { exit, said } = await after(plain.file('schedule.csv'), twice, plain.json);
    expect(exit).toBe(1);
    expect(said.filter((line) => line.includes('line '))).toEqual([
      expect.stringMatching(/schedule\.csv: line 17 was changed\.$/),
      expect.stringMatching(/schedule\.csv: line 900 was changed\.$/),
    ]);
  });

  test('a line that was taken out, put in twice, moved, or written anew with its own hashes', async () => {
    const path = plain.file('schedule.csv');
    const edit = (change: (lines: string[]) => void) => (text: string) => {
      const lines = text.split('\r\n');
      change(lines);
      return lines.join('\r\n');
    };
    const named = async (change: (lines: string[]) => void) => {
      const { exit, said } = await after(path, edit(change), plain.json);
      expect(exit).toBe(1);
      return said.slice(1).map((line) => line.replace(/^.*csv: /, ''));
    };
    expect(await named((lines) => lines.splice(40, 2))).toEqual(['lines 40 to 41 are missing.']);
    expect(await named((lines) => lines.splice(40, 0, lines[12]!))).toEqual(['line 12 was put in.']);
    expect(await named((lines) => lines.splice(60, 0, ...lines.splice(40, 1)))).toEqual([
      'line 40 stands at another place.',
    ]);
    expect(await named((lines) => lines.splice(-2, 1))).toEqual(['line 1015 is missing.']);
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
    const forge = (lines: string[], at: number) => {
      const body = lines[at]!.slice(0, -130).replace(/,w-\d+,/, ',w-evil,');
      const row = sha256(body);
      lines[at] = `${body},${row},${sha256(`${lines[at - 1]!.slice(-64)}${row}`)}`;
    };
    expect(await named((lines) => forge(lines, 30))).toEqual([
      'line 31 does not continue the line before it: one of the two was written anew.',
    ]);
    const rewritten = await named((lines) => {
      for (let at = 30; at < lines.length - 1; at += 1) forge(lines, at);
    });
    expect(rewritten).toEqual([expect.stringContaining('the last hash is not the signed one')]);
  });

  test('line ends, a header, a file of lines that is gone, and what is changed in the other files', async () => {
    const [csv, jsonl, wallets] = ['schedule.csv', 'schedule.jsonl', 'wallets.csv'].map((name) => plain.file(name));
    const saying = async (path: string, change: (text: string) => string) => {
      const { exit, said } = await after(path, change, plain.json);
      expect(exit).toBe(1);
      return said.join(' ');
    };
    expect(await saying(csv!, (text) => text.replaceAll('\r\n', '\n'))).toContain('line ends were changed');
    expect(await saying(csv!, (text) => text.replace('deposit', 'Deposit'))).toContain('the header was changed');
    expect(await saying(csv!, (text) => `${text}x`)).toContain('line 1016 was changed');
    expect(await saying(jsonl!, (text) => text.replace(/("line":6,.*"wallet":"w-)/, '$1x'))).toMatch(
      /jsonl: line 6 was changed/,
    );
    expect(await saying(wallets!, (text) => text.replace('MTC,0,', 'MTC,1,'))).toContain('wallets.csv: line 1 was');
    const { exit, said } = await after(plain.json, (text) => text.replace('"rows": 1015', '"rows": 1014'), plain.json);
    expect({ exit, said: said.join() }).toMatchObject({ exit: 1, said: expect.stringContaining('was changed') });
  });
});

describe('findings', () => {
  test('take a line out of what rests on evidence, and name deposit, wallet, amount and time', async () => {
    const { rows } = await db.owner.query<{ id: string; code: string; callback: string }>(
      `select t.id::text, t.provider_code as code, c.id::text as callback from ledger.transaction t join engine.callback c on c.deposit = t.deposit
        where t.deposit = any ($1) order by array_position($1, t.deposit::text)`,
      [numbers.slice(0, 3)],
    );
    const at = (where: string): Finding => ({ kind: 'posting_differs', where, detail: 'it differs' });
    const made = await report(
      [],
      [
        at(`posting ${rows[0]!.id}`),
        at(`callback ${rows[1]!.callback}`),
        at(`deposit:${numbers[2]}`),
        at('block 99999'),
        at('the moon'),
      ],
    );
    const lines = cells(made.file('schedule.csv'));
    const flagged = lines.filter(({ evidence }) => evidence === 'finding');
    expect(new Set(flagged.map(({ deposit }) => deposit))).toEqual(new Set(numbers.slice(0, 3)));
    expect(new Set(flagged.map(({ findings }) => findings))).toEqual(new Set(['posting_differs']));
    const { books, evidence, checks } = made.report;
    expect(books!.schedule.flagged).toEqual({ lines: 3, wallets: '303.0625' });
    expect(evidence.find(({ basis }) => basis === 'finding')).toMatchObject({ credits: 3, credited: '303.0625' });
    expect(evidence.find(({ basis }) => basis === 'callback')).toMatchObject({ credits: 987 });
    const about = checks.flatMap(({ findings }) => findings).map((finding) => [finding.where, finding.about]);
    expect(Object.fromEntries(about)).toEqual({
      [`posting ${rows[0]!.id}`]: {
        deposit: numbers[0],
        wallet: 'w-0',
        isPaid: true,
        amount: '100.0625',
        at: expect.any(String),
      },
      [`callback ${rows[1]!.callback}`]: {
        deposit: numbers[1],
        wallet: 'w-1',
        isPaid: true,
        amount: '101',
        at: expect.any(String),
      },
      [`deposit:${numbers[2]}`]: {
        deposit: numbers[2],
        wallet: 'w-2',
        isPaid: true,
        amount: '102',
        at: expect.any(String),
      },
      'block 99999': null,
      'the moon': null,
    });
    const page = textOf(made.file('.html')).split('<main>')[0]!;
    expect(page).toContain('Qualified: 5 findings');
    expect(page).toContain('3 credits, 303.0625 MTC, are not confirmed by this report');
    expect(page).toMatch(/deposit o-\S+, 10[0-2](\.0625)? MTC paid to wallet w-[0-2], 2/);
    expect(page).toContain('987 credits, ');
    expect(page).not.toContain('990 credits, ');
  });
});

describe('what is drawn to be looked at', () => {
  test('is the same for the same seed, and another for another', async () => {
    const one = plain.report.books!.drawn!;
    const other = (await report(['--list', '25', '--seed', '8'])).report.books!.drawn!;
    expect(one.lines).toHaveLength(25);
    expect(one.ofLines).toBe(1_005);
    expect(other.lines).not.toEqual(one.lines);
    const lowest = (posting: string) => createHash('sha256').update(`7|${posting}`).digest('hex');
    const all = cells(plain.file('schedule.csv')).filter((row) => units(row['to_wallets']!) > 0n);
    const lowestFirst = all.toSorted((a, b) => (lowest(a['posting']!) < lowest(b['posting']!) ? -1 : 1)).slice(0, 25);
    expect(new Set(one.lines.map(({ posting }) => posting))).toEqual(new Set(lowestFirst.map((row) => row['posting'])));
  });

  test('by amount: each cut of the money falls into a credit that is drawn, and no other is', async () => {
    const made = await report(['--list', '40', '--seed', '3', '--by', 'amount']);
    const drawn = made.report.books!.drawn!;
    const [interval, start] = [units(drawn.interval!), units(drawn.start!)];
    const expected: string[] = [];
    let [laid, next] = [0n, start];
    for (const row of cells(made.file('schedule.csv'))) {
      const amount = units(row['to_wallets']!);
      if (amount <= 0n) continue;
      laid += amount;
      if (next < laid) expected.push(row['posting']!);
      while (next < laid) next += interval;
    }
    expect(laid).toBe(units(drawn.ofAmount));
    expect(drawn.lines.map(({ posting }) => posting)).toEqual(expected.slice(0, 40));
    expect(drawn.lines.length).toBe(40);
    const paper = linesOf(made.file('sample.csv'));
    expect(paper).toHaveLength(41);
    expect(paper[0]).toContain('callback_seen');
    expect((await verified(made.json)).exit).toBe(0);
    writeFileSync(made.file('sample.csv'), paper.map((row) => `${row}x`).join('\r\n'));
    expect((await verified(made.json)).exit).toBe(0);
  });
});

test('of the steps of a case one that was refused is told from one that counted', async () => {
  const steps = `
    insert into engine.decision (id, callback, workflow_id, step, decision, proposal, reason, operator, at)
    overriding system value
    select x.id, c.id, 'review:steps', x.step, x.decision, x.proposal, 'it is so', x.who, clock_timestamp()
      from engine.callback c cross join (values (901, 'propose', 'credit', null, 'alice'), (902, 'confirm', null, 901, 'alice'), (903, 'confirm', null, 901, 'bob'),
        (904, 'propose', 'reject', null, 'bob'), (905, 'confirm', null, 904, 'alice')) x(id, step, decision, proposal, who) where c.external_order_number = '${numbers[9]}'`;
  await byHand(db.owner, steps);
  await byHand(db.owner, `insert into engine.refused_step (decision, refusal) values (902, 'same_operator')`);
  await byHand(
    db.owner,
    `insert into engine.carried (proposal, confirmation, outcome, posting, answer) values (904, 905, 'decided', 12, '{"kind":"decided"}'), (901, 903, 'refused', null, '{"kind":"refused","refusal":"credited_meanwhile"}')`,
  );
  await byHand(db.owner, 'delete from engine.archive where workflow_id = $1', [`deposit:${numbers[9]}`]);
  const lines = await collectEvidence(
    { db: db.owner, objects: archiveObjects(db.owner, undefined), codecs: [], fetchOpen: async () => null },
    numbers[9]!,
  );
  const said = lines!.filter(({ source }) => source.startsWith('decision ')).map(({ source, text }) => [source, text]);
  expect(Object.fromEntries(said)).toEqual({
    'decision 901': 'alice proposed credit: it is so',
    'decision 902': 'alice confirmed proposal 901: it is so; it did not count, the case refused it: same_operator',
    'decision 903': 'bob confirmed proposal 901: it is so; it did not count, the books refused it: credited_meanwhile',
    'decision 904': 'bob proposed reject: it is so',
    'decision 905': 'alice confirmed proposal 904: it is so; it counted, and came to decided with posting 12',
  });
});

test('a cell that a spreadsheet would run is a text, and a number stays one', () => {
  const cell = (text: string, isNumber = false) => csvCell({ name: 'x', text, isNumber });
  for (const text of ['=1+1', '+1', '-1', '@sum', '-wallet', '|cmd', ' =1', '%0A', '＝1', '＠sum'])
    expect(cell(text)).toMatch(/^"?'/);
  expect(cell('\t=1')).toBe('⟨U+0009⟩=1');
  expect(cell('-5000.5', true)).toBe('-5000.5');
  expect(cell('=1', true)).toBe("'=1");
  expect(cell('a,"b"')).toBe('"a,""b"""');
  expect(cell('a\r\nb')).toBe('a⟨U+000D⟩⟨U+000A⟩b');
});
