import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { diagram } from '../../docs/reference/lifecycle-diagram.ts';
import { DEPOSIT_EVENTS, DEPOSIT_STATES, FINAL_STATES } from '../../domain/deposit.ts';

const page = readFileSync(new URL('../../docs/reference/lifecycle.md', import.meta.url), 'utf8');

it('docs/reference/lifecycle.md shows the diagram of the transition table, and no other', () => {
  const shown = [...page.matchAll(/^```mermaid\n(stateDiagram.*?)\n```$/gms)].map((match) => match[1]);
  expect(shown).toEqual([diagram()]);
});

it('the diagram has every state, every event and every end', () => {
  const text = diagram();
  for (const state of DEPOSIT_STATES) expect(text).toContain(`> ${state}`);
  for (const event of DEPOSIT_EVENTS) expect(text).toMatch(new RegExp(`: ${event}$`, 'm'));
  for (const state of FINAL_STATES) expect(text).toContain(`  ${state} --> [*]`);
});

it('docs/reference/lifecycle.md explains every state and every event in its tables', () => {
  const explained = new Set([...page.matchAll(/^\| `(\w+)` +\|/gm)].map((match) => match[1]));
  for (const word of [...DEPOSIT_STATES, ...DEPOSIT_EVENTS]) expect(explained).toContain(word);
});
