import type { components, operations } from './schema.d.ts';

/** Names for the generated types. `npm run client:schema` writes schema.d.ts from the engine's OpenAPI document. */

type Schemas = components['schemas'];
type QueryOf<O extends { readonly parameters: { readonly query?: unknown } }> = NonNullable<O['parameters']['query']>;

export type NewDeposit = Schemas['CreateDeposit'];
export type Deposit = Schemas['Deposit'];
export type DepositPage = Schemas['DepositList'];
export type DepositQuery = QueryOf<operations['listDeposits']>;
export type WalletView = Schemas['Wallet'];
export type EvidenceView = Schemas['Evidence'];

/** One notification; `type` tells which. An engine that is newer than this client may send a type that is not listed. */
export type EngineEvent = Schemas['Event'];
export type EngineEventPage = Schemas['EventList'];
export type EngineEventQuery = QueryOf<operations['listEvents']>;

export type Endpoint = Schemas['Endpoint'];
/** Of `v1a` the secret is null: the public key verifies. */
export type EndpointWithSecret = Schemas['EndpointWithSecret'];
export type CreateEndpointRequest = Schemas['CreateEndpoint'];
export type ChangeEndpointRequest = Schemas['ChangeEndpoint'];
export type RotateRequest = Schemas['RotateEndpoint'];
export type RedeliveryRequest = Schemas['Redeliver'];
export type Redelivery = Schemas['Redelivery'];
export type DeliveryPage = Schemas['DeliveryList'];
export type DeliveryQuery = QueryOf<operations['listDeliveries']>;

export type ReviewCase = Schemas['Case'];
export type ReviewPage = Schemas['CaseList'];
export type ReviewQuery = QueryOf<operations['listReviews']>;
export type DoubtRequest = Schemas['Doubt'];
export type ProposeRequest = Schemas['Propose'];
export type ConfirmRequest = Schemas['Confirm'];
export type WithdrawRequest = Schemas['Withdraw'];

/** Every code of a problem document. */
export type ProblemCode = Schemas['Problem']['code'];
