import { describe, expect, it } from 'vitest';
import { OF_LOCAL_ENV, tellMisspelt, VARIABLES } from '../../config/known-variables.ts';
import { localEnvNames } from '../../local/stack/local-env.ts';
import { documentedVariables } from '../docs/variables.ts';

const namesIn = (list: string) => list.trim().split(/\s+/);

function told(...names: string[]): string[] {
  const lines: string[] = [];
  tellMisspelt((line) => lines.push(line), Object.fromEntries(names.map((name) => [name, 'hush-hush'])));
  expect(lines.join()).not.toContain('hush');
  return lines;
}

describe('a variable that looks like ours', () => {
  it.each([
    ['CALLBAK_LISTEN', 'CALLBAK_LISTEN (CALLBACK_LISTEN?)'],
    ['SANDBOX_SPED', 'SANDBOX_SPED (SANDBOX_SPEED?)'],
    ['SANBOX_SPEED', 'SANBOX_SPEED (SANDBOX_SPEED?)'],
    ['PAYMENT_WINDWO', 'PAYMENT_WINDWO (PAYMENT_WINDOW?)'],
    ['LOGLEVEL', 'LOGLEVEL (LOG_LEVEL?)'],
    ['CALBACK_LISTN', 'CALBACK_LISTN (CALLBACK_LISTEN?)'],
    ['WORKER_CONNECTION', 'WORKER_CONNECTION (WORKER_CONNECTIONS?)'],
    ['CALLBACK_KYE_FILE', 'CALLBACK_KYE_FILE (CALLBACK_KEY?)'],
    ['MTPAY_TIMEOUT', 'MTPAY_TIMEOUT'],
  ])('and is none, %s, is named without its value', (name, named) => {
    expect(told(name)).toEqual([`variables that look like ours, and that nothing reads: ${named}`]);
  });

  it('is named in one line with the others', () => {
    expect(told('SANDBOX_SPED', 'API_LISTN')).toEqual([
      'variables that look like ours, and that nothing reads: API_LISTN (API_LISTEN?), SANDBOX_SPED (SANDBOX_SPEED?)',
    ]);
  });

  it('is not named if it is empty, ours, or another program’s', () => {
    const ours = [...namesIn(VARIABLES), ...namesIn(OF_LOCAL_ENV)];
    expect(told(...ours, ...ours.map((name) => `${name}_FILE`))).toEqual([]);
    const others =
      'HTTP_PROXY APP_URL APP_KEY NODE_OPTIONS SANDBOX_SERVICE_HOST SANDBOX_PORT_80_TCP TEMPORAL_CLI_AUTH DATABASE_SSL DATABASE_URI RUST_LOG_LEVEL APP_CONNECTIONS';
    expect(told(...namesIn(others))).toEqual([]);
    const lines: string[] = [];
    tellMisspelt((line) => lines.push(line), { SANDBOX_SPED: '', API_LISTN: undefined });
    expect(lines).toEqual([]);
  });
});

it('the known names are those of docs/reference/settings.md and of .data/local.env', () => {
  expect(namesIn(VARIABLES)).toEqual(documentedVariables().map(({ name }) => name));
  const known = [...namesIn(VARIABLES), ...namesIn(OF_LOCAL_ENV)];
  expect(localEnvNames.filter((name) => !known.includes(name))).toEqual([]);
});
