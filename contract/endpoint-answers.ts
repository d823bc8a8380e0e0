import { z } from 'zod';
import { text, time } from './answers.ts';
import { eventType } from './events.ts';
import { externalOrderNumber, instant, walletName } from './requests.ts';

/** Endpoints and deliveries: requests, and responses (docs/reference/webhooks.md). */

/** Also of the address in its one spelling, which may be longer than the one that was given. */
export const MAX_ENDPOINT_URL = 2_000;

export const endpointId = z
  .string()
  .regex(/^ep_[1-9]\d{0,17}$/, 'expected ep_ and a number')
  .meta({ description: 'The endpoint.', examples: ['ep_3'] });
export const redeliveryId = z
  .string()
  .regex(/^[1-9]\d{0,17}$/, 'expected a number')
  .meta({ description: 'The redelivery.', examples: ['12'] });
const eventName = z
  .string()
  .max(100)
  .regex(/^evt_[A-Za-z0-9_:-]+$/, 'expected the id of an event, such as evt_order-1001_2')
  .meta({ description: 'The `id` of an event.', examples: ['evt_order-1001_2'] });

const url = z
  .string()
  .min(1)
  .max(MAX_ENDPOINT_URL)
  .meta({
    description:
      'Where events are posted: https on port 443, a public name or address, no user and no fragment. Treated as a secret: no log has it.',
    examples: ['https://shop.example/deposits'],
  });
const types = z
  .array(eventType)
  .min(1)
  .refine((all) => new Set(all).size === all.length, 'expected each type once')
  .nullable()
  .meta({
    description: 'Only events of these types; null: of every type, also of those to come.',
    examples: [['deposit.credited', 'deposit.reversed']],
    uniqueItems: true,
  });
const signature = z.enum(['v1', 'v1a']).meta({
  description: '`v1`: HMAC-SHA256 with a shared secret. `v1a`: Ed25519; the receiver has the public key alone.',
});

export const createEndpointBody = z
  .strictObject({
    url,
    types: types.default(null),
    signature: signature.default('v1'),
  })
  .meta({ id: 'CreateEndpoint', examples: [{ url: 'https://shop.example/deposits' }] });

export const changeEndpointBody = z
  .strictObject({
    url: url.optional(),
    types: types.optional(),
    enabled: z
      .boolean()
      .optional()
      .meta({ description: 'False: nothing is sent, and events wait. True: sent again, also after it was disabled.' }),
  })
  .refine((change) => Object.keys(change).length > 0, 'expected at least one of url, types and enabled')
  .meta({ id: 'ChangeEndpoint', minProperties: 1, examples: [{ types: null }, { enabled: true }] });

export const rotateBody = z
  .strictObject({
    overlapHours: z
      .int()
      .min(0)
      .max(168)
      .default(24)
      .meta({ description: 'For so long the secret of before signs as well. 0: not at all.' }),
  })
  .meta({ id: 'RotateEndpoint', examples: [{ overlapHours: 24 }] });

export const redeliverBody = z
  .strictObject({
    event: eventName.optional(),
    since: instant('Every event that was published then or later.').optional(),
  })
  .refine(({ event, since }) => (event === undefined) !== (since === undefined), {
    message: 'expected exactly one of event and since',
  })
  .meta({
    id: 'Redeliver',
    examples: [{ event: 'evt_order-1001_2' }, { since: '2026-01-31T09:30:00Z' }],
    oneOf: [
      { properties: { since: false }, required: ['event'] },
      { properties: { event: false }, required: ['since'] },
    ],
  });

const endpointFields = {
  id: endpointId,
  url: text('Where events are posted.'),
  types: z.array(eventType).readonly().nullable().meta({ description: 'The types; null: every type.' }),
  wallets: z
    .array(walletName)
    .readonly()
    .nullable()
    .meta({ description: 'The limit of the key that made it: only events of these wallets. Null: of every wallet.' }),
  state: z.enum(['on', 'off', 'disabled']).meta({
    description:
      '`on`: events are sent. `off`: by its owner. `disabled`: it failed for five days, or answered 410. Events wait meanwhile.',
  }),
  signature,
  publicKey: text('Verifies signatures `v1a`: `whpk_` and base64. Null for `v1`.').nullable(),
  previousSecretUntil: time('Until when the secret of before signs as well; null: it does not.').nullable(),
  createdAt: time('When it was made.'),
  failingSince: time('Since when it does not answer 2xx; null: it does, or was sent nothing yet.').nullable(),
  pausedUntil: time('Nothing is sent before, because it failed or asked for a wait.').nullable(),
};
export const endpointSchema = z.strictObject(endpointFields).meta({ id: 'Endpoint' });
export type EndpointAnswer = z.output<typeof endpointSchema>;

