import express from 'express';
import pg from 'pg';

/** The minimum of an acknowledged callback: Express and one INSERT. `endpoint PORT CONNECTIONS`, with DATABASE_URL. */

const [port, connections] = process.argv.slice(2).map(Number);
const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: connections });
await pool.query(
  'create table if not exists bare (id bigint generated always as identity primary key, deposit text, raw bytea)',
);

const app = express();
app.disable('x-powered-by');
app.post('/callbacks/:deposit', express.raw({ type: () => true }), async (request, response) => {
  await pool.query('insert into bare (deposit, raw) values ($1, $2)', [request.params['deposit'], request.body]);
  response.type('text').send('SUCCESS');
});
app.listen(port!, '127.0.0.1', () => console.log('endpoint ready'));
