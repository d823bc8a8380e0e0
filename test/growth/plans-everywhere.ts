import { appendFileSync } from 'node:fs';
import { afterAll } from 'vitest';
import { collectPlans, isOfEngine, type SeenPlan } from './watch-plans.ts';

/** `npm run plans`: what the engine asks in every test file, kept for the end of the run (global-setup.ts). */
const shared = globalThis as { seenPlans?: readonly SeenPlan[] };
// Files that share a process share this too.
const seen = (shared.seenPlans ??= collectPlans(isOfEngine));
let told = seen.length;
afterAll(() => {
  const lines = seen.slice(told).filter(({ scans }) => scans.length > 0);
  told = seen.length;
  appendFileSync(process.env['PLANS']!, lines.map((plan) => `${JSON.stringify(plan)}\n`).join(''));
});
