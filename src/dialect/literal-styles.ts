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
import { type CallStyle, GAP, listOf, SPACE } from './binding.js';
import type { Tool } from './dialect.js';
import { withFences } from './fences.js';
import type { Reading } from './input.js';
import { LLAMA_JSON, PYTHON_TAG } from './json-styles.js';
import { literalOf, type Notation } from './literal-grammar.js';
import { readMembers } from './literals.js';
import { anyOrderOf, type Member, membersOf, separated } from './members.js';
import { writable } from './parameter-grammar.js';
import { kindsIn, MAX_NAME, parametersOf } from './parameters.js';
import { bindPythonCalls, bindPythonList, PYTHON_COMMA, readPythonCalls } from './python-calls.js';
import type { Scene } from './scene.js';

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
    const calls = bindPythonList(rules, tools, parallel);
    return sequence(text(PYTHON_OPEN), SPACE, calls, SPACE, text(PYTHON_CLOSE));
  },
};

/** Llama 3: a bare object, or after a mark an object or Python calls. */
export const LLAMA: CallStyle = withFences({
  call: LLAMA_JSON.call,
  syntax: {
    ...LLAMA_JSON.syntax,
    *read(scene, begin): Reading<boolean> {
      if (begin === PYTHON_TAG) yield* scene.input.skipSpace();
      const char = begin === PYTHON_TAG ? yield* scene.input.peek() : '{';
      if (char === '{' || char === '[') return yield* LLAMA_JSON.syntax.read(scene, begin);
      return yield* readPythonCalls(scene, '');
    },
  },
  bind: (rules, tools, parallel) =>
    choice(LLAMA_JSON.bind(rules, tools, parallel), bindTagged(rules, tools, parallel)),
  bindMarked: bindTagged,
});

function bindTagged(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
  return rules.shared('tagged-calls', () => {
    const between = choice(PYTHON_COMMA, sequence(text(';'), GAP));
    const python = bindPythonCalls(rules, tools, { parallel, between });
    const json = LLAMA_JSON.bind(rules, tools, parallel);
    return sequence(text(PYTHON_TAG), SPACE, choice(json, python));
  });
}

/** The marks of Gemma's way. */
interface GemmaMarks {
  readonly name: string;
  readonly open: string;
  readonly close: string;
  readonly quote: string;
}

const KEY_ENDS = [':', ',', '{', '}', ' ', '\n'];
/** A key that needs no quotes. */
const KEY: Expression = repeat(
  {
    kind: 'class',
    ranges: [
      [0x2d, 0x2d],
      [0x30, 0x39],
      [0x41, 0x5a],
      [0x5f, 0x5f],
      [0x61, 0x7a],
    ],
  },
  1,
  64,
);

function notationOf({ name, quote }: GemmaMarks): Notation {
  const colon = sequence(text(':'), optional(text(' ')));
  return {
    name,
    string: sequence(text(quote), until(quote)),
    quoted: (value) => (value.includes(quote) ? null : text(quote + value + quote)),
    key: (key) => sequence(text(key), colon),
    anyKey: sequence(choice(KEY, sequence(text(quote), KEY, text(quote))), colon),
    keyEnds: KEY_ENDS,
    isSorted: true,
  };
}

function gemmaStyle(marks: GemmaMarks): CallStyle {
  const { open, close } = marks;
  const notation = notationOf(marks);
  const layout = separated(sequence(text(','), GAP), true);
  return {
    syntax: { begins: [open], isBare: false, read: (scene) => readGemmaCall(scene, close) },
    bind(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
      const calls = tools.map((tool) => {
        const members = writable(tool, KEY_ENDS).map((parameter): Member => {
          const { name, isRequired } = parameter;
          const written = rules.add(`parameter-${tool.name}`, () =>
            sequence(notation.key(name), literalOf(rules, notation, tool, parameter)),
          );
          return { name, isRequired, written };
        });
        const inside = membersOf(rules, members, layout, anyOrderOf(tools.length));
        return sequence(text(`call:${tool.name}{`), GAP, inside, GAP, text('}'));
      });
      const call = sequence(text(open), SPACE, choice(...calls), SPACE, text(close));
      return listOf(call, SPACE, parallel);
    },
  };
}

/** Gemma 4: `call:f{a:…}` between marks, strings between tokens of their own. */
export const GEMMA = gemmaStyle({
  ...{ name: 'gemma', quote: '<|"|>' },
  ...{ open: '<|tool_call>', close: '<tool_call|>' },
});
/** FunctionGemma: the same with other marks. */
export const FUNCTION_GEMMA = gemmaStyle({
  ...{ name: 'function-gemma', quote: '<escape>' },
  ...{ open: '<start_function_call>', close: '<end_function_call>' },
});

function* readGemmaCall(scene: Scene, close: string): Reading<boolean> {
  const { input } = scene;
  yield* input.skipSpace();
  if ((yield* input.takeIf('call:')) === null) return false;
  const name = (yield* input.before(['{', '<'], MAX_NAME))?.trim();
  const tool = name === undefined ? undefined : scene.tools.get(name);
  if (tool === undefined || input.next !== '{' || !scene.call(tool.name)) return false;
  if (!(yield* readMembers(scene, kindsIn(parametersOf(tool))))) return false;
  scene.called(true);
  yield* input.skipSpace();
  yield* input.takeIf(close);
  return true;
}
