import { DepositEngineError } from './errors.ts';
import { createPagedList, type PagedList } from './pages.ts';
import { type RequestOptions, type ClientOptions, createTransport, pause } from './transport.ts';
import type {
  ConfirmRequest,
  DeliveryPage,
  DeliveryQuery,
  Deposit,
  DepositQuery,
  DepositPage,
  DoubtRequest,
  Endpoint,
  ChangeEndpointRequest,
  EndpointWithSecret,
  EngineEventQuery,
  EngineEventPage,
  EvidenceView,
  NewDeposit,
  CreateEndpointRequest,
  ProposeRequest,
  Redelivery,
  RedeliveryRequest,
  ReviewCase,
  ReviewQuery,
  ReviewPage,
  RotateRequest,
  WalletView,
  WithdrawRequest,
} from './types.ts';

/** The client of the engine's private API (docs/reference/client.md). */

export { DepositEngineError, type DepositErrorCode, type FieldError } from './errors.ts';
export type { PagedList } from './pages.ts';
export type { RequestOptions, ClientOptions } from './transport.ts';
export type * from './types.ts';
export * as webhooks from './webhooks.ts';

export interface WaitOptions extends Omit<RequestOptions, 'retries'> {
  /** When to stop waiting; by default when the state is final. It is asked whenever state or events have changed. */
  readonly until?: ((deposit: Deposit) => boolean) | undefined;
}

export interface DepositClient {
  readonly deposits: {
    /**
     * Creates a deposit. The order number makes a repeat safe: it returns the same deposit. `redirectUrl` is null while
     * the order is not placed.
     */
    create(deposit: NewDeposit, options?: RequestOptions): Promise<Deposit>;
    read(externalOrderNumber: string, options?: RequestOptions): Promise<Deposit>;
    /** Newest first. */
    list(filter?: DepositQuery, options?: RequestOptions): PagedList<DepositPage>;
    /**
     * Resolves with the deposit when it is final, or as `until` says. Outages are waited out.
     * Throws `timeout` after `timeoutMs`, half an hour by default; the deposit itself goes on.
     */
    wait(externalOrderNumber: string, options?: WaitOptions): Promise<Deposit>;
    evidence(externalOrderNumber: string, options?: RequestOptions): Promise<EvidenceView>;
  };
  readonly wallets: { read(wallet: string, options?: RequestOptions): Promise<WalletView> };
  readonly events: {
    /**
     * Oldest first, to the newest. Keep `nextCursor` of the last page: the next list begins there. Throws
     * `epoch_changed` if the engine's database was restored since.
     */
    list(filter?: EngineEventQuery, options?: RequestOptions): PagedList<EngineEventPage>;
  };
  /**
   * Where events are posted. After a `create`, `rotate` or `redeliver` that failed look at the list before you send it
   * again: none of them is repeated.
   */
  readonly endpoints: {
    /** The secret is in this answer alone. */
    create(endpoint: CreateEndpointRequest, options?: RequestOptions): Promise<EndpointWithSecret>;
    list(options?: RequestOptions): Promise<readonly Endpoint[]>;
    read(id: string, options?: RequestOptions): Promise<Endpoint>;
    change(id: string, change: ChangeEndpointRequest, options?: RequestOptions): Promise<Endpoint>;
    /** The new secret is in this answer alone. */
    rotate(id: string, overlap?: RotateRequest, options?: RequestOptions): Promise<EndpointWithSecret>;
    /** A repeat throws `not_found` if the request before was carried out and its answer was lost. */
    delete(id: string, options?: RequestOptions): Promise<void>;
    redeliver(id: string, request: RedeliveryRequest, options?: RequestOptions): Promise<Redelivery>;
  };
  /** Oldest event first. */
  readonly deliveries: { list(filter: DeliveryQuery, options?: RequestOptions): PagedList<DeliveryPage> };
  /** The decisions of operators. A step is sent once: after a failure read the case before you send it again. */
  readonly reviews: {
    list(filter?: ReviewQuery, options?: RequestOptions): PagedList<ReviewPage>;
    read(id: string, options?: RequestOptions): Promise<ReviewCase>;
    doubt(request: DoubtRequest, options?: RequestOptions): Promise<ReviewCase>;
    propose(id: string, request: ProposeRequest, options?: RequestOptions): Promise<ReviewCase>;
    confirm(id: string, request: ConfirmRequest, options?: RequestOptions): Promise<ReviewCase>;
    withdraw(id: string, request: WithdrawRequest, options?: RequestOptions): Promise<ReviewCase>;
  };
}

const WAIT_MS = 1_800_000;
const FIRST_LOOK_MS = 50;
const LONGEST_LOOK_MS = 5_000;
const LONGEST_WAIT_SECONDS = 15;

