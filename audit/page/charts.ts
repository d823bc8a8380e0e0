import { formatUnits, grouped } from '../../domain/money.ts';
import { type Column, table, whole } from './parts.ts';
import { type Html, visibleHtml } from '../../encoding/html.ts';
import type { AuditReport, Day } from '../report/report.ts';
import { unitsOf } from '../report/sums.ts';

/** Bar charts, each above its figures, so that no fact is in a drawing alone. */

const MAX_BARS = 31;
const DAY_MS = 86_400_000;

interface Span {
  readonly name: 'day' | 'week' | 'month' | 'year';
  /** The beginning of the span that a day is in. */
  readonly begin: (day: string) => string;
  /** A day in the span after it. */
  readonly next: (begin: string) => string;
}

const later = (day: string, days: number): string =>
  new Date(Date.parse(day) + days * DAY_MS).toISOString().slice(0, 10);
/** Monday is the first. */
const weekday = (day: string): number => (new Date(day).getUTCDay() + 6) % 7;

const SPANS: readonly Span[] = [
  { name: 'day', begin: (day) => day, next: (begin) => later(begin, 1) },
  { name: 'week', begin: (day) => later(day, -weekday(day)), next: (begin) => later(begin, 7) },
  { name: 'month', begin: (day) => `${day.slice(0, 7)}-01`, next: (begin) => `${later(begin, 31).slice(0, 7)}-01` },
  {
    name: 'year',
    begin: (day) => `${day.slice(0, 4)}-01-01`,
    next: (begin) => `${later(begin, 366).slice(0, 4)}-01-01`,
  },
];

const isDay = ({ day }: Day): boolean => /^2\d{3}-\d\d-\d\d$/.test(day) && !Number.isNaN(Date.parse(day));

/** Deposits by the shortest span that gives at most {@link MAX_BARS} bars; spans without a deposit included. */
export function bySpan(days: readonly Day[]): { readonly span: Span['name']; readonly rows: readonly Day[] } {
  const valid = days.filter(isDay);
  const [first, last] = [valid[0]?.day, valid.at(-1)?.day];
  if (first === undefined || last === undefined) return { span: 'day', rows: [] };
  for (const span of SPANS) {
    const rows = spread(valid, span, first, last);
    if (rows !== null) return { span: span.name, rows };
  }
  return { span: 'year', rows: [] };
}

function spread(days: readonly Day[], span: Span, first: string, last: string): Day[] | null {
  const begins: string[] = [];
  for (let begin = span.begin(first); begin <= last; begin = span.next(begin)) {
    if (begins.push(begin) > MAX_BARS && span.name !== 'year') return null;
  }
  const sums = new Map(begins.map((day) => [day, { day, deposits: 0, credits: 0, credited: 0n }]));
  for (const { day, deposits, credits, credited } of days) {
    const sum = sums.get(span.begin(day))!;
    sum.deposits += deposits;
    sum.credits += credits;
    sum.credited += unitsOf(credited);
  }
  return [...sums.values()].map((sum) => ({ ...sum, credited: formatUnits(sum.credited) }));
}

const WIDTH = 720;
const HEIGHT = 230;
const LEFT = 56;
const TOP = 12;
const BOTTOM = 28;

export function depositsOverTime(days: readonly Day[]): Html {
  const { span, rows } = bySpan(days);
  if (rows.length === 0) return visibleHtml`<p>There were no deposits.</p>`;
  return visibleHtml`<figure>
<figcaption><span class="swatch strong" aria-hidden="true"></span> credited <span class="swatch weak" aria-hidden="true"></span> not credited. Each bar is the deposits created in one ${span}, in UTC.</figcaption>
<div class="scroll" tabindex="0" role="region" aria-label="Chart of deposits by ${span}">${bars(rows, span)}</div>
</figure>
${table<Day>({ caption: null, label: `Deposits by ${span}`, rows, columns: daysColumns(span), style: 'dense' })}`;
}

const daysColumns = (span: Span['name']): readonly Column<Day>[] => [
  {
    head: span === 'week' ? 'Week from' : span[0]!.toUpperCase() + span.slice(1),
    cell: (row) => spanName(row.day, span),
    style: 'short',
  },
  { head: 'Deposits', cell: (row) => whole(row.deposits), style: 'number' },
  { head: 'Credited', cell: (row) => whole(row.credits), style: 'number' },
  { head: 'MTC credited', cell: (row) => grouped(row.credited), style: 'number' },
];

