import { causeOf } from '../../../providers/mtpay/codes.ts';
import type { CallOptions, PlacementOutcome, PlacementPort, PlacementRequest } from '../../../providers/port.ts';

/** A provider with MTPay's codes that returns the given response, and so sees the engine's requests. */
export const answering = (
  place: (request: PlacementRequest, timestampMs: number, call: CallOptions) => Promise<PlacementOutcome>,
): PlacementPort => ({
  causeOf,
  prepare: (request, timestampMs) => ({ keyId: 'key', send: (call) => place(request, timestampMs, call) }),
});

export const PLACED = {
  kind: 'placed',
  redirectUrl: 'https://pay.example/checkout',
  advertisementCode: 'AD1',
  providerTimeMs: null,
} as const satisfies PlacementOutcome;
