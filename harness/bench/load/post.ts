import { Agent, request } from 'node:http';

const agent = new Agent({ keepAlive: true, maxSockets: 512 });
const WITHIN_MS = 60_000;

export interface Posted {
  readonly status: number;
  readonly text: string;
}

/** One request over a kept connection. Rejects when there is no answer. */
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
      // A kept connection that the server was just closing: nobody has read the request.
      if (sent.reusedSocket && error.code === 'ECONNRESET') resolve(post(url, body, headers, method));
      else reject(error);
    });
    sent.once('timeout', () => sent.destroy(new Error(`no answer within ${WITHIN_MS / 1_000} s`)));
    sent.end(body);
  });

/** Throws unless the answer is one of these. */
export async function must(answer: Promise<Posted>, ...statuses: readonly number[]): Promise<Posted> {
  const posted = await answer;
  if (!statuses.includes(posted.status)) throw new Error(`answered ${posted.status}: ${posted.text.slice(0, 300)}`);
  return posted;
}
