import { isIP, isIPv6 } from 'node:net';
import { z } from 'zod';
import { known, parseFraction, parseUnitPrice } from '../../domain/money.ts';
import { parseOperatorKeys } from '../keys/operator-keys.ts';

/** The types of variables: their allowed texts and parsed values. */

export const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
export const duration = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'expected a duration such as 30m, 73h or 500ms')
  .transform((text) => {
    const [, count, unit] = /^(\d+)(\w+)$/.exec(text)!;
    return Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
  })
  // A time plus this duration must still be a valid time.
  .refine((ms) => ms <= 3_660 * UNIT_MS.d, 'at most 3660d');

/** `host:port`, an IPv6 host in brackets, as in a URL. */
const ADDRESS = /^(?:\[([^\]\s]+)\]|([^:\s[\]]+)):(\d{1,5})$/;
export const listenAddress = z
  .string()
  .refine((text) => isAddress(text), 'expected host:port, such as 127.0.0.1:8080 or [::1]:8080')
  .transform((text) => {
    const [, inBrackets, name, port] = ADDRESS.exec(text)!;
    return { host: (inBrackets ?? name)!, port: Number(port) };
  });

function isAddress(text: string): boolean {
  const [, inBrackets, , port] = ADDRESS.exec(text) ?? [];
  return port !== undefined && Number(port) <= 65_535 && (inBrackets === undefined || isIPv6(inBrackets));
}

export const origin = z
  .string()
  .refine((text) => isOrigin(text), 'expected an origin such as https://pay.example, without a path')
  .transform((text) => new URL(text).origin);

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search } = new URL(text);
  return /^https?:$/.test(protocol) && pathname === '/' && search === '';
}

export const hosts = z.string().transform((value) =>
  value
    .split(',')
    .map((host) => host.trim())
    .filter((host) => host !== ''),
);

/** A list of `host:port`; the host becomes as a URL has it. */
export const urlHosts = hosts
  .refine((list) => list.every((text) => urlHost(text) !== null), 'expected host:port, such as 127.0.0.1:4010')
  .transform((list) => list.map((text) => urlHost(text)!));

function urlHost(text: string): string | null {
  const port = isAddress(text) ? Number(ADDRESS.exec(text)![3]) : 0;
  const host = text.slice(0, text.lastIndexOf(':'));
  return port === 0 || /[/?#@\\]/.test(host) || !URL.canParse(`http://${host}`)
    ? null
    : `${new URL(`http://${host}`).hostname}:${port}`;
}

/** A list of ranges of addresses; an address without a length is a range of one. */
export const cidrs = hosts
  .refine(
    (list) => list.every((text) => cidr(text) !== null),
    'expected addresses such as 203.0.113.0/24 or 2001:db8::/32',
  )
  .transform((list) => list.map((text) => cidr(text)!));

function cidr(text: string): readonly [address: string, prefix: number, family: 'ipv4' | 'ipv6'] | null {
  const [, address = '', length] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)]!;
  const prefix = length === undefined ? most : Number(length);
  return prefix >= 0 && prefix <= most ? [address, prefix, most === 32 ? 'ipv4' : 'ipv6'] : null;
}

export const band = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .refine((value) => isBand(value), 'expected FROM-TO, two positive decimals, such as 6.5-8.0')
    .transform((value) => {
      const [from, to] = value.split('-');
      return { from: from!, to: to! };
    });

function isBand(value: string): boolean {
  const [from, to, more] = value.split('-').map((part) => parseUnitPrice(part));
  return more === undefined && from?.ok === true && to?.ok === true && from.value <= to.value;
}

export const decimalSetting = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .refine((value) => parseFraction(value).ok, 'expected a decimal of 0 or more, at most 8 decimals');

export const count = (fallback: string) =>
  z
    .string()
    .default(fallback)
    .refine((value) => /^[1-9]\d{0,5}$/.test(value), 'expected a whole number from 1 to 999999')
    .transform(Number);
/** Connections of one pool; at least two, because one may wait for the other. */
export const connections = (fallback: number) =>
  z
    .string()
    .default(String(fallback))
    .refine((value) => /^\d{1,3}$/.test(value) && Number(value) >= 2, 'expected a whole number from 2 to 999')
    .transform(Number);
/** Below 1: a band of 1 would limit nothing. */
export const share = z
  .string()
  .refine((value) => isShare(value), 'expected a share of 0 or more and below 1, at most 8 decimals');

function isShare(value: string): boolean {
  const parsed = parseFraction(value);
  return parsed.ok && parsed.value < known(parseFraction('1'), 'one');
}

/**
 * `text:SUCCESS` or `json:{"success":true}`: the exact body and type that stop the provider's retries. A file with
 * Windows line ends leaves an invisible carriage return at the end, and the provider would see another body.
 */
export const ack = z
  .string()
  .default('text:SUCCESS')
  .refine(
    (value) => /^(text:|json:)\S(.*\S)?$/.test(value) && !/\p{Cc}/u.test(value) && isAckJson(value),
    'expected text:… or json:{…}, without control characters, and without blanks at either end',
  )
  .transform((value) => ({
    contentType: value.startsWith('json:') ? 'application/json' : 'text/plain',
    body: value.slice(5),
  }));

function isAckJson(value: string): boolean {
  if (!value.startsWith('json:')) return true;
  try {
    JSON.parse(value.slice(5));
    return true;
  } catch {
    return false;
  }
}

export const NO_DATABASE_URL = 'expected postgres://user:password@host:port/database';
/** Checked here, because the driver's error message shows the whole address, the password included. */
export const databaseUrl = z.string().refine((text) => isDatabaseUrl(text), NO_DATABASE_URL);

/** Accepts an address without a host, which means a local socket; `URL` does not accept one. */
export const isDatabaseUrl = (text: string): boolean =>
  /^postgres(ql)?:\/\/\P{Cc}*$/u.test(text) && URL.canParse(text.replace(/(\/\/[^/]*@|\/\/)\//, '$1localhost/'));

/** The id of an inbox row; 0: before all of them. */
export const sealEpoch = z.string().regex(/^(0|[1-9]\d{0,17})$/, 'expected the id of an inbox row, or 0');

/** A wrong list is reported together with the other problems. It may be empty if no signatures are required. */
export const operatorKeys = z
  .string()
  .default('')
  .superRefine((list, context) => {
    const { problem } = parseOperatorKeys(list);
    if (problem !== null) context.addIssue({ code: 'custom', message: problem });
  });

/** Below a second there would be more than one residue; above a minute a stamp would be too far from the time. */
export const stampGrid = duration
  .default(UNIT_MS.s)
  .refine((ms) => ms % UNIT_MS.s === 0 && ms <= UNIT_MS.m, 'expected 0s, or whole seconds from 1s to 60s');
