import { formatUnits, grouped } from '../../domain/money.ts';
import { Html, visibleHtml, type HtmlPart } from '../../encoding/html.ts';
import { unitsOf } from '../report/sums.ts';

/** Elements that all parts of the report share. */

export const whole = (value: number): string => grouped(String(value));

/** `1 deposit`, `2 deposits`. */
export const many = (value: number, one: string, more = `${one}s`): string =>
  `${whole(value)} ${value === 1 ? one : more}`;

/** `2026-11-03 10:11:12 UTC`; a text that is no time is unchanged. */
export const moment = (time: string): string =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(time) ? `${time.slice(0, 10)} ${time.slice(11, 19)} UTC` : time;

/** The same in a cell, which breaks between date and time only. */
export const momentCell = (time: string): Html => {
  const shown = moment(time);
  if (shown === time) return visibleHtml`${time}`;
  return visibleHtml`<span class="short">${shown.slice(0, 10)}</span> <span class="short">${shown.slice(11)}</span>`;
};

export const code = (text: string): Html => visibleHtml`<code>${text}</code>`;

/** `5,000 MTC`; fiat with its two decimals. */
export const amountText = (decimal: string, unit = 'MTC'): string =>
  `${grouped(unit === 'MTC' ? decimal : twoDecimals(decimal))} ${unit}`;

const twoDecimals = (decimal: string): string =>
  /^\d+$/.test(decimal) ? `${decimal}.00` : /^\d+\.\d$/.test(decimal) ? `${decimal}0` : decimal;

export interface Column<T> {
  readonly head: string;
  readonly cell: (row: T) => HtmlPart;
  /** `id`: a name that may be long; `long`: a sentence or a hash; `words`: has room for the longest name of ours. */
  readonly style?: 'number' | 'id' | 'long' | 'short' | 'words';
}

interface TableText<T> {
  readonly caption: HtmlPart;
  /** Label of the region that scrolls sideways. */
  readonly label: string;
  readonly rows: readonly T[];
  /** The first names the row. */
  readonly columns: readonly Column<T>[];
  /** `wide`: scrolls sideways where there is no room; `dense`: many short rows. */
  readonly style?: 'wide' | 'dense';
}

export const table = <T>({ caption, label, rows, columns, style }: TableText<T>): Html =>
  visibleHtml`${caption === null ? null : visibleHtml`<p class="soft before">${caption}</p>\n`}<div class="scroll" tabindex="0" role="region" aria-label="${label}, as a table">
<table${styled({ style })} aria-label="${label}">
<thead><tr>${columns.map((column) => visibleHtml`<th scope="col"${styled(column)}>${column.head}</th>`)}</tr></thead>
<tbody>
${rows.map((row) => visibleHtml`<tr>${columns.map((column, at) => cell(column, column.cell(row), at === 0))}</tr>\n`)}</tbody>
</table>
</div>
`;

const cell = <T>(column: Column<T>, shown: HtmlPart, isName: boolean): Html => {
  // A text too long for a figure may be broken, or it would widen the page.
  const style = styled(column.style === 'number' && lengthOf(shown) > 40 ? { style: 'id' } : column);
  return isName ? visibleHtml`<th scope="row"${style}>${shown}</th>` : visibleHtml`<td${style}>${shown}</td>`;
};

/** The approximate visible length of visibleHtml. */
const lengthOf = (shown: HtmlPart): number =>
  shown instanceof Html ? shown.text.length / 3 : typeof shown === 'string' ? shown.length : 0;

const styled = ({ style }: { readonly style?: string | undefined }): Html =>
  new Html(style === undefined ? '' : ` class="${style}"`);

/** Our own lines, one below the other; in other texts line ends are shown as codes. */
export const lines = (text: string): Html =>
  visibleHtml`${text.split('\n').map((line, at) => visibleHtml`${at === 0 ? '' : new Html('\n')}${line}`)}`;

/** The note below a list about the entries it leaves out. */
export const leftOut = (listed: number, found: number, what: string): Html =>
  visibleHtml`${listed < found ? visibleHtml`<p class="soft">The first ${whole(listed)} of ${whole(found)} ${what} are listed; the figures count all of them.</p>` : null}`;

/** `a, b and c`. */
export const listing = (parts: readonly string[]): string =>
  parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;

export const totalText = (decimals: readonly string[]): string =>
  formatUnits(decimals.reduce((sum, decimal) => sum + unitsOf(decimal), 0n));
