import { html, type Html } from '../../../encoding/html.ts';
import type { Figures } from '../figures/result.ts';
import type { Figure } from '../figures/statistics.ts';

const WIDTH = 640;
const ROW = 40;
const LEFT = 180;
const RIGHT = 70;
const TOP = 60;
const BAR = 14;
const LEGEND = 'ratio to the baseline; the line goes from the least to the greatest round, the dashes are the mark';

/** Draws the ratios as bars in SVG, each with the range of its rounds and its mark. */
export function chartOf(title: string, figures: Figures, marks: Readonly<Record<string, number>>): string {
  const points = Object.entries(figures).filter(([, { ratio }]) => ratio !== null);
  const greatest = Math.max(1, ...points.flatMap(([point, { max }]) => [max, marks[point] ?? 0]));
  const x = (value: number): number => Math.round(LEFT + (value / greatest) * (WIDTH - LEFT - RIGHT));
  const height = TOP + points.length * ROW;
  const bars = points.map(([point, figure], i) => bar(point, figure, marks[point] ?? null, TOP + i * ROW, x));
  return html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13" role="img">
<title>${title}</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="16" y="22" font-weight="bold">${title}</text>
<text x="16" y="40" font-size="11" fill="#555555">${LEGEND}</text>
${bars}</svg>
`.text;
}

function bar(
  point: string,
  { ratio, min, max }: Figure,
  mark: number | null,
  top: number,
  x: (value: number) => number,
): Html {
  const middle = top + BAR / 2;
  const dashes =
    mark === null
      ? null
      : html`<line x1="${x(mark)}" x2="${x(mark)}" y1="${top - 7}" y2="${top + BAR + 7}" stroke="#b3541e" stroke-width="2" stroke-dasharray="4 3"/>`;
  return html`<text x="${LEFT - 10}" y="${top + 12}" text-anchor="end">${point}</text>
<rect x="${LEFT}" y="${top}" width="${x(ratio!) - LEFT}" height="${BAR}" fill="#3b6ea5"/>
<line x1="${x(min)}" x2="${x(max)}" y1="${middle}" y2="${middle}" stroke="#12263a" stroke-width="2"/>
<text x="${x(max) + 8}" y="${top + 12}">${ratio}</text>
${dashes}
`;
}
