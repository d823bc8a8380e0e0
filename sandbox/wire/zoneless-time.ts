/** `2021-07-01T00:05:00`: the wall clock of a time zone, as the documents write times, without saying which zone. */
export function zonelessTime(at: Date, timeZone: string): string {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
  return format.format(at).replace(' ', 'T');
}