export const endpointWithSecret = z
  .strictObject({
    ...endpointFields,
    secret: text(
      'The secret of `v1`, `whsec_` and base64. Shown this once and never again. Null for `v1a`: verify with `publicKey`.',
    ).nullable(),
  })
  .meta({ id: 'EndpointWithSecret' });

export const ENDPOINT_EXAMPLE = {
  id: 'ep_3',
  url: 'https://shop.example/deposits',
  types: null,
  wallets: null,
  state: 'on',
  signature: 'v1',
  publicKey: null,
  previousSecretUntil: null,
  createdAt: '2026-01-31T09:00:00.000Z',
  failingSince: null,
  pausedUntil: null,
};
/** No secret: the bytes say so. */
export const SECRET_EXAMPLE = `whsec_${'EXAMPLE+'.repeat(5)}AAA=`;

const attemptFields = {
  at: time('When it was sent.'),
  redelivery: z.boolean().meta({ description: 'Whether it was asked for, outside of the order.' }),
  status: z.int().nullable().meta({ description: 'The answer; null: there was none, or none yet.' }),
  fault: text('Why there was no answer: a code. Null: there was one, or the attempt is under way.').nullable(),
  ms: z.int().min(0).nullable().meta({ description: 'How long it took, in milliseconds.' }),
};
const outcome = z
  .enum(['delivered', 'given_up'])
  .nullable()
  .meta({ description: 'Null: it waits, or is under way. `given_up`: ten tries failed.' });
const settledAt = time('When that was known.').nullable();
const deliveryFields = {
  event: eventName,
  type: eventType,
  endpoint: endpointId,
  outcome,
  settledAt,
};
/** In the evidence of a deposit: without answers, which are for the owner of the endpoint alone. */
export const deliveryEvidence = z.strictObject({
  ...deliveryFields,
  attempts: z.array(z.strictObject(attemptFields)).meta({ description: 'The newest 50, oldest first.' }),
});

export const deliverySchema = z
  .strictObject({
    ...deliveryFields,
    externalOrderNumber: externalOrderNumber.nullable(),
    sequence: z.int().min(1).meta({ description: 'The number of the event among those of its subject.' }),
    publishedAt: time('When the event was published.'),
    attempts: z
      .array(
        z.strictObject({
          ...attemptFields,
          answer: text('The begin of the answer, printable, at most 200 characters; kept for 7 days.').nullable(),
        }),
      )
      .meta({ description: 'The newest 50, oldest first.' }),
  })
  .meta({ id: 'Delivery' });
export type DeliveryAnswer = z.output<typeof deliverySchema>;

const FAILED = {
  at: '2026-01-31T09:41:07.512Z',
  redelivery: false,
  status: 500,
  fault: null,
  ms: 84,
  answer: 'Internal Server Error',
};
export const DELIVERY_EXAMPLE = {
  event: 'evt_order-1001_2',
  type: 'deposit.credited',
  endpoint: 'ep_3',
  outcome: 'delivered',
  settledAt: '2026-01-31T09:41:12.903Z',
  attempts: [FAILED, { ...FAILED, at: '2026-01-31T09:41:12.840Z', status: 204, ms: 63, answer: '' }],
};

export const redeliverySchema = z
  .strictObject({
    id: redeliveryId,
    endpoint: endpointId,
    askedAt: time('When it was asked for.'),
    askedBy: text('The name of the key.'),
    doneAt: time('When the last one was sent; null: it goes on.').nullable(),
    doneUpTo: time('Events that were published up to this time are done; null: none yet.').nullable(),
    upTo: time('When the last of them was published.'),
  })
  .meta({ id: 'Redelivery' });
export type RedeliveryAnswer = z.output<typeof redeliverySchema>;

export const REDELIVERY_EXAMPLE = {
  id: '12',
  endpoint: 'ep_3',
  askedAt: '2026-02-01T08:00:00.000Z',
  askedBy: 'shop',
  doneAt: null,
  doneUpTo: null,
  upTo: '2026-01-31T23:59:58.120Z',
};
