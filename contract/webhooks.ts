import type { z } from 'zod';
import { EVENT_KINDS, EVENT_SCHEMAS, EVENT_TYPES, exampleOf } from './events.ts';

type Json = Readonly<Record<string, unknown>>;

const required = (name: string, description: string, schema: Json): Json => ({
  name,
  in: 'header',
  required: true,
  description,
  schema,
});

/** Standard Webhooks 1.0.0. */
const HEADERS = [
  required('webhook-id', 'The `id` of the event. Ignore a message whose id you have.', {
    type: 'string',
    examples: ['evt_order-1001_2'],
  }),
  required(
    'webhook-timestamp',
    'When it was sent, in seconds since 1970. Refuse one that is more than 5 minutes off.',
    {
      type: 'integer',
      examples: [1769852467],
    },
  ),
  required(
    'webhook-signature',
    'Signatures, separated by blanks: `v1,` and the base64 of HMAC-SHA256 with your secret over id, timestamp and body, ' +
      'joined by dots. Verify the bytes of the body as they came, before you parse them; one right signature suffices.',
    { type: 'string', examples: ['v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='] },
  ),
];

const ANSWERS = {
  '2XX': { description: 'Received. Answer within 15 s, and do the work afterwards.' },
  '410': { description: 'You want no more: the endpoint is disabled.' },
  default: { description: 'Not received, redirects included: the message comes again later.' },
};

/** The messages that a merchant's endpoint receives, one for each type of event, as OpenAPI 3.1 has them. */
export const webhooks = (write: (schema: z.ZodType, io: 'output') => Json): Json =>
  Object.fromEntries(
    EVENT_TYPES.map((type) => [
      type,
      {
        post: {
          operationId: `on_${type.replaceAll('.', '_')}`,
          tags: ['Notifications'],
          summary: type,
          description: EVENT_KINDS[type].meaning,
          security: [],
          parameters: HEADERS,
          requestBody: {
            required: true,
            content: { 'application/json': { schema: write(EVENT_SCHEMAS[type], 'output'), example: exampleOf(type) } },
          },
          responses: ANSWERS,
        },
      },
    ]),
  );
