import { raw, type RequestHandler, type Request, type Response } from 'express';
import type pg from 'pg';
import type { Logger } from 'pino';
import { envelopeAnswer, send } from '../wire/answer.ts';
import { authenticate } from './authentication.ts';
import type { DeliveryLoop } from '../callbacks/delivery-loop.ts';
import { type Envelope, envelope, SYSTEM_ERROR_MESSAGE } from '../wire/envelope.ts';
import { record } from '../event-log.ts';
import { drawPlacementFaults } from '../faults/faults.ts';
import { type Json, JsonSyntaxError, parseJson } from '../wire/json.ts';
import { secretOf } from '../keys.ts';
import { makeOrder, type Making, markPaid, type Order } from '../orders/orders.ts';
import { orderNumberOf, ParameterProblem, type Placement, readPlacement } from '../orders/parameters.ts';
import { combinePlacement } from '../faults/placement-faults.ts';
import { releaseOrder } from '../callbacks/release.ts';
import type { Settings } from '../settings.ts';
import { sha256 } from '../wire/signature.ts';
import { takeStamp } from './used-stamps.ts';

export interface PlacementParts {
  readonly pool: pg.Pool;
  readonly logger: Logger;
  readonly settings: () => Settings;
  readonly loop: DeliveryLoop;
  readonly mtcDecimals: number;
  readonly publicUrl: () => string;
}

/** Undocumented by MTPay; a longer body is refused with PARAMETER_ERROR. */
export const MAX_BODY_BYTES = 65_536;

/** Reads any body as bytes: its errors are returned in an envelope, not by a parser. */
export const placementBody: RequestHandler = raw({ type: () => true, limit: MAX_BODY_BYTES, inflate: false });

/** The body of a request: JSON, or its error. */
type Body = { readonly json: Json; readonly problem: null } | { readonly json: null; readonly problem: string };

function readBody(request: Request, bytes: Buffer): Body {
  const wrong = (problem: string): Body => ({ json: null, problem });
  if (!/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(request.header('content-type') ?? '')) {
    return wrong('header Content-Type must be application/json');
  }
  try {
    return { json: parseJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)), problem: null };
  } catch (error) {
    if (error instanceof JsonSyntaxError) return wrong(`the body is not JSON: ${error.message}`);
    return wrong('the body is not UTF-8');
  }
}

interface Decision {
  readonly envelope: Envelope;
  readonly order: Order | null;
}

const refusal = (...of: Parameters<typeof envelope>): Decision => ({ envelope: envelope(...of), order: null });

/**
 * Decides a placement in this order: access key, timestamp, signature, used timestamp, account, parameters,
 * advertisement, repeated number. Returns the first failure.
 */
async function decide(
  parts: PlacementParts,
  request: Request,
  body: Body,
  circumstances: { readonly nowMs: number; readonly frozen: boolean },
): Promise<Decision> {
  const { pool, mtcDecimals } = parts;
  const settings = parts.settings();
  const headers = {
    accessKey: request.header('access_key'),
    timestamp: request.header('timestamp'),
    signature: request.header('signature'),
  };
  const authentication = await authenticate(
    headers,
    (accessKey) => secretOf(pool, accessKey),
    circumstances.nowMs,
    settings.timestampWindowMs,
  );
  if (!authentication.ok) return refusal(authentication.statusCode, authentication.message);
  const { usedStamps } = settings;
  if (usedStamps !== 'accept' && !(await takeStamp(pool, authentication.accessKey, headers.timestamp!))) {
    return refusal(usedStamps, 'timestamp was used before');
  }
  if (circumstances.frozen) return refusal('ACCOUNT_STATUS_ERROR', 'the merchant account is frozen');
  if (body.problem !== null) return refusal('PARAMETER_ERROR', body.problem);

  const placement = readPlacement(body.json, { callbackHosts: settings.callbackHosts, mtcDecimals });
  const asked = { placement, accessKey: authentication.accessKey, stamp: headers.timestamp! };
  const { order, refused } = await makeOrder(pool, asked, settings, mtcDecimals);
  if (order === null) return refusalOf(refused, placement);
  const data = {
    redirectUrl: `${parts.publicUrl()}/pay/${order.token}`,
    advertisementCode: order.advertisementCode,
    currentTimestamp: circumstances.nowMs,
  };
  return { envelope: envelope('SUCCESS', 'success', data), order };
}

function refusalOf(reason: NonNullable<Making['refused']>, placement: Placement): Decision {
  const { buyCoinMode, currencyCode, externalOrderNumber } = placement;
  const amount = buyCoinMode === 'MtcAmount' ? 'mtcAmount' : 'totalPrice';
  switch (reason) {
    case 'none':
      return refusal('NO_ADVERTISEMENT', `no advertisement sells MTC for ${currencyCode} in this amount`);
    case 'too small':
      return refusal('PARAMETER_ERROR', `${amount} is too small: another side of the order comes to nothing`);
    case 'repeated':
      return refusal('PARAMETER_ERROR', `externalOrderNumber ${externalOrderNumber} has an order already`);
  }
}

/** Returns a refused parameter as a business result, and any other thrown error as SYSTEM_ERROR, our own failure. */
function refusalFor(error: unknown, logger: Logger): Decision {
  if (error instanceof ParameterProblem) return refusal('PARAMETER_ERROR', error.message);
  logger.error({ reason: error instanceof Error ? error.message : 'unknown' }, 'placement failed');
  return refusal('SYSTEM_ERROR', SYSTEM_ERROR_MESSAGE);
}

/** Pays, releases and sends the callback at once; resolves when its attempt is over. */
async function settleEarly({ pool, settings, loop }: PlacementParts, order: Order): Promise<void> {
  await markPaid(pool, order.id, settings());
  const release = await releaseOrder(pool, order.id, { heldMs: settings().answerTimeoutMs + 2_000 });
  await Promise.all((release?.heldIds ?? []).map((id) => loop.sendHeld(id)));
  loop.wake();
}

/** `POST /api/buy-coin/transaction`: places an order, or applies the faults armed for it. */
export function placementHandler(parts: PlacementParts): (request: Request, response: Response) => Promise<void> {
  const { pool, logger, loop } = parts;
  return async (request, response) => {
    const bytes = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const body = readBody(request, bytes);
    const externalOrderNumber = orderNumberOf(body.json);
    await record(pool, 'placement.received', externalOrderNumber, { bodySha256: sha256(bytes.toString('latin1')) });

    const drawn = await drawPlacementFaults(pool, externalOrderNumber);
    const faults = combinePlacement(drawn.effects);
    const nowMs = Date.now() + faults.skewMs;
    const frozen = faults.frozen || parts.settings().frozen;
    const decision = faults.made
      ? await decide(parts, request, body, { nowMs, frozen }).catch((error: unknown) => refusalFor(error, logger))
      : refusal('SYSTEM_ERROR', 'not looked at, because a fault said so');
    if (decision.order !== null && faults.early) await settleEarly(parts, decision.order);
    loop.wake();

    const answer = faults.alter(envelopeAnswer(decision.envelope));
    const sending = await send(response, answer, new Date(nowMs));
    const { statusCode } = decision.envelope;
    await record(pool, sending === 'sent' ? 'placement.answered' : 'placement.lost', externalOrderNumber, {
      orderId: decision.order?.id ?? null,
      statusCode,
      httpStatus: answer.httpStatus,
      faults: drawn.kinds,
      bodySha256: sha256(answer.body),
    });
    logger.info({ externalOrderNumber, statusCode, faults: drawn.kinds, sending }, 'placement');
  };
}
