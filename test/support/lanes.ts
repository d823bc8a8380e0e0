import fc from 'fast-check';

/** Checks a property of such work in concurrent lanes, each from a seed of its own; `numRuns` in all. */
export async function assertInLanes<T>(
  property: fc.IAsyncProperty<T>,
  { numRuns, lanes }: { readonly numRuns: number; readonly lanes: number },
): Promise<void> {
  await Promise.all(
    Array.from({ length: lanes }, (_, lane) => fc.assert(property, { numRuns: Math.ceil((numRuns - lane) / lanes) })),
  );
}
