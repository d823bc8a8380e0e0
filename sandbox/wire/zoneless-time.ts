/** `2021-07-01T00:05:00`: the local time of a zone, as in the documents, which do not name the zone. */
export function zonelessTime(at: Date, timeZone: string): string {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
  return format.format(at).replace(' ', 'T');
}
