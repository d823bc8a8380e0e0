/** What replaying itself costs. */
export async function deposit(): Promise<void> {}
