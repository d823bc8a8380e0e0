import { spelledOut } from '../../encoding/visible.ts';

/** Text that is markup already; everything else is escaped when it is put into a page. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** What a template takes; null is nothing. */
export type Part = string | number | Markup | readonly Markup[] | null;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function render(part: Part): string {
  if (part === null) return '';
  if (part instanceof Markup) return part.text;
  if (typeof part === 'object') return part.map((item) => item.text).join('');
  return spelledOut(String(part)).replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}

/**
 * A template whose values are escaped for element content and quoted attributes alike. Characters that cannot be seen
 * are spelled out: a report is read, and printed, by people who have to see what is there.
 */
export function markup(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.reduce((text, string, index) => text + render(parts[index - 1]!) + string));
}
