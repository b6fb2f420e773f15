/**
 * The call styles whose arguments are Python's or like it: `f(a="x")` and `call:f{a:…}`, their readers
 * and their grammar. Pure but for the readers' state; it must never hold more of a template than its
 * marks.
 */
import {
  choice,
  type Expression,
  type RuleSet,
  sequence,
  text,
  until,
} from '../grammar/expression.js';
import { type CallStyle, listOf } from './binding.js';
import type { Tool } from './dialect.js';
import type { Reading } from './input.js';
import { type Kinds, readLiteral, readMembers } from './literals.js';
import { isText, type Parameter, parametersOf } from './parameters.js';
import type { Scene } from './scene.js';
import { jsonOf, valuesOf } from './tagged-styles.js';

const MAX_NAME = 100;

const kindsOf =
  (parameters: readonly Parameter[]) =>
  (key: string): Kinds =>
    parameters.find(({ name }) => name === key)?.kinds ?? null;

/** Parameters one after the other, those that need not be there left out at will. */
function bindMembers(
  rules: RuleSet,
  tool: Tool,
  between: string,
  bind: (parameter: Parameter) => Expression,
): Expression {
  let bare: Expression = text('');
  let begun: Expression = text('');
  for (const parameter of parametersOf(tool).toReversed()) {
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
      const members = bindMembers(rules, tool, ', ', (parameter) =>
        sequence(text(`${parameter.name}=`), pythonValue(rules, tool, parameter)),
      );
      return sequence(text(`${tool.name}(`), members, text(')'));
    });
    const list = listOf(choice(...calls), ', ', parallel);
    return sequence(text(`${PYTHON_OPEN}[`), list, text(`]${PYTHON_CLOSE}`));
  },
};

function pythonValue(rules: RuleSet, tool: Tool, parameter: Parameter): Expression {
  const { kinds, schema } = parameter;
  const isWord = kinds?.size === 1 && kinds.has('boolean');
  const isFree = typeof schema === 'object' && schema !== null && !('const' in schema);
  if (isWord && isFree && !('enum' in schema)) return choice(text('True'), text('False'));
  return jsonOf(parameter, tool, rules);
}

/** Reads Python calls, in a list or not, up to `close`, which may be missing. */
export function* readPythonCalls(scene: Scene, close: string): Reading<boolean> {
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

const GEMMA_OPEN = '<|tool_call>';
const GEMMA_CLOSE = '<tool_call|>';
const GEMMA_QUOTE = '<|"|>';

/** Gemma 4: `call:f{a:…}` between marks, strings between tokens of their own. */
export const GEMMA: CallStyle = {
  syntax: { begins: [GEMMA_OPEN], isBare: false, read: readGemmaCall },
  bind(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
    const calls = tools.map((tool) => {
      const members = bindMembers(rules, tool, ',', (parameter) =>
        sequence(text(`${parameter.name}:`), gemmaValue(rules, tool, parameter)),
      );
      return sequence(text(`${GEMMA_OPEN}call:${tool.name}{`), members, text(`}${GEMMA_CLOSE}`));
    });
    return listOf(choice(...calls), '', parallel);
  },
};

function gemmaValue(rules: RuleSet, tool: Tool, parameter: Parameter): Expression {
  if (!isText(parameter.kinds)) return jsonOf(parameter, tool, rules);
  const values = valuesOf(parameter, GEMMA_QUOTE);
  if (values !== null) {
    return sequence(text(GEMMA_QUOTE), choice(...values.map(text)), text(GEMMA_QUOTE));
  }
  // In JSON's quotes a text can be held to what a strict schema says of it.
  if (tool.strict) return jsonOf(parameter, tool, rules);
  return sequence(text(GEMMA_QUOTE), until(GEMMA_QUOTE));
}

function* readGemmaCall(scene: Scene): Reading<boolean> {
  const { input } = scene;
  yield* input.skipSpace();
  if ((yield* input.takeIf('call:')) === null) return false;
  const name = (yield* input.before(['{', '<'], MAX_NAME))?.trim();
  const tool = name === undefined ? undefined : scene.tools.get(name);
  if (tool === undefined || input.next !== '{' || !scene.call(tool.name)) return false;
  if (!(yield* readMembers(scene, kindsOf(parametersOf(tool))))) return false;
  scene.called(true);
  yield* input.skipSpace();
  yield* input.takeIf(GEMMA_CLOSE);
  return true;
}
