import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BrowserContext } from 'playwright-core';
import type { Listener } from './listeners.ts';

/** The targets of a page, with ids that it knows or has guessed. */
export interface Target {
  readonly workflowId: string;
  readonly externalOrderNumber: string;
}

/** An element in the page, as the functions that run there see it. */
interface Element {
  append(child: Element): void;
  submit(): void;
}
declare const document: { readonly cookie: string; readonly body: Element; createElement(name: string): Element };

const json = JSON.stringify;

/** Paths and bodies that change something where they are accepted; every one is sent to every listener. */
function wishes({ workflowId, externalOrderNumber }: Target): ReadonlyArray<readonly [path: string, body: string]> {
  const workflow = `/namespaces/default/workflows/${encodeURIComponent(workflowId)}`;
  const every = { visibilityQuery: 'ExecutionStatus="Running"', reason: 'page', jobId: 'page' };
  const batch = json({ ...every, terminationOperation: {} });
  const started = json({ workflowType: { name: 'page' }, taskQueue: { name: 'page' }, requestId: 'page' });
  const order = json({ externalOrderNumber: 'page', wallet: 'page', buyCoinMode: 'MtcAmount', mtcAmount: '1' });
  const temporal = ['', '/api/v1'].flatMap((base): [string, string][] => [
    [`${base}/namespaces/default/batch-operations/page`, batch],
    [`${base}${workflow}/terminate`, json({ reason: 'page' })],
    [`${base}${workflow}/signal/page`, json({ signalName: 'page' })],
    [`${base}/namespaces/default/workflows/page`, started],
  ]);
  return [
    ...temporal,
    ['/v1/deposits', order],
    [`/v1/deposits/${externalOrderNumber}`, '{}'],
    [`/callbacks/${externalOrderNumber}`, '{}'],
    ['/api/buy-coin/transaction', order],
    [`/control/orders/${externalOrderNumber}/pay`, json({ immediately: true })],
    [`/control/orders/${externalOrderNumber}/cancel`, '{}'],
    ['/control/settings', json({ speed: 1 })],
    ['/control/faults', json({ kind: 'page' })],
    ['/console/login', 'password=page'],
    ['/console/settings', 'speed=1'],
    ['/console/logout', ''],
    ['/orders', 'order=shop-0123456789ab'],
  ];
}

/**
 * A page of another site, open in the same browser as the stack's pages. It sends all that pages may send without a
 * preflight: forms and `no-cors` requests of the three simple content types. It also tries requests that need a
 * preflight. Returns how many responses arrived, of any content.
 */
export async function sendFromOtherSite(
  browser: BrowserContext,
  listeners: readonly Listener[],
  target: Target,
): Promise<number> {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><iframe name="sink"></iframe>');
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  try {
    const page = await browser.newPage();
    await page.goto(`http://other-site.test:${(server.address() as AddressInfo).port}/`);
    const bases = listeners.map(({ host, port }) => `http://${host}:${port}`);
    const answered = await page.evaluate(send, { bases, wishes: wishes(target) });
    await page.close();
    return answered;
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/**
 * The same, after the page's own name was pointed at this machine: to the browser the page and the listener are then
 * one site, and cookies, custom headers and JSON go through. Returns the listeners that responded.
 */
export async function sendAfterRebinding(
  browser: BrowserContext,
  listeners: readonly Listener[],
  target: Target,
): Promise<number[]> {
  const answering: number[] = [];
  for (const { port } of listeners) {
    const page = await browser.newPage();
    const base = `http://rebound.test:${port}`;
    const isThere = await page.goto(`${base}/`, { waitUntil: 'commit', timeout: 5_000 }).then(
      (response) => response !== null,
      () => false,
    );
    if (isThere) {
      answering.push(port);
      await page.evaluate(sendAsOwn, wishes(target));
    }
    await page.close();
  }
  return answering;
}

/** Runs in the page. */
async function send(given: { bases: string[]; wishes: ReadonlyArray<readonly [string, string]> }): Promise<number> {
  let answered = 0;
  const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'];
  const one = async (url: string, body: string) => {
    for (const type of types) {
      const options = { method: 'POST', body, headers: { 'content-type': type }, signal: AbortSignal.timeout(3_000) };
      await fetch(url, { ...options, mode: 'no-cors', credentials: 'include' }).then(
        () => (answered += 1),
        () => 0,
      );
    }
    const asked = { 'content-type': 'application/json', authorization: 'Bearer page', 'x-csrf-token': 'page' };
    const options = { method: 'POST', body, headers: asked, signal: AbortSignal.timeout(3_000) };
    await fetch(url, { ...options, credentials: 'include' }).catch(() => 0);
    const form = document.createElement('form');
    Object.assign(form, { action: url, method: 'post', enctype: 'text/plain', target: 'sink' });
    // `name=value` of this form is the JSON, with the sign in a member of its own.
    const field = Object.assign(document.createElement('input'), {
      name: `${body.replace(/\}$/, body === '{}' ? '' : ',')}"page":"`,
      value: '"}',
    });
    form.append(field);
    document.body.append(form);
    form.submit();
  };
  await Promise.all(
    given.bases.map(async (base) => {
      for (const [path, body] of given.wishes) await one(base + path, body);
    }),
  );
  return answered;
}

/** Runs in the page; returns the statuses of the responses. */
export async function sendAsOwn(wished: ReadonlyArray<readonly [string, string]>): Promise<number[]> {
  const states: number[] = [];
  const token = /_csrf=([^;]+)/.exec(document.cookie)?.[1] ?? 'page';
  for (const [path, body] of wished) {
    const headers = { 'content-type': 'application/json', 'x-csrf-token': token };
    const options = { method: 'POST', body, headers, signal: AbortSignal.timeout(3_000) };
    states.push(
      await fetch(path, options).then(
        (answer) => answer.status,
        () => 0,
      ),
    );
  }
  return states;
}
