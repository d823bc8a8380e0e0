import { docsPage, docsStyle } from './docs-page.ts';
import { openApiDocument } from '../../contract/openapi.ts';
import { type Operation } from '../../contract/operation.ts';
import { bind, type Bound } from '../http/bind.ts';
import { docsOperation, docsStyleOperation, documentOperation } from '../../contract/deposits.ts';

// The page loads its style from here and nothing from anywhere; the icon is an empty one of its own.
const PAGE_POLICY =
  "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The document of these operations and of its own, and the page that shows it. Made when it is first asked for, once. */
export function bindDocs(operations: readonly Operation[]): Bound[] {
  const document = once(() => openApiDocument([...operations, documentOperation, docsOperation, docsStyleOperation]));
  const page = once(() => docsPage(document()));
  return [
    bind(documentOperation, (_call, respond) => respond(200, document() as { openapi: string })),
    bind(docsOperation, (_call, respond) => respond(200, page(), { 'content-security-policy': PAGE_POLICY })),
    bind(docsStyleOperation, (_call, respond) => respond(200, docsStyle)),
  ];
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => (made ??= { value: make() }).value;
}
