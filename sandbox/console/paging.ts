import type { Request } from 'express';
import { type Html, html } from '../html.ts';
import { asked } from './requests.ts';

/** Lines of one page of a list. */
export const PAGE = 50;

/** The id in the URL below which a page begins; null for the first page. */
export function beforeOf(request: Request): number | null {
  const text = asked(request, 'before');
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

/** A link to the next page if this one is full; null otherwise. */
export function older(
  path: string,
  query: Readonly<Record<string, string>>,
  lines: readonly { readonly id: number }[],
): Html | null {
  if (lines.length < PAGE) return null;
  const search = new URLSearchParams({ ...query, before: String(lines.at(-1)!.id) });
  return html`<p><a href="${path}?${search.toString()}">Older</a></p>`;
}
