/**
 * The grammar of values in a family's own notation, as Python or its relatives write them, by their
 * schemas. Pure, any thread; it must never write a value that readLiteral does not read.
 */
import {
  choice,
  counted,
  type Expression,
  oneOf,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
} from '../grammar/expression.js';
import { HEX, JSON_NUMBER } from '../grammar/json.js';
import { isObject } from '../grammar/schema-facts.js';
import { GAP } from './binding.js';
import type { Tool } from './dialect.js';
import { type Member, membersOf, separated } from './members.js';
import {
  FLAG,
  isAnything,
  isFlag,
  isNote,
  isUnlimited,
  jsonOf,
  valuesOf,
  writable,
} from './parameter-grammar.js';
import { type Kind, type Parameter, parametersOf } from './parameters.js';

/** How a family writes strings and keys. */
export interface Notation {
  /** Names the rules that are shared. */
  readonly name: string;
  /** Any string. */
  readonly string: Expression;
  /** This string; null where it cannot be written. */
  quoted(value: string): Expression | null;
  /** A key of an object with its colon. */
  key(name: string): Expression;
  readonly anyKey: Expression;
  /** What no name of a key may hold. */
  readonly keyEnds: readonly string[];
  readonly isSorted: boolean;
}

/** How deep values follow their schemas, and how many of one parameter do; the others may be any. */
const MAX_DEPTH = 4;
const MAX_VALUES = 40;
/** Up to this many keys of an inner object stand in any order. */
const INNER_ORDER = 3;

const COMMA = sequence(text(','), GAP);
const NULL = choice(text('null'), text('None'));
const hex = (range: string): Expression =>
  oneOf(
    ...Array.from(range, (digit) => {
      const point = digit.charCodeAt(0);
      return [point, point] as const;
    }),
  );
/** `u` and four digits: a code point, or both halves of a surrogate pair. */
const UNICODE = sequence(
  text('u'),
  choice(
    sequence(hex('0123456789ABCEFabcef'), counted(HEX, 3, 3)),
    sequence(hex('Dd'), hex('01234567'), counted(HEX, 2, 2)),
    sequence(
      ...[hex('Dd'), hex('89ABab'), counted(HEX, 2, 2), text('\\u')],
      ...[hex('Dd'), hex('CDEFcdef'), counted(HEX, 2, 2)],
    ),
  ),
);
/** A character of a string in quotes of one sort. */
const character = (quote: string): Expression => {
  const code = quote.charCodeAt(0);
  const plain: Expression = {
    kind: 'class',
    ranges: [
      [0x20, code - 1],
      [code + 1, 0x5b],
      [0x5d, 0xd7ff],
      [0xe000, 0x10ffff],
    ],
  };
  const marks = Array.from(`"'\\/bfnrt`, (mark) => {
    const point = mark.charCodeAt(0);
    return [point, point] as const;
  });
  const escaped = choice(oneOf(...marks), UNICODE);
  return choice(plain, sequence(text('\\'), escaped));
};
const inQuotes = (quote: string): Expression =>
  sequence(text(quote), repeat(character(quote), 0), text(quote));
const PYTHON_STRING = choice(inQuotes("'"), inQuotes('"'));

/** Python: strings in either quotes, keys too. */
export const PYTHON_NOTATION: Notation = {
  name: 'python',
  string: PYTHON_STRING,
  quoted(value) {
    const json = JSON.stringify(value);
    const inside = json.slice(1, -1);
    if (inside.includes('\\')) return text(json);
    return choice(text(json), text(`'${inside.replaceAll("'", "\\'")}'`));
  },
  key: (name) => sequence(choice(text(`"${name}":`), text(`'${name}':`)), optional(text(' '))),
  anyKey: sequence(PYTHON_STRING, text(':'), optional(text(' '))),
  keyEnds: [],
  isSorted: false,
};

/** A value by its schema. Codes: schema_unsupported for a strict tool. */
export function literalOf(
  rules: RuleSet,
  notation: Notation,
  tool: Tool,
  parameter: Parameter,
  depth = 0,
  budget = { left: MAX_VALUES },
): Expression {
  const { schema, kinds } = parameter;
  budget.left--;
  const values = valuesOf(parameter, '');
  const quoted = values?.texts.map((value) => notation.quoted(value)) ?? [];
  if (values !== null && !quoted.includes(null)) {
    const all = quoted.filter((one) => one !== null);
    return values.hasNull ? choice(...all, NULL) : choice(...all);
  }
  const isFar = depth > MAX_DEPTH || budget.left < 0;
  const inside = (inner: Tool, one: Parameter): Expression =>
    literalOf(rules, notation, inner, one, depth + 1, budget);
  const holder = (): Expression | null => {
    if (isFar || kinds?.size !== 1 || (tool.strict && !isTyped(schema))) return null;
    if (kinds.has('object')) return objectOf(rules, notation, tool, schema, inside);
    return kinds.has('array') ? arrayOf(tool, schema, inside) : null;
  };
  if (tool.strict || isListed(schema)) {
    const held = isListed(schema) ? null : holder();
    return held ?? heldLiteral(rules, notation, tool, parameter);
  }
  if (kinds === null || isFar) return anyLiteral(rules, notation);
  if (kinds.size === 1 && kinds.has('number')) return jsonOf(parameter, tool, rules);
  return holder() ?? choice(...Array.from(kinds, (kind) => ofKind(rules, notation, kind)));
}

