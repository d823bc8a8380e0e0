import { BUY_COIN_MODES, CURRENCIES } from '../orders/advertisements.ts';
import { STATUS_CODES } from '../wire/envelope.ts';
import { LANGUAGES } from '../orders/parameters.ts';

/** The sandbox's own facts, where the documents leave them open. */
export interface OpenApiFacts {
  readonly url: string;
  readonly placementPath: string;
  readonly mtcDecimals: number;
}

const text = {
  type: 'string',
  minLength: 1,
  maxLength: 128,
  pattern: String.raw`^(?=.*\S)[^\p{Cc}\p{Cs}]*$`,
};
const header = (name: string, description: string, schema: object) => ({
  name,
  in: 'header',
  required: true,
  description,
  schema,
});

const amount = (decimals: number, description: string) => ({
  type: 'number',
  exclusiveMinimum: 0,
  exclusiveMaximum: 1e15,
  description: `${description} Plain digits with at most ${decimals} decimals.`,
});

const placement = (mtcDecimals: number) => ({
  type: 'object',
  required: ['buyCoinMode', 'externalOrderNumber', 'callbackUrl', 'supportLanguage', 'currencyCode', 'payerRealName'],
  properties: {
    buyCoinMode: { enum: BUY_COIN_MODES, description: 'Whether the MTC or the price is given.' },
    externalOrderNumber: { ...text, description: 'The merchant’s order number; the callback repeats it.' },
    callbackUrl: { type: 'string', format: 'uri', maxLength: 2048, description: 'Where the callback goes.' },
    supportLanguage: { enum: LANGUAGES, description: 'Language the checkout begins in.' },
    currencyCode: { enum: CURRENCIES, description: 'What the payer pays in.' },
    payerRealName: { ...text, description: 'The payer’s real name.' },
  },
  oneOf: [
    {
      required: ['mtcAmount'],
      properties: { buyCoinMode: { const: 'MtcAmount' }, mtcAmount: amount(mtcDecimals, 'MTC to buy.') },
    },
    {
      required: ['totalPrice'],
      properties: { buyCoinMode: { const: 'PaymentPrice' }, totalPrice: amount(2, 'All the payer will pay.') },
    },
  ],
});

const PLACED = {
  type: 'object',
  required: ['redirectUrl', 'advertisementCode', 'currentTimestamp'],
  properties: {
    redirectUrl: { type: 'string', format: 'uri', description: 'The checkout.' },
    advertisementCode: { type: 'string', description: 'The matched offer; shared by many orders.' },
    currentTimestamp: { type: 'integer', description: 'UTC milliseconds of this answer.' },
  },
};

const ENVELOPE = {
  type: 'object',
  required: ['data', 'statusCode', 'message', 'success'],
  properties: {
    data: { oneOf: [{ $ref: '#/components/schemas/Placed' }, { type: 'null' }] },
    statusCode: { enum: STATUS_CODES },
    message: { type: 'string', description: 'For people. PARAMETER_ERROR names the parameter first.' },
    success: { type: 'boolean' },
  },
  oneOf: [
    {
      properties: {
        statusCode: { const: 'SUCCESS' },
        success: { const: true },
        data: { $ref: '#/components/schemas/Placed' },
      },
    },
    {
      properties: {
        statusCode: { enum: STATUS_CODES.filter((code) => code !== 'SUCCESS') },
        success: { const: false },
        data: { type: 'null' },
      },
    },
  ],
};

const zoneless = { type: 'string', pattern: String.raw`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$` };

const CALLBACK = {
  type: 'object',
  required: ['signature', 'timestamp', 'data'],
  properties: {
    signature: { type: 'string', pattern: '^[0-9A-F]{64}$' },
    timestamp: { type: 'integer', description: 'UTC milliseconds.' },
    data: {
      type: 'object',
      required: [
        'externalOrderNumber',
        'transactionCode',
        'transactionAmount',
        'currencyCode',
        'paymentPrice',
        'transactionCreateTime',
        'paymentFinishedTime',
      ],
      properties: {
        externalOrderNumber: text,
        transactionCode: { type: 'string', description: 'Names this transaction.' },
        transactionAmount: { type: 'number', description: 'MTC of this transaction.' },
        currencyCode: { enum: CURRENCIES },
        paymentPrice: { type: 'number', description: 'What the payer paid.' },
        transactionCreateTime: { ...zoneless, description: 'Without a zone, as in the documents.' },
        paymentFinishedTime: { ...zoneless, description: 'Without a zone, as in the documents.' },
      },
    },
  },
};

const json = (schema: string) => ({ 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } });

/** OpenAPI 3.1 of MTPay's API. Written by hand; a test compares it with the sandbox's requests and responses. */
export function openApiDocument({ url, placementPath, mtcDecimals }: OpenApiFacts): object {
  return {
    openapi: '3.1.0',
    info: {
      title: 'MTPay sandbox: Buy MTC (Client’s Deposit)',
      version: '1.0.1.0',
      description:
        'Signature of requests and callbacks: upper-case hex HMAC-SHA256 of `{access_key}_{timestamp}` under the secret key.',
    },
    servers: [{ url }],
    paths: {
      [placementPath]: {
        post: {
          operationId: 'placeOrder',
          summary: 'Buy MTC',
          parameters: [
            header('access_key', 'Checked first: ACCESS_KEY_ERROR.', { type: 'string' }),
            header('timestamp', 'UTC milliseconds. Checked second: TIMESTAMP_ERROR.', {
              type: 'string',
              pattern: String.raw`^[1-9]\d{12}$`,
            }),
            header('signature', 'Checked third: SIGNATURE_ERROR.', { type: 'string', pattern: '^[0-9A-F]{64}$' }),
          ],
          requestBody: { required: true, content: json('Placement') },
          responses: { 200: { description: 'Every answer, refusals included.', content: json('Envelope') } },
          callbacks: {
            success: {
              '{$request.body#/callbackUrl}': {
                post: {
                  summary: 'The payer paid and the currency was released',
                  requestBody: { required: true, content: json('Callback') },
                  responses: {
                    200: { description: 'The agreed success body acknowledges; anything else is retried 16 times.' },
                  },
                },
              },
            },
          },
        },
      },
    },
    components: {
      schemas: { Placement: placement(mtcDecimals), Placed: PLACED, Envelope: ENVELOPE, Callback: CALLBACK },
    },
  };
}
