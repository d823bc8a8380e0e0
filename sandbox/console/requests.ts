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
  /** Of passwords: at the log-in and where a secret is revealed. */
  readonly limit: LoginLimit;
}

/** What was asked for cannot be done; the message says what would be right, to the person at the console. */
export class ConsoleProblem extends Error {
  readonly httpStatus: 400 | 403 | 404 | 409 | 429;
  constructor(httpStatus: 400 | 403 | 404 | 409 | 429, message: string) {
    super(message);
    this.httpStatus = httpStatus;
  }
}

/** A text of the posted form; '' where there is none. */
export function posted(request: Request, name: string): string {
  const value = (request.body as Record<string, unknown> | undefined)?.[name];
  return typeof value === 'string' ? value : '';
}

/** What a field held when the page with the form was made; null where the form does not say. */
export function shown(request: Request, name: string): string | null {
  return Object.hasOwn((request.body ?? {}) as object, shownName(name))
    ? lines(posted(request, shownName(name)))
    : null;
}

/** The name of the hidden field that carries it. */
export const shownName = (name: string): string => `shown.${name}`;

/**
 * Whether the form changes a field: its text is another than the page showed. A page that has stood open meanwhile changes
 * nothing else, and what another page has changed since is told instead of undone. `current` is the field's text now.
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

/** A text of the address; '' where there is none. */
export function asked(request: Request, name: string): string {
  const value = request.query[name];
  return typeof value === 'string' ? value.replaceAll('\0', '') : '';
}

const identifier = z.coerce.number().int().min(1).max(2_147_483_647);

/** The id in the path; whatever is none leads to nothing rather than to a mistake. */
export function idOf(request: Request): number {
  const parsed = identifier.safeParse(request.params['id']);
  if (!parsed.success) throw new ConsoleProblem(404, 'There is no such thing.');
  return parsed.data;
}

/** After a form that worked: back to a page, so that reloading sends nothing twice. */
export function done(response: Response, path: string, what: string): void {
  response.redirect(303, `${path}${path.includes('?') ? '&' : '?'}done=${what}`);
}
