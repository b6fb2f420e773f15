/**
 * The call styles whose arguments are Python's or like it: `f(a="x")` and `call:f{a:…}`, their readers
 * and their grammar. Pure but for the readers' state; it must never hold more of a template than its
 * marks.
 */
import {
  choice,
  type Expression,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
  until,
} from '../grammar/expression.js';
import { looseSchema } from '../grammar/schema.js';
import { type CallStyle, listOf } from './binding.js';
import type { Tool } from './dialect.js';
import type { Reading } from './input.js';
import { LLAMA_JSON, PYTHON_TAG } from './json-styles.js';
import { type Kinds, readLiteral, readMembers } from './literals.js';
import { FLAG, isFlag, jsonOf, valuesOf, writable } from './parameter-grammar.js';
import { isText, MAX_NAME, type Parameter, parametersOf } from './parameters.js';
import type { Scene } from './scene.js';

/** How deep objects are written in Gemma's own way; deeper ones are JSON. */
const MAX_DEPTH = 8;

const kindsOf =
  (parameters: readonly Parameter[]) =>
  (key: string): Kinds =>
    parameters.find(({ name }) => name === key)?.kinds ?? null;

/** Parameters one after the other, those that need not be there left out at will. */
function bindMembers(
  rules: RuleSet,
  tool: Tool,
  { between, ends }: { readonly between: string; readonly ends: readonly string[] },
  bind: (parameter: Parameter) => Expression,
): Expression {
  let bare: Expression = text('');
  let begun: Expression = text('');
  for (const parameter of writable(tool, ends).toReversed()) {
    const written = rules.add(`parameter-${tool.name}`, () => bind(parameter));
    const [after, none] = [begun, bare];
    const more = sequence(text(between), written, after);
    begun = rules.add(`more-${tool.name}`, () =>
      parameter.isRequired ? more : choice(more, after),
    );
    const first = sequence(written, after);
    bare = rules.add(`first-${tool.name}`, () =>
      parameter.isRequired ? first : choice(first, none),
    );
  }
  return bare;
}

const PYTHON_MEMBERS = { between: ', ', ends: ['=', ',', ')'] };
const GEMMA_MEMBERS = { between: ',', ends: [':', ',', '}'] };

const PYTHON_OPEN = '<|tool_call_start|>';
const PYTHON_CLOSE = '<|tool_call_end|>';

/** LFM2: a list of Python calls between marks. */
export const PYTHON: CallStyle = {
  syntax: {
    begins: [PYTHON_OPEN],
    isBare: false,
    read: (scene) => readPythonCalls(scene, PYTHON_CLOSE),
  },
  bind(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
    const calls = tools.map((tool) => {
      const members = bindMembers(rules, tool, PYTHON_MEMBERS, (parameter) =>
        sequence(text(`${parameter.name}=`), pythonValue(rules, tool, parameter)),
      );
      return sequence(text(`${tool.name}(`), members, text(')'));
    });
    const list = listOf(choice(...calls), text(', '), parallel);
    return sequence(text(`${PYTHON_OPEN}[`), list, text(`]${PYTHON_CLOSE}`));
  },
};

function pythonValue(rules: RuleSet, tool: Tool, parameter: Parameter): Expression {
  return isFlag(parameter) ? FLAG : jsonOf(parameter, tool, rules);
}

/** Llama 3: a bare object, or after a mark an object or a Python call. */
export const LLAMA: CallStyle = {
  ...LLAMA_JSON,
  syntax: {
    ...LLAMA_JSON.syntax,
    *read(scene, begin): Reading<boolean> {
      if (begin === PYTHON_TAG) yield* scene.input.skipSpace();
      const char = begin === PYTHON_TAG ? yield* scene.input.peek() : '{';
      if (char === '{' || char === '[') return yield* LLAMA_JSON.syntax.read(scene, begin);
      return yield* readPythonCalls(scene, '');
    },
  },
};

/** Reads Python calls, in a list or not, up to `close`, which may be missing. */
function* readPythonCalls(scene: Scene, close: string): Reading<boolean> {
  const { input } = scene;
  yield* input.skipSpace();
  const isList = (yield* input.takeIf('[')) !== null;
  for (;;) {
    yield* input.skipSpace();
    if (!(yield* readPythonCall(scene))) return false;
    yield* input.skipSpace();
    if ((yield* input.takeIf(',', ';')) === null) break;
  }
  if (isList && (yield* input.takeIf(']')) === null && (yield* input.peek()) !== '') return false;
  yield* input.skipSpace();
  if (close !== '') yield* input.takeIf(close);
  return true;
}

