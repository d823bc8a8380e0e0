import { docsPage, docsStyle } from './docs-page.ts';
import { openApiDocument } from '../../contract/openapi.ts';
import { type Operation } from '../../contract/operation.ts';
import { bind, type Bound } from '../http/operation-route.ts';
import { docsOperation, docsStyleOperation, documentOperation } from '../../contract/deposits.ts';

// The page loads its style from this server and nothing from elsewhere. Its icon is an empty one in a data URL.
const PAGE_POLICY =
  "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * The OpenAPI document of these operations and its own, and the page that shows it. Both are made once, at the first
 * request.
 */
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
