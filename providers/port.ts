import type { BuyCoinMode, CallbackData, Currency, Language } from '../domain/order.ts';

/**
 * What the engine knows of a payment provider. An adapter (`mtpay/`) has its keys, codes, headers and fields;
 * `providers.ts` alone names the adapters, the processes wire them up, and activities and intake see what is here.
 */

/** What an order is placed with. `amount` is mtcAmount or totalPrice, by the mode; canonical decimal. */
export interface PlacementRequest {
  readonly externalOrderNumber: string;
  readonly buyCoinMode: BuyCoinMode;
  readonly amount: string;
  readonly currencyCode: Currency;
  readonly supportLanguage: Language;
  readonly payerRealName: string;
  readonly callbackUrl: string;
}

/** What is known after one call. The class decides everything: only `not_sent` may ever be tried again. */
export type PlacementOutcome =
  | {
      readonly kind: 'placed';
      readonly redirectUrl: string;
      readonly advertisementCode: string;
      readonly providerTimeMs: number | null;
    }
  /** There is surely no order. `code`: the provider's own; `message`: its words, with nothing of what was sent. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }
  /** `clock`: the provider's time when it refused our timestamp; `cause` is then its code for that. */
  | { readonly kind: 'not_sent'; readonly cause: string; readonly clock?: { readonly providerTimeMs: number | null } }
  /** `FOREIGN_REDIRECT`: the checkout link leads where no setting allows. */
  | { readonly kind: 'unknown'; readonly cause: string };

/**
 * What the provider finds fault with. `clock`: the time of our stamp; `stamp or key`: it does not say which of the two, and
 * another stamp may help; `configuration`: our key or our account, for people to mend; `order`: this order.
 */
export type RefusalCause = 'clock' | 'stamp or key' | 'configuration' | 'order';

export interface CallOptions {
  readonly deadlineMs: number;
  /** Asked at the last moment before something is sent: false means not sent. */
  readonly maySend: () => boolean;
}

/** An order that is signed and not sent. The key and the stamp are those of this moment, whatever becomes of the keys. */
export interface PreparedOrder {
  /** Names the key it is signed with, for tables. */
  readonly keyId: string;
  /** Calls once. Never throws: whatever happens is a class of {@link PlacementOutcome}. */
  send(call: CallOptions): Promise<PlacementOutcome>;
}

/** How orders are placed. */
export interface PlacementPort {
  /** Signs for this millisecond, UTC. Sends nothing. */
  prepare(request: PlacementRequest, timestampMs: number): PreparedOrder;
  /** What a code stands for that an attempt was stored with; null: it is none of the provider's. */
  causeOf(this: void, code: string): RefusalCause | null;
}

/** The data of a message, or the first field that does not fit. Only an authentic one counts: what cannot be read is kept for people. */
export type CallbackReading =
  | { readonly readable: true; readonly data: CallbackData; readonly contentHash: Buffer }
  | { readonly readable: false; readonly fault: string; readonly contentHash: Buffer };

/** A message of which nothing has been proven but that it is one. */
export interface CallbackMessage {
  readonly externalOrderNumber: string;
  /** UTC milliseconds as the provider stamped it. */
  readonly timestampMs: number;
  /** The name of the key that signed it; null: none of ours. Takes the same time whatever it says. */
  signedBy(): string | null;
  /** Its data, read once: the result, its hash and nothing else is judged and booked. */
  reading(): CallbackReading;
  /** The bytes to keep: as they came, but for the signature, which would be a ticket for that millisecond. */
  kept(): Buffer;
}

/** The message is not one; retrying the same bytes does not help. `message` names the field, never its value. */
export class MalformedCallback extends Error {}

/** How callbacks are read. */
export interface CallbackPort {
  /** Throws {@link MalformedCallback}. */
  read(raw: Uint8Array): CallbackMessage;
  /** What a text may prove that is no message: the orders it seems to name, and whether a signature in it is the provider's. */
  traces(text: string): { readonly orders: readonly string[]; readonly isSigned: boolean };
}

/** An adapter. What it is made with is its own: keys, addresses. */
export interface Provider {
  readonly createPlacement: (options: never) => PlacementPort;
  readonly createCallbacks: (keys: never) => CallbackPort;
  /** Codes after which there is surely no order, and asking in the same way again does not help; for the API's document. */
  readonly refusals: Readonly<Record<string, { readonly meaning: string; readonly remedy: string }>>;
  /** What stored bytes say by every rule that they may have been read by, today's first; none if they are no message. */
  readonly readings: (raw: Uint8Array) => readonly CallbackReading[];
}