/** A value that must obey all of its schema: in JSON, but for what JSON and the family write unlike. */
function heldLiteral(
  rules: RuleSet,
  notation: Notation,
  tool: Tool,
  parameter: Parameter,
): Expression {
  const { schema, kinds } = parameter;
  if (isAnything(schema)) return anyLiteral(rules, notation);
  const isText = kinds !== null && [...kinds].every((kind) => kind === 'string' || kind === 'null');
  const options: Expression[] = [];
  if (isText && kinds.has('string') && isUnlimited(schema)) options.push(notation.string);
  else options.push(jsonOf(parameter, tool, rules));
  if (isFlag(parameter)) options.push(FLAG);
  if (kinds?.has('null')) options.push(NULL);
  return choice(...options);
}

const isListed = (schema: unknown): boolean =>
  isObject(schema) && ('enum' in schema || 'const' in schema);

const requiredOf = ({ required }: Readonly<Record<string, unknown>>): readonly unknown[] =>
  Array.isArray(required) ? required : [];

/** Whether an object or an array says nothing but what its own keys or items are. */
const isTyped = (schema: unknown): boolean =>
  isObject(schema) &&
  Object.keys(schema).every(
    (key) =>
      isNote(key) ||
      ['type', 'items', 'properties', 'required', 'additionalProperties'].includes(key),
  );

type Inside = (tool: Tool, parameter: Parameter) => Expression;

/** An object with the keys that its schema names; null where it may have others. */
function objectOf(
  rules: RuleSet,
  notation: Notation,
  tool: Tool,
  schema: unknown,
  inside: Inside,
): Expression | null {
  if (!isObject(schema)) return null;
  const isOpen = schema.additionalProperties !== undefined && schema.additionalProperties !== false;
  const inner: Tool = { ...tool, parameters: schema };
  const parameters = writable({ ...inner, strict: false }, notation.keyEnds);
  if (isOpen || parameters.length === 0) return null;
  const names: readonly unknown[] = parameters.map(({ name }) => name);
  const needed = [...Object.keys(schema.properties ?? {}), ...requiredOf(schema)];
  if (tool.strict && !needed.every((name) => names.includes(name))) return null;
  const members = parameters.map((parameter): Member => {
    const { name, isRequired } = parameter;
    const written = rules.add(`key-${name}`, () =>
      sequence(notation.key(name), inside(inner, parameter)),
    );
    return { name, isRequired, written };
  });
  const layout = separated(COMMA, notation.isSorted);
  return sequence(text('{'), GAP, membersOf(rules, members, layout, INNER_ORDER), GAP, text('}'));
}

/** An array whose items its schema names; null where they may be any. */
function arrayOf(tool: Tool, schema: unknown, inside: Inside): Expression | null {
  if (!isObject(schema) || !isObject(schema.items)) return null;
  const parameters = { ...schema, type: 'object', properties: { item: schema.items } };
  const [item] = parametersOf({ ...tool, parameters });
  return item === undefined ? null : list('[', inside(tool, item), ']');
}

const list = (open: string, part: Expression, close: string): Expression =>
  sequence(
    text(open),
    GAP,
    optional(sequence(part, repeat(sequence(COMMA, part), 0), GAP)),
    text(close),
  );

function ofKind(rules: RuleSet, notation: Notation, kind: Kind): Expression {
  switch (kind) {
    case 'string':
      return notation.string;
    case 'number':
      return JSON_NUMBER;
    case 'boolean':
      return FLAG;
    case 'null':
      return NULL;
    case 'object':
      return anyObject(rules, notation);
    case 'array':
      return anyArray(rules, notation);
  }
}

/** Any object in the notation. */
export const anyObject = (rules: RuleSet, notation: Notation): Expression =>
  rules.shared(`${notation.name}-object`, () =>
    list('{', sequence(notation.anyKey, anyLiteral(rules, notation)), '}'),
  );

/** Any array in the notation. */
export const anyArray = (rules: RuleSet, notation: Notation): Expression =>
  rules.shared(`${notation.name}-array`, () => list('[', anyLiteral(rules, notation), ']'));

const anyLiteral = (rules: RuleSet, notation: Notation): Expression =>
  rules.shared(`${notation.name}-value`, () =>
    choice(
      ...(['string', 'number', 'boolean', 'null', 'object', 'array'] as const).map((kind) =>
        ofKind(rules, notation, kind),
      ),
    ),
  );