const spanName = (day: string, span: Span['name']): string =>
  span === 'year' ? day.slice(0, 4) : span === 'month' ? day.slice(0, 7) : day;

function bars(rows: readonly Day[], span: Span['name']): Html {
  const top = scaleOf(Math.max(1, ...rows.map(({ deposits }) => deposits)));
  const height = HEIGHT - TOP - BOTTOM;
  const y = (value: number) => round(TOP + height - (value / top) * height);
  const step = (WIDTH - LEFT) / rows.length;
  const width = round(Math.min(step * 0.7, 48));
  const labelled = Math.ceil(rows.length / 9);
  const middle = (at: number) => LEFT + step * (at + 0.5);
  return visibleHtml`<svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Bars of deposits by ${span}; the figures are in the table below">
${[0, 0.5, 1].map((part) => visibleHtml`<line class="${part === 0 ? 'axis' : 'grid'}" x1="${LEFT}" x2="${WIDTH}" y1="${y(top * part)}" y2="${y(top * part)}"/><text x="${LEFT - 8}" y="${y(top * part) + 4}" text-anchor="end">${whole(top * part)}</text>\n`)}
${rows.map(({ deposits, credits }, at) => bar({ x: round(middle(at) - width / 2), width, y, deposits, credits }))}
${rows.flatMap(({ day }, at) => (at % labelled === 0 ? [visibleHtml`<text x="${round(middle(at))}" y="${HEIGHT - 8}" text-anchor="middle">${spanName(day, span).slice(span === 'day' || span === 'week' ? 5 : 0)}</text>\n`] : []))}</svg>`;
}

interface Bar {
  readonly x: number;
  readonly width: number;
  readonly y: (value: number) => number;
  readonly deposits: number;
  readonly credits: number;
}

const bar = ({ x, width, y, deposits, credits }: Bar): Html => {
  const low = Math.min(credits, deposits);
  return visibleHtml`<rect class="bar strong" x="${x}" y="${y(low)}" width="${width}" height="${round(y(0) - y(low))}"/><rect class="bar" x="${x}" y="${y(deposits)}" width="${width}" height="${round(y(low) - y(deposits))}"/>\n`;
};

const round = (value: number): number => Math.round(value * 10) / 10;

/** The end of the scale: at least the highest value, and an even number, so that half of it is whole. */
function scaleOf(highest: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(highest, 2)));
  const steps = [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power);
  return steps.find((step) => step >= highest && step % 2 === 0) ?? 10 * power;
}

const STATES: Readonly<Record<string, string>> = {
  PLACING: 'the order is being placed at the provider',
  PLACEMENT_REFUSED: 'ended: the provider has no order',
  PLACEMENT_UNKNOWN: 'whether the provider has the order is unknown',
  AWAITING_PAYMENT: 'the customer has the checkout link',
  EXPIRED: 'the time to pay is over; a late payment is still taken',
  CREDITING: 'the credit is being written',
  IN_REVIEW: 'people decide',
  CREDITED: 'ended: the wallet was credited, once',
  REJECTED: 'ended: people decided not to credit',
  UNPAID: 'ended: nothing came',
};

export const stateMeaning = (state: string): string => STATES[state] ?? '';

export function depositsByState(states: AuditReport['states']): Html {
  const all = states.reduce((sum, { deposits }) => sum + deposits, 0);
  const most = Math.max(1, ...states.map(({ deposits }) => deposits));
  return table<AuditReport['states'][number]>({
    caption: 'Where every deposit stands. The length of a bar is its share of the largest.',
    label: 'Deposits by state',
    rows: states,
    columns: [
      {
        head: 'State',
        cell: ({ state }) => visibleHtml`${state}<br><span class="soft">${stateMeaning(state)}</span>`,
        style: 'long',
      },
      { head: 'Deposits', cell: ({ deposits }) => whole(deposits), style: 'number' },
      {
        head: 'Share',
        cell: ({ deposits }) => `${((100 * deposits) / Math.max(1, all)).toFixed(1)} %`,
        style: 'number',
      },
      { head: 'Proportion', cell: ({ deposits, state }) => shareBar(deposits / most, state === 'CREDITED') },
    ],
  });
}

const shareBar = (share: number, isStrong: boolean): Html =>
  visibleHtml`<svg class="share" viewBox="0 0 220 16" preserveAspectRatio="none" aria-hidden="true" focusable="false"><rect class="bar${isStrong ? ' strong' : ''}" x="0" y="2" width="${round(Math.max(1, share * 220))}" height="12"/></svg>`;
