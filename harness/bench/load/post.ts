import { Agent, request } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 512 });
const WITHIN_MS = 60_000;

export interface Posted {
  readonly status: number;
  readonly text: string;
}

/** Sends one request over a kept-alive connection. Rejects if there is no response. */
export const post = (
  url: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
  method = 'POST',
): Promise<Posted> =>
  new Promise((resolve, reject) => {
    const length = Buffer.byteLength(body);
    const sent = request(
      url,
      {
        method,
        agent,
        timeout: WITHIN_MS,
        headers: { 'content-type': 'application/json', 'content-length': length, ...headers },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.once('error', reject);
        response.once('end', () => resolve({ status: response.statusCode!, text }));
      },
    );
    sent.once('error', (error: NodeJS.ErrnoException) => {
      // The server was just closing this kept-alive connection and has not read the request.
      if (sent.reusedSocket && error.code === 'ECONNRESET') resolve(post(url, body, headers, method));
      else reject(error);
    });
    sent.once('timeout', () => sent.destroy(new Error(`no answer within ${WITHIN_MS / 1_000} s`)));
    sent.end(body);
  });

/** Rejects unless the status of the response is one of these. */
export async function must(answer: Promise<Posted>, ...statuses: readonly number[]): Promise<Posted> {
  const posted = await answer;
  if (!statuses.includes(posted.status)) throw new Error(`answered ${posted.status}: ${posted.text.slice(0, 300)}`);
  return posted;
}
