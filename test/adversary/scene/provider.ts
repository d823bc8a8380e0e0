import { createServer } from 'node:http';

/** A provider with a set response for each order; it stores nothing and sends no callbacks. */
export interface Provider {
  readonly url: string;
  /** Sets the responses to later orders, by their number. Default: placed. */
  answers(externalOrderNumber: string, how: 'refused' | 'cut'): void;
  close(): Promise<void>;
}

export async function startProvider(): Promise<Provider> {
  const ways = new Map<string, 'refused' | 'cut'>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { externalOrderNumber } = JSON.parse(Buffer.concat(chunks).toString()) as { externalOrderNumber: string };
      const way = ways.get(externalOrderNumber);
      if (way === 'cut') return void response.destroy();
      const placed = {
        redirectUrl: `${url}/pay/${externalOrderNumber}`,
        advertisementCode: `AD-${externalOrderNumber}`,
        currentTimestamp: Date.now(),
      };
      const answer =
        way === 'refused'
          ? { data: null, statusCode: 'PARAMETER_ERROR', message: 'no', success: false }
          : { data: placed, statusCode: 'SUCCESS', message: 'success', success: true };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    url,
    answers: (externalOrderNumber, how) => ways.set(externalOrderNumber, how),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
