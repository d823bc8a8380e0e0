/** A list, read page by page while it is iterated: `for await (const item of list)`. Each iteration begins anew. */
export interface PagedList<P extends { readonly items: readonly unknown[] }> extends AsyncIterable<P['items'][number]> {
  /** The pages instead of their items, for a caller that keeps the cursor. */
  pages(): AsyncIterable<P>;
}

/** `next`: the cursor of the page after this one; null: this is the last. */
export function createPagedList<P extends { readonly items: readonly unknown[] }>(
  read: (cursor: string | undefined) => Promise<P>,
  next: (page: P) => string | null,
): PagedList<P> {
  async function* pages(): AsyncGenerator<P, void> {
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page: P = await read(cursor);
      yield page;
      cursor = next(page);
    }
  }
  async function* items(): AsyncGenerator<P['items'][number], void> {
    for await (const page of pages()) yield* page.items as Iterable<P['items'][number]>;
  }
  return { pages, [Symbol.asyncIterator]: items };
}
