import { spelledOut } from './visible.ts';

/** Text that is HTML already; everything else is escaped when it is put into a page. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** What a template takes; null is nothing. */
export type HtmlPart = string | number | Html | readonly Html[] | null;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** A template whose values are escaped for element content and for quoted attributes. `prepare`: a text before it is escaped. */
const template = (prepare: (text: string) => string) => {
  const render = (part: HtmlPart): string => {
    if (part === null) return '';
    if (part instanceof Html) return part.text;
    if (typeof part === 'object') return part.map((item) => item.text).join('');
    return prepare(String(part)).replace(/[&<>"']/g, (character) => ENTITIES[character]!);
  };
  return (strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html =>
    new Html(strings.reduce((text, string, index) => text + render(parts[index - 1]!) + string));
};

export const html = template((text) => text);

/** The same, with characters that cannot be seen spelled out: a report is read, and printed, by people who must see them. */
export const visibleHtml = template(spelledOut);
