import type { Request, Response } from 'express';
import type pg from 'pg';
import { z } from 'zod';
import type { DeliveryLoop } from '../callbacks/delivery-loop.ts';
import type { SettingsBook } from '../settings.ts';
import type { LoginLimit } from './login/login-limit.ts';

export interface ConsoleParts {
  readonly pool: pg.Pool;
  readonly book: SettingsBook;
  readonly loop: DeliveryLoop;
  /** The limit of password attempts, at the login and when a secret is revealed. */
  readonly limit: LoginLimit;
}

/** A request that cannot be done; the message tells the person at the console what would be right. */
export class ConsoleProblem extends Error {
  readonly httpStatus: 400 | 403 | 404 | 409 | 429;
  constructor(httpStatus: 400 | 403 | 404 | 409 | 429, message: string) {
    super(message);
    this.httpStatus = httpStatus;
  }
}

/** A text field of the posted form; '' if it is absent. */
export function posted(request: Request, name: string): string {
  const value = (request.body as Record<string, unknown> | undefined)?.[name];
  return typeof value === 'string' ? value : '';
}

/** The value of a field when its page was made; null if the form does not carry it. */
export function shown(request: Request, name: string): string | null {
  return Object.hasOwn((request.body ?? {}) as object, shownName(name))
    ? lines(posted(request, shownName(name)))
    : null;
}

/** The name of the hidden field with a field's shown value. */
export const shownName = (name: string): string => `shown.${name}`;

/**
 * Whether the form changes a field: its text differs from the text that the page showed. A page that was open for long
 * changes nothing else. `current` is the field's text now.
 * Throws a {@link ConsoleProblem} if another page has changed the same field since.
 */
export function isChanged(request: Request, name: string, current: string, label: string): boolean {
  const text = lines(posted(request, name));
  if (!Object.hasOwn((request.body ?? {}) as object, name) || text === current) return false;
  const before = shown(request, name);
  if (text === before) return false;
  if (before !== null && before !== current) {
    throw new ConsoleProblem(409, `${label} was changed meanwhile, to ${current || 'nothing'}. Open the page again.`);
  }
  return true;
}

const lines = (text: string): string => text.replaceAll('\r\n', '\n');

/** A text parameter of the URL; '' if it is absent. */
export function asked(request: Request, name: string): string {
  const value = request.query[name];
  return typeof value === 'string' ? value.replaceAll('\0', '') : '';
}

const identifier = z.coerce.number().int().min(1).max(2_147_483_647);

/** Returns the id in the path. Throws a 404 for an invalid one, as for an id that does not exist. */
export function idOf(request: Request): number {
  const parsed = identifier.safeParse(request.params['id']);
  if (!parsed.success) throw new ConsoleProblem(404, 'There is no such thing.');
  return parsed.data;
}

/** Redirects to a page after a successful form, so that a reload sends nothing twice. */
export function done(response: Response, path: string, what: string): void {
  response.redirect(303, `${path}${path.includes('?') ? '&' : '?'}done=${what}`);
}
