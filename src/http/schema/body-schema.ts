/**
 * The JSON Schema of a request body, out of the zod schema that reads it and the table of its fields.
 * Runs in the server, for the document of the API. It must never check a request.
 */
import { z } from 'zod';
import type { Config } from '../../config.js';
import { SETTINGS, type SettingKey } from '../../settings.js';
import { type FieldRule, isRecord } from './fields.js';
import { type FieldTable, formOf, tableOf } from './notes.js';
import { type Words, wordsOf } from './words.js';

/** A JSON Schema of draft 2020-12, which is OpenAPI 3.1's. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Where an object's table is kept between the two steps. */
const MARK = 'x-table';

/**
 * The body's schema: each field of the table is a property and says in `x-hoshikage` what becomes of
 * it. Rules over several fields (`max_tokens` and its newer name) are not in it.
 */
export function bodySchema(schema: z.ZodType, table: FieldTable, config: Config): JsonSchema {
  const tables = new Map<string, FieldTable>();
  const shape = toJson(schema, tables);
  tables.set(table.name, table);
  const whole = finish({ ...shape, [MARK]: table.name }, tables, config);
  return isRecord(whole) ? whole : {};
}

/** zod's own JSON Schema, with what it cannot see and with marks where a table belongs. */
function toJson(schema: z.ZodType, tables: Map<string, FieldTable>): JsonSchema {
  const { $schema: _, ...shape } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const table = tableOf(zodSchema);
      if (table) {
        tables.set(table.name, table);
        jsonSchema[MARK] = table.name;
      }
      const form = formOf(zodSchema);
      if (form) Object.assign(jsonSchema, toJson(form, tables));
      // The first step of a pipe has the limits, the second one knows what is inside.
      const { def } = zodSchema._zod;
      const inner = def.type === 'pipe' ? formOf(def.out) : undefined;
      if (inner) Object.assign(jsonSchema, membersOf(toJson(inner, tables)));
    },
  });
  return shape;
}

function membersOf(shape: JsonSchema): JsonSchema {
  const names = ['items', 'additionalProperties', 'propertyNames'];
  return Object.fromEntries(Object.entries(shape).filter(([key]) => names.includes(key)));
}

/** Puts the tables where their marks are, and says in one line what zod says in three. */
function finish(node: unknown, tables: ReadonlyMap<string, FieldTable>, config: Config): unknown {
  if (Array.isArray(node)) return node.map((one) => finish(one, tables, config));
  if (!isRecord(node)) return node;
  const { [MARK]: mark, ...shape } = node;
  const whole = Object.fromEntries(
    Object.entries(shape).map(([key, value]) => [key, finish(value, tables, config)]),
  );
  const table = typeof mark === 'string' ? tables.get(mark) : undefined;
  return table ? { ...whole, properties: propertiesOf(whole, table, config) } : tidy(whole);
}

function propertiesOf(shape: JsonSchema, { name, fields }: FieldTable, config: Config): JsonSchema {
  const known = isRecord(shape.properties) ? shape.properties : {};
  const rows = Object.entries(fields).map(([field, rule]) => [
    field,
    { ...shapeOf(known[field], rule), ...saidOf(name, field, config), 'x-hoshikage': kindOf(rule) },
  ]);
  const sorted = Object.fromEntries(rows);
  // The table's order; what only the schema knows comes last.
  return { ...sorted, ...known, ...sorted };
}

/** What becomes of a field, as the document says it. */
function kindOf(rule: FieldRule): 'honoured' | 'refused' | 'ignored' {
  return typeof rule === 'function' ? 'refused' : rule;
}

/** null asks for the default, so it is never refused. */
function shapeOf(known: unknown, rule: FieldRule): JsonSchema {
  if (typeof rule !== 'function') return isRecord(known) ? known : {};
  return tidy({ anyOf: [rule.accepts ?? {}, { type: 'null' }] });
}

function saidOf(table: string, field: string, config: Config): JsonSchema {
  const words = wordsOf(table, field);
  if (!words) return {};
  const [ja, en, absent] = words;
  return { description: `${ja} / ${en}`, ...absentOf(absent, config) };
}

function absentOf(absent: Words[2], config: Config): JsonSchema {
  if (absent === undefined) return {};
  if ('value' in absent) return { default: absent.value };
  if ('from' in absent) return { 'x-hoshikage-setting': absent.from };
  return {
    default: settingOf(absent.setting, config),
    'x-hoshikage-setting': absent.setting,
  };
}

function settingOf(key: SettingKey, config: Config): unknown {
  const row = SETTINGS.find((setting) => setting.key === key);
  return row && config[row.property];
}

/** Alternatives within alternatives as one list; a type or null as one type. */
function tidy(shape: JsonSchema): JsonSchema {
  const { anyOf, ...rest } = shape;
  if (!Array.isArray(anyOf)) return shape;
  const forms = anyOf.flatMap((form: unknown) =>
    isRecord(form) && Array.isArray(form.anyOf) && Object.keys(form).length === 1
      ? form.anyOf
      : [form],
  );
  const others = forms.filter((form) => !isNull(form));
  const [only] = others;
  if (others.length === forms.length || others.length > 1) return { ...rest, anyOf: forms };
  if (only === undefined) return { ...rest, type: 'null' };
  const merged = orNull(only);
  return merged ? { ...rest, ...merged } : { ...rest, anyOf: forms };
}

function isNull(form: unknown): boolean {
  return isRecord(form) && form.type === 'null' && Object.keys(form).length === 1;
}

/** The same schema that takes null as well, where that needs no alternatives. */
function orNull(form: unknown): JsonSchema | null {
  if (!isRecord(form) || 'anyOf' in form) return null;
  const { const: one, ...rest } = form;
  const { type, enum: values = one === undefined ? undefined : [one] } = rest;
  if (typeof type !== 'string' && !Array.isArray(values)) return null;
  return {
    ...rest,
    ...(typeof type === 'string' && { type: [type, 'null'] }),
    ...(Array.isArray(values) && { enum: [...values, null] }),
  };
}
