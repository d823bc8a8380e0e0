import { spelledOut } from './visible.ts';

/** Text that is HTML already; everything else is escaped when it is put into a page. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** A value in a template; null renders nothing. */
export type HtmlPart = string | number | Html | readonly Html[] | null;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Makes a template that escapes its values for element content and quoted attributes. `prepare` runs before that. */
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

/** Like {@link html}, with invisible characters spelled out: readers of a report must see them, in print too. */
export const visibleHtml = template(spelledOut);
