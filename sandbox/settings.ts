import type pg from 'pg';
import { z } from 'zod';
import { parseAckForm } from './wire/acknowledgement.ts';
import { inTransaction } from './database.ts';
import { parseDecimal } from './wire/decimal.ts';
import { record } from './event-log.ts';
import { feesSchema } from './orders/fees.ts';

const ackForm = z
  .string()
  .refine((text) => parseAckForm(text) !== null, 'must be text:BODY or json:BODY, without | in the body');

const price = z.string().refine((text) => {
  const parsed = parseDecimal(text);
  return text === 'none' || (parsed !== null && parsed.digits > 0n);
}, 'must be a positive decimal, fiat per MTC, or none for "no advertisement"');

const durationMs = z
  .int()
  .min(0)
  .max(366 * 86_400_000);

/** The settings that can change while the sandbox runs. Durations are in milliseconds. */
export const settingsSchema = z.strictObject({
  /** Divides the waits between attempts and the release delay; not the limits (lifetime, window, answer timeout). */
  speed: z.number().positive().max(1e9),
  /** How the documents' retry table is read: see retry-schedule.ts. */
  retryReading: z.enum(['gaps', 'offsets']),
  /** Whether a retry carries a new timestamp and signature or those of the first attempt. Undocumented. */
  resign: z.enum(['fresh', 'same']),
  /** The result of a repeated externalOrderNumber: PARAMETER_ERROR, or a second order. Undocumented. */
  repeatedOrder: z.enum(['error', 'second']),
  /** The merchant's account is frozen: every authenticated placement returns ACCOUNT_STATUS_ERROR. */
  frozen: z.boolean(),
  /** Unit prices of the initial offers; `none` withdraws one. */
  prices: z.strictObject({ CNY: price, HKD: price, TWD: price }),
  fees: feesSchema,
  /** The key that signs a callback: the placing key, while it is in force, or the newest. Undocumented. */
  signsWith: z.enum(['placing', 'newest']),
  /** Whether the seller releases after the delay, or only by hand in the console; fixed when the order is paid. */
  autoRelease: z.boolean(),
  /** The time from "I have paid" to the seller's release; divided by the speed. */
  releaseDelayMs: durationMs,
  /** How long an order can be paid. Undocumented. It limits a person, so it is not divided by the speed. */
  orderLifetimeMs: durationMs.min(1),
  /** The maximum difference between a request's timestamp and the sandbox's clock, in both directions. */
  timestampWindowMs: durationMs.min(1),
  /**
   * The result for a timestamp that has already authenticated a placement of the same key: it is accepted, or refused
   * with this code. Only timestamps seen while this setting refuses them count. Undocumented.
   */
  usedStamps: z.enum(['accept', 'TIMESTAMP_ERROR', 'SIGNATURE_ERROR']),
  /** The time limit of a callback, from the connection to the last byte of the merchant's response. Undocumented. */
  answerTimeoutMs: durationMs.min(1).max(120_000),
  /** The accepted success bodies: see acknowledgement.ts. */
  acks: z.array(ackForm).min(1),
  /** Allowed hosts of callbacks; `loopback` means this machine. */
  callbackHosts: z.array(z.string().min(1)),
});

export type Settings = z.infer<typeof settingsSchema>;

/** The settings to change. Null restores the configured value; a price or fee field that is not named is kept. */
export const settingsPatchSchema = z.strictObject(
  Object.fromEntries(
    Object.entries({
      ...settingsSchema.shape,
      prices: settingsSchema.shape.prices.partial(),
      fees: feesSchema.partial(),
    }).map(([name, type]) => [name, (type as z.ZodType).nullable().optional()]),
  ),
);

/** The settings in force. One process per database: another process would read changes only at its start. */
export interface SettingsBook {
  current(): Settings;
  /** {@link settingsPatchSchema} has parsed `patch`. It is stored before it takes effect, so it survives a restart. */
  change(patch: Readonly<Record<string, unknown>>): Promise<Settings>;
}

export async function openSettings(pool: pg.Pool, configured: Settings): Promise<SettingsBook> {
  const stored = await pool.query<{ name: string; value: unknown }>('SELECT name, value FROM sandbox.setting');
  let current = settingsSchema.parse({
    ...configured,
    ...Object.fromEntries(stored.rows.map(({ name, value }) => [name, value])),
  });

  async function change(patch: Readonly<Record<string, unknown>>): Promise<Settings> {
    const changed: Record<string, unknown> = { ...current };
    await inTransaction(pool, async (client) => {
      for (const [name, value] of Object.entries(patch)) {
        if (value === undefined) continue;
        await client.query('DELETE FROM sandbox.setting WHERE name = $1', [name]);
        changed[name] = value ?? configured[name as keyof Settings];
        if (value === null) continue;
        if (name === 'prices' || name === 'fees') changed[name] = { ...current[name], ...value };
        await client.query('INSERT INTO sandbox.setting (name, value) VALUES ($1, $2)', [
          name,
          JSON.stringify(changed[name]),
        ]);
      }
      await record(client, 'settings.changed', null, { names: Object.keys(patch) });
    });
    current = settingsSchema.parse(changed);
    return current;
  }

  return { current: () => current, change };
}
