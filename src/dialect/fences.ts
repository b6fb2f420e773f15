/**
 * Calls in blocks of code: models that are told to answer with nothing but JSON nearly always write it so.
 * A block is a call only where it is nothing else and names a tool; any other is content. Pure but for the
 * reader's state; it must never say a call before its block has ended.
 */
import {
  choice,
  type Expression,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
} from '../grammar/expression.js';
import { type CallStyle, GAP, MAX_CALLS, SPACE } from './binding.js';
import type { Tool } from './dialect.js';
import { isSpace, type Reading } from './input.js';
import { COMMA, objectCall, objectCallAfterName, PLAIN_KEYS } from './json-call-grammar.js';
import { jsonCalls } from './json-calls.js';
import { bindPythonCalls, readPythonCall } from './python-calls.js';
import type { Scene } from './scene.js';

const END = '```';
const CODE = '```tool_code\n';
const JSON_OPENS = ['```json\n', '```tool_call\n', '```\n'];
/** What a call in a block begins with, up to the end of its first key: how models lay it out. */
const OBJECT_HEADS = ['{"name"', '{ "name"', '{\n  "name"', '{\n    "name"', '{\n\t"name"'];
const ARRAY_HEADS = [
  ...['[{"name"', '[\n  {"name"', '[\n  {\n    "name"', '[\n    {\n        "name"'],
];
const keysOf = (heads: readonly string[]): readonly string[] =>
  JSON_OPENS.flatMap((open) => heads.map((head) => open + head));
const OBJECT_KEYS = keysOf(OBJECT_HEADS);
const ARRAY_KEYS = keysOf(ARRAY_HEADS);

const reader = jsonCalls({
  ...{ begins: [], items: [], ends: [], header: null, isMap: false, isBare: false },
});

/** The style with calls in blocks of code beside its own; `hasCode`: also such as Python writes. */
export function withFences(style: CallStyle, hasCode = false): CallStyle {
  const { syntax } = style;
  const keys = [...OBJECT_KEYS, ...ARRAY_KEYS];
  const blocks = hasCode ? [CODE, ...keys] : keys;
  return {
    ...style,
    syntax: {
      ...syntax,
      blocks,
      *read(scene, begin): Reading<boolean> {
        if (!blocks.includes(begin)) return yield* syntax.read(scene, begin);
        return yield* scene.attempt(begin === CODE ? readCode(scene) : readJson(scene));
      },
    },
    bindBlocks(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
      const json = bindJson(rules, tools, parallel);
      return hasCode ? choice(json, bindCode(rules, tools, parallel)) : json;
    },
  };
}

function* readJson(scene: Scene): Reading<boolean> {
  return (yield* reader.read(scene, END)) && (yield* readEnd(scene));
}

function* readCode(scene: Scene): Reading<boolean> {
  const { input } = scene;
  const isList = (yield* input.takeIf('[')) !== null;
  do {
    yield* input.skipSpace();
    if (!(yield* readPythonCall(scene))) return false;
    yield* input.skipSpace();
    if ((yield* input.takeIf(',', ';')) !== null) yield* input.skipSpace();
    if (isList && (yield* input.takeIf(']')) !== null) break;
    const next = yield* input.peek();
    if (next === '`' || next === '') break;
  } while (true);
  return yield* readEnd(scene);
}

/** The end of a block: of a line with nothing else, or of the answer. */
function* readEnd(scene: Scene): Reading<boolean> {
  const { input } = scene;
  yield* input.skipSpace();
  if ((yield* input.takeIf(END)) === null) return false;
  const next = yield* input.peek();
  return next === '' || isSpace(next);
}

function bindJson(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
  const firsts = tools.map((tool) => objectCallAfterName(tool, rules));
  const first = rules.add('block-call', () => choice(...firsts));
  const calls = tools.map((tool) => objectCall(tool, rules, PLAIN_KEYS));
  const call = rules.add('block-call', () => choice(...calls));
  const after = (between: Expression): Expression =>
    repeat(sequence(between, call), 0, parallel ? MAX_CALLS - 1 : 0);
  const list = sequence(choice(...ARRAY_KEYS.map(text)), first, after(COMMA), GAP, text(']'));
  const objects = sequence(choice(...OBJECT_KEYS.map(text)), first, after(choice(COMMA, SPACE)));
  return sequence(choice(objects, list), SPACE, text(END));
}

function bindCode(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
  const between = sequence(optional(choice(text(','), text(';'))), SPACE);
  const calls = bindPythonCalls(rules, tools, { parallel, between });
  const list = choice(calls, sequence(text('['), calls, text(']')));
  return sequence(text(CODE), list, SPACE, text(END));
}
