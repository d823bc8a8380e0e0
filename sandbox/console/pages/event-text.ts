import { foreign, type Html, html } from '../../html.ts';
import { RETRIES } from '../../wire/retry-schedule.ts';
import type { EventLine } from '../queries.ts';

/** Sentences about events, for a person. A kind without a sentence is shown by its name. */
const SENTENCES: Readonly<Record<string, string>> = {
  'sandbox.started': 'The sandbox has started',
  'sandbox.stopped': 'The sandbox has stopped',
  'settings.changed': 'Settings were changed',
  'key.created': 'A key was created',
  'key.disabled': 'A key was disabled',
  'key.rotated': 'The keys were rotated',
  'advertisement.created': 'An advertisement was added',
  'advertisement.changed': 'An advertisement was changed',
  'fault.added': 'Misbehaviour was armed',
  'fault.removed': 'Misbehaviour was removed',
  'fault.applied': 'Misbehaviour acted',
  'placement.received': 'A placement was received',
  'placement.answered': 'The placement was answered',
  'placement.lost': 'The answer to the placement was lost',
  'order.made': 'The order was made',
  'order.paid': 'The customer has paid',
  'order.paidTooLate': 'The customer says it was paid, but the offer has no MTC left',
  'order.cancelled': 'The order was cancelled',
  'order.expired': 'The time to pay is over',
  'order.released': 'The seller has released the currency',
  'callback.sending': 'The callback is sent',
  'callback.answered': 'The callback was answered',
  'callback.failed': 'Callback Failed',
};

const BAD = new Set([
  'placement.lost',
  'order.paidTooLate',
  'order.cancelled',
  'order.expired',
  'callback.failed',
  'fault.applied',
]);

/** The tone of the mark beside an event. */
export function toneOf({ kind, detail }: EventLine): 'good' | 'bad' | '' {
  if (BAD.has(kind)) return 'bad';
  if (kind === 'callback.answered') return detail['outcome'] === 'ACKNOWLEDGED' ? 'good' : 'bad';
  return kind === 'order.released' ? 'good' : '';
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Whether a detail is shown: hashes and empty values appear only in the control API. */
const isTold = (name: string, value: unknown): boolean =>
  value !== null && !name.endsWith('Sha256') && !(Array.isArray(value) && value.length === 0);

const named = (detail: readonly (readonly [string, unknown])[]): Html =>
  html`${detail.map(([name, value]) => html`<span class="quiet">${name}</span> ${foreign(shown(value))}; `)}`;

/** The details of an event: names, numbers, codes. */
export const detailText = ({ detail }: EventLine): Html =>
  named(Object.entries(detail).filter(([name, value]) => isTold(name, value)));

/** Ids, and details that the page around a timeline already shows. */
const PLAIN_IN_TIMELINE = new Set(['orderId', 'attemptId', 'deliveryId', 'nth', 'repeated', 'timestamp', 'retry']);

/** "retry 3 of 16", for the events of a callback. */
function stepText({ kind, detail }: EventLine): string {
  const { retry } = detail;
  if (!kind.startsWith('callback.') || typeof retry !== 'number') return '';
  const step = retry === 0 ? 'first delivery' : retry > RETRIES ? 'retry by hand' : `retry ${retry} of ${RETRIES}`;
  return `, ${step}${detail['repeated'] === true ? ', once more' : ''}`;
}

/** One event of an order: a sentence and the details worth reading. */
export function eventSentence(event: EventLine): Html {
  const detail = Object.entries(event.detail).filter(
    ([name, value]) => isTold(name, value) && !PLAIN_IN_TIMELINE.has(name),
  );
  return html`<strong>${SENTENCES[event.kind] ?? event.kind}${stepText(event)}</strong> ${named(detail)}`;
}
