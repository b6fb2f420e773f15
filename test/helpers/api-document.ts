/**
 * The document of the API as a client gets it under the settings of an empty home, and what its schemas say
 * of a value. Never used outside tests.
 */
import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { loadConfig } from '../../src/config.js';
import { isRecord } from '../../src/http/schema/fields.js';
import { openApiDocument } from '../../src/http/schema/openapi.js';

const config = loadConfig({ env: {}, home: '/nowhere', cwd: '/' });
const made = openApiDocument({ config, version: '1.2.3' });
/** As a client gets it. */
export const document: unknown = JSON.parse(JSON.stringify(made));

/** A part of the document; fails where there is none. */
export function part(...path: readonly (string | number)[]): Readonly<Record<string, unknown>> {
  let node: unknown = document;
  for (const key of path)
    node = isRecord(node) || Array.isArray(node) ? Reflect.get(node, key) : undefined;
  assert.ok(isRecord(node), path.join(' '));
  return node;
}

/** A validator that knows the document. */
export const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addSchema({ $id: 'doc', ...part() });
ajv.addSchema({ $id: 'closed', components: closed(part('components')) });

/** The same schemas, whose objects have what is named and nothing more. */
function closed(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(closed);
  if (!isRecord(node)) return node;
  const all = Object.entries(node).map(([key, one]) => [key, closed(one)] as const);
  const isObject = node.type === 'object' && 'properties' in node;
  return { ...Object.fromEntries(all), ...(isObject && { additionalProperties: false }) };
}

/** What one of the document's schemas says of a value; `''` where it fits. */
export function complaints(schema: string, value: unknown): string {
  return said(`doc#/components/schemas/${schema}`, value);
}

/** The same, where a name that the document does not know is one as well. */
export function closeComplaints(schema: string, value: unknown): string {
  return said(`closed#/components/schemas/${schema}`, value);
}

function said(id: string, value: unknown): string {
  const validate = ajv.getSchema(id);
  assert.ok(validate, id);
  return validate(value) ? '' : ajv.errorsText(validate.errors);
}