function* readPythonCall(scene: Scene): Reading<boolean> {
  const { input } = scene;
  const written = (yield* input.before(['(', '=', '\n', ' '], MAX_NAME)) ?? '';
  const tool = scene.tools.get(written) ?? scene.tools.get(written.replace(/\.call$/, ''));
  if (tool === undefined || (yield* input.takeIf('(')) === null) return false;
  if (!scene.call(tool.name)) return false;
  const parameters = parametersOf(tool);
  const keys = new Set<string>();
  for (;;) {
    yield* input.skipSpace();
    if ((yield* input.takeIf(')')) !== null) break;
    const key = (yield* input.before(['=', ',', ')'], MAX_NAME))?.trim();
    if (key === undefined || keys.has(key) || (yield* input.takeIf('=')) === null) return false;
    yield* input.skipSpace();
    scene.argue(`${keys.size === 0 ? '{' : ', '}${JSON.stringify(key)}: `);
    keys.add(key);
    if (!(yield* readLiteral(scene, kindsOf(parameters)(key)))) return false;
    yield* input.skipSpace();
    if ((yield* input.takeIf(',')) === null && (yield* input.peek()) !== ')') return false;
  }
  scene.argue(keys.size === 0 ? '{}' : '}');
  scene.called(true);
  return true;
}

/** The marks of Gemma's way. */
interface GemmaMarks {
  readonly open: string;
  readonly close: string;
  readonly quote: string;
}

function gemmaStyle(marks: GemmaMarks): CallStyle {
  const { open, close } = marks;
  return {
    syntax: { begins: [open], isBare: false, read: (scene) => readGemmaCall(scene, close) },
    bind(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
      const calls = tools.map((tool) => {
        const members = bindMembers(rules, tool, GEMMA_MEMBERS, (parameter) =>
          sequence(text(`${parameter.name}:`), gemmaValue(rules, marks.quote, tool, parameter)),
        );
        return sequence(text(`${open}call:${tool.name}{`), members, text(`}${close}`));
      });
      return listOf(choice(...calls), text(''), parallel);
    },
  };
}

/** Gemma 4: `call:f{a:…}` between marks, strings between tokens of their own. */
export const GEMMA = gemmaStyle({ open: '<|tool_call>', close: '<tool_call|>', quote: '<|"|>' });
/** FunctionGemma: the same with other marks. */
export const FUNCTION_GEMMA = gemmaStyle({
  open: '<start_function_call>',
  close: '<end_function_call>',
  quote: '<escape>',
});

/** A value by its schema; what the family has no own way for is JSON, which its reader knows too. */
function gemmaValue(
  rules: RuleSet,
  quote: string,
  tool: Tool,
  parameter: Parameter,
  depth = 0,
): Expression {
  const { schema, kinds } = parameter;
  const values = valuesOf(parameter, quote);
  if (values !== null) {
    return sequence(text(quote), choice(...values.map(text)), text(quote));
  }
  // In JSON's quotes a value can be held to all that a strict schema says of it.
  if (tool.strict) return jsonOf(parameter, tool, rules);
  if (isText(kinds)) return sequence(text(quote), until(quote));
  if (kinds?.size !== 1 || !isSchema(schema) || depth > MAX_DEPTH)
    return jsonOf(parameter, tool, rules);
  if (kinds.has('object')) {
    const inner = { ...tool, parameters: schema };
    if (parametersOf(inner).length === 0) return gemmaObject(rules, quote);
    const members = bindMembers(rules, inner, GEMMA_MEMBERS, (member) =>
      sequence(text(`${member.name}:`), gemmaValue(rules, quote, inner, member, depth + 1)),
    );
    return sequence(text('{'), members, text('}'));
  }
  return kinds.has('array') && schema.items === undefined
    ? gemmaArray(rules, quote)
    : jsonOf(parameter, tool, rules);
}

const isSchema = (schema: unknown): schema is Readonly<Record<string, unknown>> =>
  typeof schema === 'object' && schema !== null;

const LETTERS: Expression = {
  kind: 'class',
  ranges: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5f, 0x5f],
    [0x61, 0x7a],
  ],
};

const gemmaList = (open: string, part: Expression, close: string): Expression =>
  sequence(text(open), optional(sequence(part, repeat(sequence(text(','), part), 0))), text(close));

const gemmaObject = (rules: RuleSet, quote: string): Expression =>
  rules.shared('gemma-object', () =>
    gemmaList('{', sequence(repeat(LETTERS, 1, 64), text(':'), gemmaAny(rules, quote)), '}'),
  );

const gemmaArray = (rules: RuleSet, quote: string): Expression =>
  rules.shared('gemma-array', () => gemmaList('[', gemmaAny(rules, quote), ']'));

const gemmaAny = (rules: RuleSet, quote: string): Expression =>
  rules.shared('gemma-value', () =>
    choice(
      sequence(text(quote), until(quote)),
      looseSchema({ type: 'number' }, rules),
      ...['true', 'false', 'null'].map(text),
      gemmaObject(rules, quote),
      gemmaArray(rules, quote),
    ),
  );

function* readGemmaCall(scene: Scene, close: string): Reading<boolean> {
  const { input } = scene;
  yield* input.skipSpace();
  if ((yield* input.takeIf('call:')) === null) return false;
  const name = (yield* input.before(['{', '<'], MAX_NAME))?.trim();
  const tool = name === undefined ? undefined : scene.tools.get(name);
  if (tool === undefined || input.next !== '{' || !scene.call(tool.name)) return false;
  if (!(yield* readMembers(scene, kindsOf(parametersOf(tool))))) return false;
  scene.called(true);
  yield* input.skipSpace();
  yield* input.takeIf(close);
  return true;
}
