import { createServer } from 'node:http';

/** A provider that accepts every order at once and stores nothing: only the engine is measured. `provider PORT`. */

const port = Number(process.argv[2]);

createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
  request.once('end', () => {
    const { externalOrderNumber } = JSON.parse(body) as { readonly externalOrderNumber: string };
    const data = {
      redirectUrl: `http://127.0.0.1:${port}/pay/${externalOrderNumber}`,
      advertisementCode: `A-${externalOrderNumber}`,
      currentTimestamp: Date.now(),
    };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ statusCode: 'SUCCESS', success: true, message: '', data }));
  });
}).listen(port, '127.0.0.1', () => console.log('provider ready'));
