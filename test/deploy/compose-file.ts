import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** docker-compose.yml as data, with the defaults of its anchors. */

export interface Service {
  readonly image: string;
  readonly build?: unknown;
  readonly user?: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly container_name?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly networks?: readonly string[] | Readonly<Record<string, unknown>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly profiles?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly privileged?: boolean;
  readonly security_opt?: readonly string[];
  readonly read_only?: boolean;
  readonly restart?: string;
  readonly tmpfs?: readonly string[];
  readonly mem_limit?: string;
  readonly pids_limit?: number;
  readonly logging?: { readonly options: Readonly<Record<string, string>> };
}

export const root = new URL('../../', import.meta.url);
export const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
export const text = read('docker-compose.yml');
interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean; readonly driver_opts?: unknown }>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}
export const load = (source: string) => parse(source, { merge: true, maxAliasCount: -1 }) as ComposeFile;
export const file = load(text);
export const services = Object.entries(file.services);
export const ours = services.filter(([, service]) => service.image.startsWith('deposit-engine:'));
export const once = services.filter(([, service]) => service.restart === 'no').map(([name]) => name);
export const networksOf = ({ networks = [] }: Service): string[] =>
  Array.isArray(networks) ? [...networks] : Object.keys(networks);
