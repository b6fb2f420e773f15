/**
 * Calls as Python writes them, `f(a="x")`: their reader and their grammar. Pure but for the reader's
 * state; it must never know what stands around the calls.
 */
import { choice, type Expression, type RuleSet, sequence, text } from '../grammar/expression.js';
import { GAP, listOf } from './binding.js';
import type { Tool } from './dialect.js';
import type { Reading } from './input.js';
import { literalOf, PYTHON_NOTATION } from './literal-grammar.js';
import { readLiteral } from './literals.js';
import { anyOrderOf, type Member, membersOf, separated } from './members.js';
import { writable } from './parameter-grammar.js';
import { kindsIn, MAX_NAME, parametersOf } from './parameters.js';
import type { Scene } from './scene.js';

/** One call or several, without a list around them. Codes: schema_unsupported for a strict tool. */
export function bindPythonCalls(
  rules: RuleSet,
  tools: readonly Tool[],
  { parallel, between }: { readonly parallel: boolean; readonly between: Expression },
): Expression {
  const call = rules.shared('python-call', () => pythonCall(rules, tools));
  return listOf(call, between, parallel);
}

function pythonCall(rules: RuleSet, tools: readonly Tool[]): Expression {
  const layout = separated(sequence(text(','), GAP));
  const calls = tools.map((tool) => {
    const members = writable(tool, ['=', ',', ')', '(', ' ', '\n']).map((parameter): Member => {
      const { name, isRequired } = parameter;
      const written = rules.add(`parameter-${tool.name}`, () =>
        sequence(text(`${name}=`), literalOf(rules, PYTHON_NOTATION, tool, parameter)),
      );
      return { name, isRequired, written };
    });
    const inside = membersOf(rules, members, layout, anyOrderOf(tools.length));
    return sequence(text(`${tool.name}(`), GAP, inside, GAP, text(')'));
  });
  return choice(...calls);
}

/** What stands between calls in a list. */
export const PYTHON_COMMA = sequence(text(','), GAP);

/** Calls in a list. */
export function bindPythonList(
  rules: RuleSet,
  tools: readonly Tool[],
  parallel: boolean,
): Expression {
  const calls = bindPythonCalls(rules, tools, { parallel, between: PYTHON_COMMA });
  return sequence(text('['), GAP, calls, GAP, text(']'));
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

export function* readPythonCall(scene: Scene): Reading<boolean> {
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
    if (!(yield* readLiteral(scene, kindsIn(parameters)(key)))) return false;
    yield* input.skipSpace();
    if ((yield* input.takeIf(',')) === null && (yield* input.peek()) !== ')') return false;
  }
  scene.argue(keys.size === 0 ? '{}' : '}');
  scene.called(true);
  return true;
}
