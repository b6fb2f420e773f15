/**
 * The call styles whose arguments are JSON, as data: marks for reading, pieces for writing. Pure, any
 * thread; it must never hold more of a template than its marks.
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
import { argumentsOf, type CallStyle, GAP, listOf, SPACE } from './binding.js';
import type { Tool } from './dialect.js';
import { withFences } from './fences.js';
import {
  type CallKeys,
  COMMA,
  callArray,
  keyOf,
  objectCall,
  PLAIN_KEYS,
} from './json-call-grammar.js';
import { type JsonMarks, jsonCalls } from './json-calls.js';

/** How calls with JSON arguments are written. */
interface JsonWriting {
  /** A call. */
  call(tool: Tool, rules: RuleSet): Expression;
  /** All calls: how they stand together. */
  all(call: Expression, parallel: boolean): Expression;
}

/** A style and the grammar of one call in it. */
interface JsonStyle extends CallStyle {
  call(rules: RuleSet, tools: readonly Tool[]): Expression;
}

/** A style by what it reads and what it writes. */
function jsonStyle(marks: Partial<JsonMarks>, writing: JsonWriting): JsonStyle {
  const none = { begins: [], items: [], ends: [], header: null, isMap: false, isBare: false };
  const call = (rules: RuleSet, tools: readonly Tool[]): Expression =>
    rules.shared(`call ${marks.begins?.[0] ?? ''}`, () =>
      choice(...tools.map((tool) => writing.call(tool, rules))),
    );
  return {
    syntax: jsonCalls({ ...none, ...marks }),
    call,
    bind: (rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression =>
      writing.all(call(rules, tools), parallel),
  };
}

/** Parts with white space between them, as models put it there or not. */
function spaced(...parts: readonly (string | Expression)[]): Expression {
  const all = parts.flatMap((part) => [SPACE, typeof part === 'string' ? text(part) : part]);
  return sequence(...all.slice(1));
}

const objects =
  (keys: CallKeys = PLAIN_KEYS) =>
  (tool: Tool, rules: RuleSet): Expression =>
    objectCall(tool, rules, keys);

/** A name, a mark and arguments. */
const headed =
  (before: (name: string) => Expression) =>
  (tool: Tool, rules: RuleSet): Expression =>
    spaced(before(tool.name), argumentsOf(tool, rules));

/** Calls one after the other. */
const inList = (call: Expression, parallel: boolean): Expression => listOf(call, SPACE, parallel);

/** An array of objects between marks, or a lone object. */
function arrayStyle(begin: string, end: string): CallStyle {
  return jsonStyle(
    { begins: [begin], ends: end === '' ? [] : [end] },
    {
      call: objects(),
      all: (call, parallel) => spaced(begin, choice(callArray(call, parallel), call), end),
    },
  );
}

/** Hermes, Qwen and many more: an object between tags, for each call. */
export const HERMES = withFences(
  jsonStyle(
    { begins: ['<tool_call>'], items: ['<tool_call>'], ends: ['</tool_call>'] },
    {
      call: objects(),
      all: (call, parallel) => inList(spaced('<tool_call>', call, '</tool_call>'), parallel),
    },
  ),
);

/** Objects of a kind of their own in an answer that is nothing else. */
const BARE_KEYS: CallKeys = {
  ...PLAIN_KEYS,
  before: sequence(keyOf('type'), text('"function"')),
};
const SEPARATOR = sequence(SPACE, optional(choice(text(','), text(';'))), SPACE);
const bare: JsonWriting = {
  call(tool: Tool, rules: RuleSet): Expression {
    const call = rules.add(`call-${tool.name}`, () => objectCall(tool, rules, BARE_KEYS));
    const inside = sequence(keyOf('function'), call);
    const before = sequence(keyOf('type'), text('"function"'), COMMA);
    return choice(call, sequence(text('{'), GAP, optional(before), inside, GAP, text('}')));
  },
  all: (call, parallel) => choice(listOf(call, SEPARATOR, parallel), callArray(call, parallel)),
};

/** The whole answer is a call, or a list of calls. */
export const PLAIN = withFences(jsonStyle({ isBare: true }, bare), true);

/** Stands before what Llama 3 wants to run. */
export const PYTHON_TAG = '<|python_tag|>';
/** Llama 3: a bare object, or one after a mark. */
export const LLAMA_JSON = jsonStyle(
  { begins: [PYTHON_TAG], items: [PYTHON_TAG], isBare: true },
  bare,
);

const ALPHANUMERIC: Expression = {
  kind: 'class',
  ranges: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
};
const DIGITS = repeat({ kind: 'class', ranges: [[0x30, 0x39]] }, 1, 3);

/** Mistral up to Nemo: an array after a mark. Newer ones write a name; both are read. */
const MISTRAL_MARKS = {
  begins: ['[TOOL_CALLS]'],
  items: ['[TOOL_CALLS]'],
  header: /^\s*(?<name>[\w.-]+)\s*(?:\[CALL_ID\](?<id>\w+))?\s*(?:\[ARGS\])?\s*$/,
};
const CALL_ID = repeat(ALPHANUMERIC, 9, 9);
export const MISTRAL_ARRAY = jsonStyle(MISTRAL_MARKS, {
  call: objects({ ...PLAIN_KEYS, after: sequence(keyOf('id'), text('"'), CALL_ID, text('"')) }),
  all: (call, parallel) => spaced('[TOOL_CALLS]', callArray(call, parallel)),
});
export const MISTRAL = jsonStyle(MISTRAL_MARKS, {
  call: headed((name) =>
    spaced(
      '[TOOL_CALLS]',
      sequence(text(name), optional(sequence(text('[CALL_ID]'), CALL_ID))),
      '[ARGS]',
    ),
  ),
  all: inList,
});

/** Kimi K2: an id with the name in it, then arguments, in a section. */
export const KIMI = jsonStyle(
  {
    begins: ['<|tool_calls_section_begin|>', '<|tool_call_begin|>'],
    items: ['<|tool_call_begin|>'],
    ends: ['<|tool_call_end|>', '<|tool_calls_section_end|>'],
    header:
      /^\s*(?<id>(?:functions\.)?(?<name>[\w.-]+?)(?::\d+)?)\s*<\|tool_call_argument_begin\|>\s*$/,
  },
  {
    call: headed((name) =>
      spaced(
        '<|tool_call_begin|>',
        sequence(text(`functions.${name}:`), DIGITS),
        '<|tool_call_argument_begin|>',
      ),
    ),
    all(call, parallel) {
      const calls = inList(spaced(call, '<|tool_call_end|>'), parallel);
      return spaced('<|tool_calls_section_begin|>', calls, '<|tool_calls_section_end|>');
    },
  },
);

const DEEPSEEK_MARKS = {
  begins: ['<｜tool▁calls▁begin｜>', '<｜tool▁call▁begin｜>'],
  items: ['<｜tool▁call▁begin｜>'],
  ends: ['```', '<｜tool▁call▁end｜>', '<｜tool▁calls▁end｜>'],
  header:
    /^\s*(?:function<｜tool▁sep｜>)?(?<name>[\w.-]+)\s*(?:<｜tool▁sep｜>)?\s*(?:```(?:json)?)?\s*$/,
};
const inSection = (call: Expression, parallel: boolean): Expression =>
  spaced('<｜tool▁calls▁begin｜>', inList(call, parallel), '<｜tool▁calls▁end｜>');
/** DeepSeek V3 and R1: a name, then a block of code. */
export const DEEPSEEK_R1 = jsonStyle(DEEPSEEK_MARKS, {
  call(tool, rules) {
    const name = text(`function<｜tool▁sep｜>${tool.name}`);
    const given = spaced('```json', argumentsOf(tool, rules), '```');
    return spaced('<｜tool▁call▁begin｜>', name, given, '<｜tool▁call▁end｜>');
  },
  all: inSection,
});
/** DeepSeek V3.1: a name, then arguments. */
export const DEEPSEEK_V31 = jsonStyle(DEEPSEEK_MARKS, {
  call(tool, rules) {
    const name = text(`${tool.name}<｜tool▁sep｜>`);
    return spaced('<｜tool▁call▁begin｜>', name, argumentsOf(tool, rules), '<｜tool▁call▁end｜>');
  },
  all: inSection,
});

/** Functionary 3.1: a tag with the name, arguments inside. */
export const FUNCTION_TAG = jsonStyle(
  {
    begins: ['<function='],
    items: ['<function='],
    ends: ['</function>'],
    header: /^\s*(?<name>[\w.-]+)\s*>\s*$/,
  },
  {
    call: headed((name) => text(`<function=${name}>`)),
    all: (call, parallel) => inList(spaced(call, '</function>'), parallel),
  },
);

/** Command R7B and its successors: an array of actions. */
export const COMMAND_ACTION = jsonStyle(
  { begins: ['<|START_ACTION|>'], ends: ['<|END_ACTION|>'] },
  {
    call: objects({
      ...{ name: 'tool_name', arguments: ['parameters'] },
      before: sequence(keyOf('tool_call_id'), text('"'), DIGITS, text('"')),
    }),
    all: (call, parallel) =>
      spaced('<|START_ACTION|>', callArray(call, parallel), '<|END_ACTION|>'),
  },
);
/** Command R+: an array in a block of code. */
export const COMMAND_PLUS = jsonStyle(
  { begins: ['Action:\n```json', 'Action: ```json'], ends: ['```'] },
  {
    call: objects({ name: 'tool_name', arguments: ['parameters'] }),
    all: (call, parallel) => spaced('Action:\n```json', callArray(call, parallel), '```'),
  },
);

/** Granite 3: an array after a mark. */
export const GRANITE = arrayStyle('<|tool_call|>', '');
/** Phi-4 mini: an array between marks. */
export const PHI = arrayStyle('<|tool_call|>', '<|/tool_call|>');
/** Nemotron Nano 2: an array between tags. */
export const TOOLCALL = arrayStyle('<TOOLCALL>', '</TOOLCALL>');
/** Apriel: an array between tags. */
export const TOOL_CALLS = arrayStyle('<tool_calls>', '</tool_calls>');
/** Firefunction: an array after a word. */
export const FUNCTOOLS = jsonStyle(
  { begins: ['functools['] },
  {
    call: objects(),
    all: (call, parallel) => sequence(text('functools'), callArray(call, parallel)),
  },
);

/** MiniMax M1: objects, one a line, between tags. */
export const TOOL_CALLS_LINES = jsonStyle(
  { begins: ['<tool_calls>'], ends: ['</tool_calls>'] },
  {
    call: objects(),
    all: (call, parallel) => spaced('<tool_calls>', inList(call, parallel), '</tool_calls>'),
  },
);

/** Apertus: an array of objects whose only key is the name. */
export const APERTUS = jsonStyle(
  { begins: ['<|tools_prefix|>'], ends: ['<|tools_suffix|>'], isMap: true },
  {
    call: (tool, rules) =>
      sequence(text('{'), GAP, keyOf(tool.name), argumentsOf(tool, rules), GAP, text('}')),
    all: (call, parallel) =>
      spaced('<|tools_prefix|>', callArray(call, parallel), '<|tools_suffix|>'),
  },
);

/** Solar Open: an id, a name and arguments, each after its mark. */
export const SOLAR = jsonStyle(
  {
    begins: ['<|begin|>assistant<|tool_calls|>', '<|tool_calls|>', '<|tool_call:begin|>'],
    items: ['<|tool_call:begin|>'],
    ends: ['<|tool_call:end|>'],
    header: /^(?<id>[\w.:-]*)<\|tool_call:name\|>\s*(?<name>[\w.-]+)\s*<\|tool_call:args\|>\s*$/,
  },
  {
    call(tool, rules) {
      const id = sequence(text('<|tool_call:begin|>'), repeat(ALPHANUMERIC, 1, 12));
      const name = sequence(id, text(`<|tool_call:name|>${tool.name}<|tool_call:args|>`));
      return spaced(name, argumentsOf(tool, rules), '<|tool_call:end|>');
    },
    all: (call, parallel) =>
      spaced(
        sequence(optional(text('<|begin|>assistant')), text('<|tool_calls|>')),
        inList(call, parallel),
      ),
  },
);

/** GigaChat: an object after a mark, one in an answer whatever is asked. */
export const GIGACHAT = jsonStyle(
  { begins: ['<|function_call|>'], items: ['<|function_call|>'] },
  { call: objects(), all: (call) => spaced('<|function_call|>', call) },
);
