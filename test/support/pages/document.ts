import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

// oxlint-disable-next-line typescript/no-explicit-any -- a JSON document
export type Document = any;

/** Validates values against the schemas of an OpenAPI document. */
export interface Checker {
  /** Returns the fault of a value by the schema at a JSON pointer, or null. */
  fault(pointer: string, value: unknown): string | null;
  /** The same for a response of an operation: an undescribed status or type is a fault too. */
  answerFault(
    path: string,
    method: string,
    answer: { status: number; headers: Headers; body: unknown; text: string },
  ): string | null;
}

export function createChecker(document: Document): Checker {
  const ajv = new Ajv2020({
    strict: false,
    formats: { 'date-time': (text: string) => !Number.isNaN(Date.parse(text)) },
  });
  ajv.addSchema(document, 'openapi');
  const compiled = new Map<string, ValidateFunction>();
  const fault = (pointer: string, value: unknown) => {
    const validate = compiled.get(pointer) ?? ajv.compile({ $ref: `openapi#${encodeURI(pointer)}` });
    compiled.set(pointer, validate);
    return validate(value) ? null : ajv.errorsText(validate.errors);
  };
  return {
    fault,
    answerFault(path, method, { status, headers, body, text }) {
      const escaped = path.replaceAll('~', '~0').replaceAll('/', '~1');
      const own = `/paths/${escaped}/${method.toLowerCase()}/responses/${status}`;
      const given = document.paths[path]?.[method.toLowerCase()]?.responses[status];
      if (given === undefined) return `${method} ${path} does not describe ${status}`;
      const at = given.$ref === undefined ? own : given.$ref.slice(1);
      const { content, headers: required = {} } =
        given.$ref === undefined ? given : document.components.responses[at.split('/').at(-1)];
      for (const name of Object.keys(required))
        if (!headers.has(name)) return `${method} ${path} describes ${name} for ${status}, which is missing`;
      if (content === undefined) return text === '' ? null : `${method} ${path} describes no body for ${status}`;
      const type = headers.get('content-type')?.split(';')[0] ?? '';
      if (content[type] === undefined) return `${method} ${path} does not describe ${type} for ${status}`;
      const value = type.endsWith('json') ? body : text;
      return fault(`${at}/content/${type.replaceAll('~', '~0').replaceAll('/', '~1')}/schema`, value);
    },
  };
}
