import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as it went over the wire, and its response. */
export interface Recorded {
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  readonly status: number;
}

export interface Recorder {
  readonly url: string;
  readonly requests: readonly Recorded[];
  /** Sets the origin to which requests are forwarded; called before the first one. */
  forwardTo(origin: string): void;
  close(): Promise<void>;
}

/** A recording proxy between two parts: holds the same as a reader of the traffic. */
export async function startRecorder(): Promise<Recorder> {
  const requests: Recorded[] = [];
  let target: URL | null = null;
  const server = http.createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const { method, url: path = '/', headers } = request;
      const onward = http.request(new URL(path, target!), { method, headers, agent: false }, (answer) => {
        requests.push({ path, headers, body: body.toString('utf8'), status: answer.statusCode! });
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.destroy());
      onward.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    forwardTo(origin) {
      target = new URL(origin);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function bodyOf(request: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
