/**
 * The form that an answer has to have: `response_format` and `grammar`. Runs in the server; pure. What
 * a schema or a grammar may be is the grammar room's to say.
 */
import { z } from 'zod';
import type { AnswerForm } from '../../chat/message.js';
import { JSON_SCHEMA_FIELDS, RESPONSE_FORMAT_FIELDS } from './fields.js';
import { because, invalidValue } from './issue.js';
import { withFields } from './notes.js';

const schema = z.union(
  [z.record(z.string(), z.unknown()), z.boolean()],
  because('JSON Schema にしてください', 'expected a JSON Schema'),
);

const jsonSchema = z.looseObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .nullish(),
  schema: schema.nullish(),
  strict: z.boolean().nullish(),
});
const format = z.looseObject({
  type: z.enum(['text', 'json_object', 'json_schema']),
  json_schema: withFields('json_schema', JSON_SCHEMA_FIELDS, jsonSchema).nullish(),
  // As other servers take it: an object of this schema.
  schema: schema.nullish(),
});

/** `response_format` as a body may have it. */
export const responseFormat = withFields(
  'response_format',
  RESPONSE_FORMAT_FIELDS,
  format,
).nullish();

/** `grammar` as a body may have it: GBNF with the start symbol `root`. */
export const grammar = z.string().nullish();

/** What is asked of the answer's form; undefined = nothing. Codes: invalid_value, missing_required_parameter. */
export function toForm(body: {
  readonly response_format?: z.output<typeof responseFormat>;
  readonly grammar?: z.output<typeof grammar>;
}): AnswerForm | undefined {
  const form = formatOf(body.response_format);
  // An empty one asks for nothing.
  if (typeof body.grammar !== 'string' || body.grammar === '') return form;
  if (form) {
    throw invalidValue('grammar', {
      ja: 'response_format と一緒には使えません',
      en: 'cannot be used together with response_format',
    });
  }
  return { kind: 'grammar', text: body.grammar };
}

function formatOf(format: z.output<typeof responseFormat>): AnswerForm | undefined {
  if (!format || format.type === 'text') return undefined;
  if (format.type === 'json_object') {
    const { schema: own } = format;
    if (own === null || own === undefined) return { kind: 'json_object' };
    return { kind: 'json_schema', schema: own };
  }
  if (!format.json_schema) {
    throw invalidValue('response_format.json_schema', {
      ja: 'type が json_schema のときは必要です',
      en: 'required where type is json_schema',
    });
  }
  // Without a schema any JSON value will do.
  return { kind: 'json_schema', schema: format.json_schema.schema ?? {} };
}
