import type { Request } from 'express';
import type { FaultCatalogueEntry } from '../../faults/faults.ts';
import { type Html, html } from '../../html.ts';
import { area, field, select } from '../page.ts';
import { ConsoleProblem, posted } from '../requests.ts';

/** The part of JSON Schema that the catalogue uses. */
interface Property {
  readonly type?: string;
  readonly enum?: readonly (string | number)[];
  readonly anyOf?: readonly Property[];
  readonly default?: unknown;
}

type Kind = 'choice' | 'yes or no' | 'number' | 'text' | 'text or null' | 'JSON';

/** The parameters of a kind with their schemas, in the order of its table. */
export function parametersOf(entry: FaultCatalogueEntry): [name: string, property: Property, isRequired: boolean][] {
  const properties = (entry.params['properties'] ?? {}) as Readonly<Record<string, Property>>;
  const required = (entry.params['required'] ?? []) as readonly string[];
  return Object.entries(properties).map(([name, property]) => [name, property, required.includes(name)]);
}

function kindOf(property: Property): Kind {
  if (property.enum !== undefined) return 'choice';
  if (property.type === 'boolean') return 'yes or no';
  if (property.type === 'integer' || property.type === 'number') return 'number';
  if (property.type === 'string') return 'text';
  const either = property.anyOf?.map((each) => each.type).toSorted();
  return either?.length === 2 && either[0] === 'null' && either[1] === 'string' ? 'text or null' : 'JSON';
}

const nameOf = (parameter: string): string => `params.${parameter}`;

function defaultText(property: Property): string {
  const value = property.default;
  if (value === undefined || value === null) return '';
  return typeof value === 'string' && kindOf(property) !== 'JSON' ? value : JSON.stringify(value);
}

/** One field for each parameter of a kind, filled with its default. */
export function faultFields(entry: FaultCatalogueEntry): Html {
  const fields = parametersOf(entry).map(([parameter, property, isRequired]) => {
    const name = nameOf(parameter);
    const value = defaultText(property);
    switch (kindOf(property)) {
      case 'choice':
        return select(
          parameter,
          name,
          property.enum!.map(String).map((each) => [each, each] as const),
          value,
        );
      case 'yes or no':
        return select(parameter, name, [['false', 'no'] as const, ['true', 'yes'] as const], value);
      case 'JSON':
        return area(parameter, name, value, isRequired ? 'JSON' : 'JSON; empty: the default');
      case 'text or null':
        return field(parameter, name, value, { note: 'Empty: none.' });
      case 'number':
      case 'text':
        return field(parameter, name, value, { required: isRequired });
    }
  });
  return html`${fields}`;
}

function valueOf(parameter: string, property: Property, text: string): unknown {
  switch (kindOf(property)) {
    case 'yes or no':
      return text === 'true';
    case 'number':
      return text.trim() === '' ? undefined : Number(text);
    case 'text or null':
      return text === '' ? null : text;
    case 'JSON':
      return text.trim() === '' ? undefined : parseJson(parameter, text);
    case 'choice':
    case 'text':
      return text;
  }
}

function parseJson(parameter: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new ConsoleProblem(400, `${parameter} must be JSON.`);
  }
}

/** Reads the parameters from the form; an absent field keeps its default. */
export function readParameters(request: Request, entry: FaultCatalogueEntry): Record<string, unknown> {
  const given = parametersOf(entry).flatMap(([parameter, property]) => {
    if (!Object.hasOwn(request.body as object, nameOf(parameter))) return [];
    const value = valueOf(parameter, property, posted(request, nameOf(parameter)));
    return value === undefined ? [] : [[parameter, value] as const];
  });
  return Object.fromEntries(given);
}
