import type { Request } from 'express';
import { z } from 'zod';
import { parseDuration } from '../../duration.ts';
import { type Html } from '../../html.ts';
import { type Settings, settingsPatchSchema, settingsSchema } from '../../settings.ts';
import { problemsOf } from '../../control/problems.ts';
import { area, field, remembered, select } from '../page.ts';
import { ConsoleProblem, isChanged, posted } from '../requests.ts';

/** The label of a setting and the text under its field. The comments in settings.ts explain it at length. */
const TEXTS: Readonly<Record<string, readonly [label: string, note: string]>> = {
  speed: ['Speed', 'Divides the waits between callback attempts and the release delay; 1 is the documents’ own time.'],
  retryReading: ['Retry table read as', 'gaps: time since the attempt before. offsets: time since the first attempt.'],
  resign: ['A retry is signed', 'fresh: with a new timestamp. same: as the first attempt was.'],
  repeatedOrder: ['A repeated externalOrderNumber', 'error: PARAMETER_ERROR. second: another order.'],
  signsWith: [
    'Callbacks are signed with',
    'placing: the key that placed the order, while in force. newest: the newest key.',
  ],
  autoRelease: ['Seller releases by itself', 'true: after the release delay. false: by hand, on the order’s page.'],
  releaseDelayMs: ['Release delay', 'From “I have paid” to the seller’s release; divided by the speed.'],
  orderLifetimeMs: ['Time to pay', 'How long an order can be paid; not divided by the speed.'],
  timestampWindowMs: ['Timestamp window', 'How far a request’s timestamp may be off, either way.'],
  usedStamps: ['A timestamp used before', 'accept: as good as any other. Else a placement is refused with this code.'],
  answerTimeoutMs: ['Answer timeout', 'How long the merchant may take to answer a callback.'],
  acks: ['Accepted success bodies', 'One a line: text:BODY or json:BODY.'],
  callbackHosts: ['Hosts callbacks may go to', 'One a line; loopback stands for this machine.'],
};

const DURATION = /Ms$/;
const LISTS = new Set(['acks', 'callbackHosts']);

/** Settings with a page of their own. */
const ELSEWHERE = new Set(['fees', 'frozen', 'prices']);

export const settingNames = (settings: Settings): (keyof Settings)[] =>
  (Object.keys(settings) as (keyof Settings)[]).filter((name) => !ELSEWHERE.has(name));

/** The shortest text that `parseDuration` reads back as the same value. */
function durationText(ms: number): string {
  for (const [unit, unitMs] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ] as const) {
    if (ms > 0 && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  }
  return `${ms}ms`;
}

/** The choices of a setting; null if it is not a choice. */
function choicesOf(name: keyof Settings): readonly string[] | null {
  const type = settingsSchema.shape[name];
  if (type instanceof z.ZodEnum) return type.options.map(String);
  return type instanceof z.ZodBoolean ? ['false', 'true'] : null;
}

function valueText(name: string, value: unknown): string {
  if (DURATION.test(name) && typeof value === 'number') return durationText(value);
  if (LISTS.has(name) && Array.isArray(value)) return value.join('\n');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

const labelOf = (name: string): string => TEXTS[name]?.[0] ?? name;

/** The field of one setting. A setting unknown to this page is shown and read as JSON. */
export function settingField(name: keyof Settings, settings: Settings): Html {
  const text = valueText(name, settings[name]);
  return remembered(name, text, inputOf(name, text));
}

function inputOf(name: keyof Settings, text: string): Html {
  const [label, note] = TEXTS[name] ?? [name, ''];
  const choices = choicesOf(name);
  if (choices !== null) {
    return select(
      label,
      name,
      choices.map((each) => [each, each]),
      text,
      note,
    );
  }
  if (LISTS.has(name)) return area(label, name, text, note);
  return field(label, name, text, DURATION.test(name) ? { note: `${note} Such as 500ms, 2s, 30m, 73h.` } : { note });
}

function readValue(name: keyof Settings, text: string): unknown {
  if (DURATION.test(name)) {
    const ms = parseDuration(text.trim());
    if (ms === null) throw new ConsoleProblem(400, `${labelOf(name)} must be a duration such as 500ms, 2s, 30m, 73h.`);
    return ms;
  }
  if (LISTS.has(name)) {
    return text
      .split('\n')
      .map((line) => line.replace(/\r$/, ''))
      .filter((line) => line !== '');
  }
  const type = settingsSchema.shape[name];
  if (type instanceof z.ZodBoolean) return text === 'true';
  if (type instanceof z.ZodNumber) return text.trim() === '' ? Number.NaN : Number(text);
  if (type instanceof z.ZodObject || type instanceof z.ZodArray) return readJson(name, text);
  return text.trim();
}

function readJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ConsoleProblem(400, `${name} must be JSON.`);
  }
}

/** Reads the settings that the form changes; omits an unchanged one, so that its configured value still applies. */
export function readSettings(request: Request, current: Settings): Record<string, unknown> {
  const changed = settingNames(current).filter((name) =>
    isChanged(request, name, valueText(name, current[name]), labelOf(name)),
  );
  return parsePatch(Object.fromEntries(changed.map((name) => [name, readValue(name, posted(request, name))])));
}

/** Checks a change of settings as the control API does; throws a {@link ConsoleProblem} with the faults. */
export function parsePatch(patch: Record<string, unknown>): Record<string, unknown> {
  const parsed = settingsPatchSchema.safeParse(patch);
  if (parsed.success) return parsed.data;
  throw new ConsoleProblem(400, `${problemsOf(parsed.error, labelOf).join('; ')}.`);
}
