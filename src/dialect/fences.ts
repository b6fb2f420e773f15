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
  sequence,
  text,
} from '../grammar/expression.js';
import { type CallStyle, listOf, SPACE } from './binding.js';
import type { Tool } from './dialect.js';
import { isSpace, type Reading } from './input.js';
import { COMMA, callArray } from './json-call-grammar.js';
import { jsonCalls } from './json-calls.js';
import { bindPythonCalls, readPythonCall } from './python-calls.js';
import type { Scene } from './scene.js';

const END = '```';
const CODE = '```tool_code\n';
const JSON_OPENS = ['```json\n', '```tool_call\n', '```\n'];
/** Texts after which there may be a call; each is read from its bracket on. */
const BRACKETS = JSON_OPENS.flatMap((open) => [`${open}{`, `${open}[`]);

const reader = jsonCalls({
  ...{ begins: [], items: [], ends: [], header: null, isMap: false, isBare: true },
});

/** A style with calls that are JSON objects. */
interface ObjectStyle extends CallStyle {
  /** One call, without marks. */
  call(rules: RuleSet, tools: readonly Tool[]): Expression;
}

/** The style with calls in blocks of code beside its own; `hasCode`: also such as Python writes. */
export function withFences(style: ObjectStyle, hasCode = false): CallStyle {
  const { syntax } = style;
  const blocks = hasCode ? [CODE, ...BRACKETS] : BRACKETS;
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
      const call = style.call(rules, tools);
      const calls = listOf(call, choice(COMMA, SPACE), parallel);
      const opens = choice(...JSON_OPENS.map(text));
      const json = sequence(opens, choice(calls, callArray(call, parallel)), SPACE, text(END));
      return hasCode ? choice(json, bindCode(rules, tools, parallel)) : json;
    },
  };
}

function* readJson(scene: Scene): Reading<boolean> {
  return (yield* reader.read(scene, '')) && (yield* readEnd(scene));
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

function bindCode(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
  const between = sequence(optional(choice(text(','), text(';'))), SPACE);
  const calls = bindPythonCalls(rules, tools, { parallel, between });
  const list = choice(calls, sequence(text('['), calls, text(']')));
  return sequence(text(CODE), list, SPACE, text(END));
}
