import { expect, test } from 'vitest';
import { Html, html, visibleHtml } from '../../encoding/html.ts';

test('a value is escaped, for element content and for quoted attributes', () => {
  const hostile = `<b a="1" c='2'>&amp;`;
  expect(html`<p title="${hostile}">${hostile}</p>`).toEqual(
    new Html(
      '<p title="&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;">&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;</p>',
    ),
  );
});

test('what is HTML already stays, alone and in a list; null is nothing, and a number is its digits', () => {
  const items = ['<', '>'].map((text) => html`<li>${text}</li>`);
  expect(html`<ul>${items}</ul>${html`<hr>`}${null}${0}`.text).toBe('<ul><li>&lt;</li><li>&gt;</li></ul><hr>0');
});

test('what cannot be seen is spelled out where people have to see it, and left where they need not', () => {
  const text = 'a\u202Eb\n<';
  expect(visibleHtml`<p>${text}</p>`.text).toBe('<p>a⟨U+202E⟩b⟨U+000A⟩&lt;</p>');
  expect(html`<p>${text}</p>`.text).toBe('<p>a\u202Eb\n&lt;</p>');
});
