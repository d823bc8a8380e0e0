import { z } from 'zod';
import { text } from './answers.ts';
import {
  changeEndpointBody,
  createEndpointBody,
  DELIVERY_EXAMPLE,
  deliverySchema,
  ENDPOINT_EXAMPLE,
  endpointId,
  endpointSchema,
  endpointWithSecret,
  REDELIVERY_EXAMPLE,
  redeliverBody,
  redeliveryId,
  redeliverySchema,
  rotateBody,
  SECRET_EXAMPLE,
} from './endpoint-answers.ts';
import { operation } from './operation.ts';
import { cursorOf, externalOrderNumber, pageLimit } from './requests.ts';

/** The routes of endpoints, to which events are sent, and of their deliveries. `api/routes/endpoints.ts` implements them. */

const TAG = 'Endpoints';
const scopes = ['endpoints:manage'] as const;

const params = z.strictObject({ id: endpointId });
const itself = (description: string) => ({ description, schema: endpointSchema, example: ENDPOINT_EXAMPLE });

export const createEndpointOperation = operation({
  id: 'createEndpoint',
  method: 'POST',
  path: '/v1/endpoints',
  tag: TAG,
  summary: 'Make an endpoint',
  description:
    'Events that happen from now on are posted there. It belongs to the name of the key, and has the key’s limit to ' +
    'wallets for ever. At most 20 of one name.',
  scopes,
  body: createEndpointBody,
  answers: {
    201: {
      description: 'The endpoint, and its secret.',
      schema: endpointWithSecret,
      example: { ...ENDPOINT_EXAMPLE, secret: SECRET_EXAMPLE },
    },
  },
  refusals: ['limit_reached', 'not_configured'],
});

export const listEndpointsOperation = operation({
  id: 'listEndpoints',
  method: 'GET',
  path: '/v1/endpoints',
  tag: TAG,
  summary: 'List endpoints',
  description: 'Those of the key’s name. A key that is limited to wallets sees those that are limited to these.',
  scopes,
  answers: {
    200: {
      description: 'All of them, oldest first.',
      schema: z
        .strictObject({ items: z.array(endpointSchema).meta({ description: 'At most 20.' }) })
        .meta({ id: 'EndpointList' }),
      example: { items: [ENDPOINT_EXAMPLE] },
    },
  },
});

export const readEndpointOperation = operation({
  id: 'readEndpoint',
  method: 'GET',
  path: '/v1/endpoints/{id}',
  tag: TAG,
  summary: 'Read one endpoint',
  scopes,
  params,
  answers: { 200: itself('The endpoint.') },
  refusals: ['not_found'],
});

export const changeEndpointOperation = operation({
  id: 'changeEndpoint',
  method: 'PATCH',
  path: '/v1/endpoints/{id}',
  tag: TAG,
  summary: 'Change, enable or disable an endpoint',
  description:
    'What is absent stays. Other `types` are for events that happen from now on. After `enabled: true` everything that ' +
    'waits is sent, in order.',
  scopes,
  params,
  body: changeEndpointBody,
  answers: { 200: itself('The endpoint as it is now.') },
  refusals: ['not_found'],
});

export const rotateEndpointOperation = operation({
  id: 'rotateEndpoint',
  method: 'POST',
  path: '/v1/endpoints/{id}/rotate',
  tag: TAG,
  summary: 'Give an endpoint a new secret',
  description:
    'Messages carry a signature by each of the two until the overlap ends. A second rotation before that ends the oldest.',
  scopes,
  params,
  body: rotateBody,
  answers: {
    200: {
      description: 'The endpoint, and its new secret.',
      schema: endpointWithSecret,
      example: { ...ENDPOINT_EXAMPLE, previousSecretUntil: '2026-02-01T09:00:00.000Z', secret: SECRET_EXAMPLE },
    },
  },
  refusals: ['not_found', 'not_configured'],
});

export const deleteEndpointOperation = operation({
  id: 'deleteEndpoint',
  method: 'DELETE',
  path: '/v1/endpoints/{id}',
  tag: TAG,
  summary: 'Delete an endpoint',
  description: 'Its secrets are destroyed, and nothing is sent to it any more. A message under way may still arrive.',
  scopes,
  params,
  answers: { 204: { description: 'It is deleted.', schema: null } },
  refusals: ['not_found'],
});

export const listDeliveriesOperation = operation({
  id: 'listDeliveries',
  method: 'GET',
  path: '/v1/deliveries',
  tag: TAG,
  summary: 'List deliveries of an endpoint, oldest event first',
  scopes,
  query: z.strictObject({
    endpoint: endpointId,
    delivered: z
      .enum(['true', 'false'])
      .transform((value) => value === 'true')
      .optional()
      .meta({
        description: 'Only those that arrived; `false`: only those that did not, yet or at all.',
        wire: { type: 'boolean' },
      }),
    deposit: externalOrderNumber.optional(),
    cursor: cursorOf(/^(?:0|[1-9]\d{0,17})$/, ([position]) => position, '4711').optional(),
    limit: pageLimit,
  }),
  answers: {
    200: {
      description: 'One page.',
      schema: z
        .strictObject({
          items: z.array(deliverySchema).meta({ description: 'At most `limit`, by the place of their events.' }),
          nextCursor: text('Where the next page begins; null on the last.').nullable(),
        })
        .meta({ id: 'DeliveryList' }),
      example: {
        items: [
          {
            ...DELIVERY_EXAMPLE,
            externalOrderNumber: 'order-1001',
            sequence: 2,
            publishedAt: '2026-01-31T09:41:07.421Z',
          },
        ],
        nextCursor: null,
      },
    },
  },
  refusals: ['not_found'],
});

export const redeliverOperation = operation({
  id: 'redeliver',
  method: 'POST',
  path: '/v1/endpoints/{id}/redeliveries',
  tag: TAG,
  summary: 'Send events once more',
  description:
    'One event, or all that were published since a time and do not wait already; at most 10 a second, beside what is ' +
    'sent in order, and with the same `webhook-id`. At most 10 redeliveries of an endpoint are under way.',
  scopes,
  params,
  body: redeliverBody,
  answers: { 202: { description: 'It will be carried out.', schema: redeliverySchema, example: REDELIVERY_EXAMPLE } },
  refusals: ['not_found', 'limit_reached'],
});

export const readRedeliveryOperation = operation({
  id: 'readRedelivery',
  method: 'GET',
  path: '/v1/endpoints/{id}/redeliveries/{redelivery}',
  tag: TAG,
  summary: 'Read how far a redelivery is',
  scopes,
  params: z.strictObject({ id: endpointId, redelivery: redeliveryId }),
  answers: {
    200: {
      description: 'The redelivery.',
      schema: redeliverySchema,
      example: { ...REDELIVERY_EXAMPLE, doneUpTo: '2026-01-31T12:10:44.870Z' },
    },
  },
  refusals: ['not_found'],
});