/** @throws TypeError if the address or the key cannot be used. */
export function createDepositClient(options: ClientOptions): DepositClient {
  const send = createTransport(options);
  const get = <T>(path: string, call?: RequestOptions, query: object = {}) =>
    send<T>({ method: 'GET', path, query, isRepeatable: true }, call);
  const post = <T>(path: string, body: unknown, call?: RequestOptions, isRepeatable = false) =>
    send<T>({ method: 'POST', path, body, isRepeatable }, call);
  const listed = <P extends DepositPage | DeliveryPage | EngineEventPage | ReviewPage>(
    path: string,
    next: (page: P) => string | null,
  ) => {
    return (filter: object = {}, call?: RequestOptions) =>
      createPagedList((cursor) => get<P>(path, call, cursor === undefined ? filter : { ...filter, cursor }), next);
  };
  const depositPath = (number: string) => `/v1/deposits/${encodeURIComponent(number)}`;
  const endpointPath = (id: string, step = '') => `/v1/endpoints/${encodeURIComponent(id)}${step}`;
  const casePath = (id: string, step = '') => `/v1/reviews/${encodeURIComponent(id)}${step}`;

  async function wait(number: string, { timeoutMs = WAIT_MS, signal, until = isFinal }: WaitOptions = {}) {
    const endsAt = performance.now() + timeoutMs;
    let query = {};
    for (let lookMs = FIRST_LOOK_MS; ; ) {
      const since = performance.now();
      // The one place that looks. The engine answers when something has changed, or else after some seconds.
      const left = { signal, timeoutMs: Math.max(0, endsAt - since), retries: Infinity };
      const deposit = await get<Deposit>(depositPath(number), left, query);
      if (until(deposit)) return deposit;
      const now = performance.now();
      // An engine with too many waiting requests answers at once.
      lookMs = now - since >= 1_000 ? FIRST_LOOK_MS : Math.min(LONGEST_LOOK_MS, lookMs * 1.5);
      if (now + lookMs >= endsAt) {
        const detail = `deposit ${number} is still ${deposit.state} after ${timeoutMs / 1_000} s`;
        throw new DepositEngineError({ code: 'timeout', detail });
      }
      await pause(lookMs, signal);
      query = waitQuery(deposit, Math.min(endsAt - now - lookMs, options.attemptTimeoutMs ?? Infinity));
    }
  }

  return {
    deposits: {
      create: (deposit, call) => post('/v1/deposits', deposit, call, true),
      read: (number, call) => get(depositPath(number), call),
      list: listed<DepositPage>('/v1/deposits', ({ nextCursor }) => nextCursor),
      wait,
      evidence: (number, call) => get(`${depositPath(number)}/evidence`, call),
    },
    wallets: { read: (wallet, call) => get(`/v1/wallets/${encodeURIComponent(wallet)}`, call) },
    events: { list: listed<EngineEventPage>('/v1/events', ({ more, nextCursor }) => (more ? nextCursor : null)) },
    endpoints: {
      create: (endpoint, call) => post('/v1/endpoints', endpoint, call),
      list: async (call) => (await get<{ readonly items: Endpoint[] }>('/v1/endpoints', call)).items,
      read: (id, call) => get(endpointPath(id), call),
      change: (id, body, call) => send({ method: 'PATCH', path: endpointPath(id), body, isRepeatable: true }, call),
      rotate: (id, overlap = {}, call) => post(endpointPath(id, '/rotate'), overlap, call),
      delete: (id, call) => send({ method: 'DELETE', path: endpointPath(id), isRepeatable: true }, call),
      redeliver: (id, request, call) => post(endpointPath(id, '/redeliveries'), request, call),
    },
    deliveries: { list: listed<DeliveryPage>('/v1/deliveries', ({ nextCursor }) => nextCursor) },
    reviews: {
      list: listed<ReviewPage>('/v1/reviews', ({ nextCursor }) => nextCursor),
      read: (id, call) => get(casePath(id), call),
      doubt: (request, call) => post('/v1/reviews', request, call),
      propose: (id, request, call) => post(casePath(id, '/propose'), request, call),
      confirm: (id, request, call) => post(casePath(id, '/confirm'), request, call),
      withdraw: (id, request, call) => post(casePath(id, '/withdraw'), request, call),
    },
  };
}

const isFinal = ({ final }: Deposit): boolean => final;

/** A second is left for the answer; with less than two seconds nothing waits. */
function waitQuery({ state }: Deposit, withinMs: number) {
  const wait = Math.min(LONGEST_WAIT_SECONDS, Math.floor(withinMs / 1_000) - 1);
  return wait < 1 ? {} : { wait, state };
}
