import type { BuyCoinMode, CallbackData, Currency, Language } from '../domain/order.ts';

/**
 * The engine's view of a payment provider. An adapter (`mtpay/`) has the provider's keys, codes, headers and fields.
 * Only `providers.ts` names adapters, and the processes wire them up. Activities and intake use only this file.
 */

/** The data of an order. `amount` is mtcAmount or totalPrice, by the mode; canonical decimal. */
export interface PlacementRequest {
  readonly externalOrderNumber: string;
  readonly buyCoinMode: BuyCoinMode;
  readonly amount: string;
  readonly currencyCode: Currency;
  readonly supportLanguage: Language;
  readonly payerRealName: string;
  readonly callbackUrl: string;
}

/** The outcome of one call. `kind` decides everything: the call may be retried only after `not_sent`. */
export type PlacementOutcome =
  | {
      readonly kind: 'placed';
      readonly redirectUrl: string;
      readonly advertisementCode: string;
      readonly providerTimeMs: number | null;
    }
  /** There is surely no order. `code`: the provider's own; `message`: its text, without our secrets and the name. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  /** `clock`: the provider's time when it refused our timestamp; `cause` is then its code for that. */
  | { readonly kind: 'not_sent'; readonly cause: string; readonly clock?: { readonly providerTimeMs: number | null } }
  /** `FOREIGN_REDIRECT`: the checkout link leads to a host that no setting allows. */
  | { readonly kind: 'unknown'; readonly cause: string };

/**
 * The cause of a refusal:
 * - `clock`: the time of our stamp;
 * - `stamp or key`: the provider does not state which of the two, and another stamp may help;
 * - `configuration`: our key or our account, which operators have to repair;
 * - `order`: this order.
 */
export type RefusalCause = 'clock' | 'stamp or key' | 'configuration' | 'order';

export interface CallOptions {
  readonly deadlineMs: number;
  /** Called at the last moment before anything is sent; if it returns false, nothing is sent. */
  readonly maySend: () => boolean;
}

/** A signed order that is not sent yet. Its key and stamp are fixed, even if keys rotate in between. */
export interface PreparedOrder {
  /** The name of the signing key, for tables. */
  readonly keyId: string;
  /** Calls the provider once. Never throws: every result is a {@link PlacementOutcome}. */
  send(call: CallOptions): Promise<PlacementOutcome>;
}

/** Places orders. */
export interface PlacementPort {
  /** Signs for this millisecond, UTC. Sends nothing. */
  prepare(request: PlacementRequest, timestampMs: number): PreparedOrder;
  /** Returns the cause behind the code of a stored attempt; null: the code is not the provider's. */
  causeOf(this: void, code: string): RefusalCause | null;
}

/**
 * The data of a message, or the first field that does not fit. It counts for authentic messages only: an unreadable one
 * of them becomes a case.
 */
export type CallbackReading =
  | { readonly readable: true; readonly data: CallbackData; readonly contentHash: Buffer }
  | { readonly readable: false; readonly fault: string; readonly contentHash: Buffer };

/** A well-formed message. Nothing else about it is proven. */
export interface CallbackMessage {
  readonly externalOrderNumber: string;
  /** UTC milliseconds as the provider stamped it. */
  readonly timestampMs: number;
  /** Returns the name of the key that signed it; null: none of ours. Takes the same time for every result. */
  signedBy(): string | null;
  /** Reads its data, once. Only the result and its hash are judged and booked. */
  reading(): CallbackReading;
  /** Returns the bytes to store: as received, without the signature, which would be a ticket for that millisecond. */
  kept(): Buffer;
}

/** The bytes are no callback; retrying the same bytes does not help. `message` names the field, never its value. */
export class MalformedCallback extends Error {}

/** Reads callbacks. */
export interface CallbackPort {
  /** Throws {@link MalformedCallback}. */
  read(raw: Uint8Array): CallbackMessage;
  /** Searches a text that is no message for the orders it seems to name and for a signature of the provider. */
  traces(text: string): { readonly orders: readonly string[]; readonly isSigned: boolean };
}

/** An adapter. Each has its own options, such as keys and addresses. */
export interface Provider {
  readonly createPlacement: (options: never) => PlacementPort;
  readonly createCallbacks: (keys: never) => CallbackPort;
  /** Codes after which there is surely no order and the same request does not help; for the API's document. */
  readonly refusals: Readonly<Record<string, { readonly meaning: string; readonly remedy: string }>>;
  /** Reads stored bytes by every rule that has been in force, today's first. Returns none if they are no message. */
  readonly readings: (raw: Uint8Array) => readonly CallbackReading[];
}
