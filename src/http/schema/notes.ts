/**
 * What the document of the API knows of a schema beyond what zod says of it: which table sorts the fields
 * of an object, and what a check that runs in steps takes. Runs in the server. It must never change what
 * a schema accepts.
 */
import type { z } from 'zod';
import type { FieldRule } from './fields.js';

/** The fields of one kind of object; `name` is also where their words stand: `message.role`. */
export interface FieldTable {
  readonly name: string;
  readonly fields: Readonly<Record<string, FieldRule>>;
}

const tables = new WeakMap<object, FieldTable>();
const forms = new WeakMap<object, z.ZodType>();

/** Notes the table of an object's fields; gives the same schema. */
export function withFields<S extends z.ZodType>(
  name: string,
  fields: FieldTable['fields'],
  schema: S,
): S {
  tables.set(schema, { name, fields });
  return schema;
}

/** The table that was noted. */
export function tableOf(schema: object): FieldTable | undefined {
  return tables.get(schema);
}

/** Notes what a schema takes, where its own checks do not show it; gives the same schema. */
export function shownAs<S extends z.ZodType>(form: z.ZodType, schema: S): S {
  forms.set(schema, form);
  return schema;
}

/** The form that was noted. */
export function formOf(schema: object): z.ZodType | undefined {
  return forms.get(schema);
}
