import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { loadApiConfig } from '../../config/settings/api.ts';
import { ConfigError } from '../../config/settings/read-environment.ts';
import { loadWorkerConfig } from '../../config/settings/worker.ts';
import { SEAL_ENV } from '../support/seals.ts';

export type Env = Readonly<Record<string, string | undefined>>;

export const keyText = () => randomBytes(32).toString('base64url');
export const COMMON: Env = {
  DATABASE_URL: 'postgres://owner@db.example/deposits',
  MTPAY_BASE_URL: 'https://api.mtpay.example',
  MTPAY_ACCESS_KEY: keyText(),
  MTPAY_SECRET_KEY: keyText(),
  CALLBACK_BASE_URL: 'https://pay.example',
  CALLBACK_KEY: keyText(),
  PAYER_NAME_KEY: keyText(),
  INBOX_SEAL_PUBLIC_KEYS: SEAL_ENV.INBOX_SEAL_PUBLIC_KEYS,
};
const FINGERPRINT: Env = { FINGERPRINT_KEY: keyText(), INBOX_SEAL_KEY: SEAL_ENV.INBOX_SEAL_KEY };
export const api = (change: Env = {}) => loadApiConfig({ ...COMMON, ...FINGERPRINT, ...change });
export const worker = (change: Env = {}) => loadWorkerConfig({ ...COMMON, ...change });

/** The reported problems, one a line, without the line that counts them. */
export function problems(load: () => unknown): string[] {
  try {
    load();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    const [head, ...lines] = (error as Error).message.split('\n');
    expect(head).toBe(`the configuration has ${lines.length} problem(s):`);
    return lines.map((line) => line.trim());
  }
  return [];
}
