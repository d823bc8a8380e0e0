import fc from 'fast-check';

/** Processes the items, so many at a time: for work that mostly waits. Rejects with the first failure. */
export async function inLanes<T>(
  items: Iterable<T>,
  lanes: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const walk = async () => {
    for (let next = left.next(); next.done !== true; next = left.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: lanes }, walk));
}

/** Checks a property of such work in concurrent lanes, each from a seed of its own; `numRuns` in all. */
export async function assertInLanes<T>(
  property: fc.IAsyncProperty<T>,
  { numRuns, lanes }: { readonly numRuns: number; readonly lanes: number },
): Promise<void> {
  await Promise.all(
    Array.from({ length: lanes }, (_, lane) => fc.assert(property, { numRuns: Math.ceil((numRuns - lane) / lanes) })),
  );
}
