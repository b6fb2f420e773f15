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
import { argumentsOf, type CallStyle, listOf } from './binding.js';
import type { Tool } from './dialect.js';
import { type JsonMarks, jsonCalls } from './json-calls.js';

/** How calls with JSON arguments are written. */
interface JsonWriting {
  /** Before the first call. */
  readonly open: string | Expression;
  /** From a call's beginning to its arguments. */
  before(name: string): Expression;
  /** From the arguments to the call's end. */
  readonly after: string | Expression;
  readonly between: string | Expression;
  /** After the last call. */
  readonly close: string;
  /** The family writes one call in an answer, whatever is asked. */
  readonly isSingle?: boolean;
}

const asExpression = (part: string | Expression): Expression =>
  typeof part === 'string' ? text(part) : part;

/** A style by what it reads and what it writes. */
function jsonStyle(marks: Partial<JsonMarks>, writing: JsonWriting): CallStyle {
  const none = { begins: [], items: [], ends: [], header: null, isMap: false, isBare: false };
  return {
    syntax: jsonCalls({ ...none, ...marks }),
    bind(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
      const calls = tools.map((tool) =>
        sequence(writing.before(tool.name), argumentsOf(tool, rules), asExpression(writing.after)),
      );
      const isList = parallel && writing.isSingle !== true;
      const list = listOf(choice(...calls), asExpression(writing.between), isList);
      return sequence(asExpression(writing.open), list, text(writing.close));
    },
  };
}

/** `{"name": "f", "arguments": …`, with marks before and other keys. */
const named =
  (mark = '', nameKey = 'name', argumentsKey = 'arguments') =>
  (name: string): Expression =>
    text(`${mark}{"${nameKey}": "${name}", "${argumentsKey}": `);

/** An array of objects between marks. */
function arrayStyle(begin: string, end: string, ends: readonly string[] = [end]): CallStyle {
  return jsonStyle(
    { begins: [begin.trim()], ends: ends.map((mark) => mark.trim()).filter((mark) => mark !== '') },
    { open: `${begin}[`, before: named(), after: '}', between: ', ', close: `]${end}` },
  );
}

/** Hermes, Qwen and many more: an object between tags, for each call. */
export const HERMES = jsonStyle(
  { begins: ['<tool_call>'], items: ['<tool_call>'], ends: ['</tool_call>'] },
  {
    open: '',
    before: named('<tool_call>\n'),
    after: '}\n</tool_call>',
    between: optional(text('\n')),
    close: '',
  },
);

/** The whole answer is a call, or a list of calls. */
export const PLAIN = jsonStyle(
  { isBare: true },
  { open: '', before: named(), after: '}', between: '\n', close: '' },
);

/** Stands before what Llama 3 wants to run. */
export const PYTHON_TAG = '<|python_tag|>';
/** Llama 3: a bare object, or one after a mark. */
export const LLAMA_JSON = jsonStyle(
  { begins: [PYTHON_TAG], items: [PYTHON_TAG], isBare: true },
  { open: '', before: named('', 'name', 'parameters'), after: '}', between: '; ', close: '' },
);

/** Mistral up to Nemo: an array after a mark. Newer ones write a name; both are read. */
const MISTRAL_MARKS = {
  begins: ['[TOOL_CALLS]'],
  items: ['[TOOL_CALLS]'],
  header: /^\s*(?<name>[\w.-]+)\s*(?:\[CALL_ID\](?<id>\w+))?(?:\[ARGS\])?\s*$/,
};
const CALL_ID = repeat(
  {
    kind: 'class',
    ranges: [
      [0x30, 0x39],
      [0x41, 0x5a],
      [0x61, 0x7a],
    ],
  },
  9,
  9,
);
export const MISTRAL_ARRAY = jsonStyle(MISTRAL_MARKS, {
  open: '[TOOL_CALLS][',
  before: named(),
  after: sequence(optional(sequence(text(', "id": "'), CALL_ID, text('"'))), text('}')),
  between: ', ',
  close: ']',
});
export const MISTRAL = jsonStyle(MISTRAL_MARKS, {
  open: '',
  before: (name) =>
    sequence(
      text(`[TOOL_CALLS]${name}`),
      optional(sequence(text('[CALL_ID]'), CALL_ID)),
      text('[ARGS]'),
    ),
  after: '',
  between: '',
  close: '',
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
    open: '<|tool_calls_section_begin|>',
    before: (name) =>
      sequence(
        text(`<|tool_call_begin|>functions.${name}:`),
        repeat({ kind: 'class', ranges: [[0x30, 0x39]] }, 1, 3),
        text('<|tool_call_argument_begin|>'),
      ),
    after: '<|tool_call_end|>',
    between: '',
    close: '<|tool_calls_section_end|>',
  },
);

const DEEPSEEK_MARKS = {
  begins: ['<｜tool▁calls▁begin｜>', '<｜tool▁call▁begin｜>'],
  items: ['<｜tool▁call▁begin｜>'],
  ends: ['```', '<｜tool▁call▁end｜>', '<｜tool▁calls▁end｜>'],
  header:
    /^\s*(?:function<｜tool▁sep｜>)?(?<name>[\w.-]+)\s*(?:<｜tool▁sep｜>)?\s*(?:```(?:json)?)?\s*$/,
};
/** DeepSeek V3 and R1: a name, then a block of code. */
export const DEEPSEEK_R1 = jsonStyle(DEEPSEEK_MARKS, {
  open: '<｜tool▁calls▁begin｜>',
  before: (name) => text(`<｜tool▁call▁begin｜>function<｜tool▁sep｜>${name}\n\`\`\`json\n`),
  after: '\n```<｜tool▁call▁end｜>',
  between: '\n',
  close: '<｜tool▁calls▁end｜>',
});
/** DeepSeek V3.1: a name, then arguments. */
export const DEEPSEEK_V31 = jsonStyle(DEEPSEEK_MARKS, {
  open: '<｜tool▁calls▁begin｜>',
  before: (name) => text(`<｜tool▁call▁begin｜>${name}<｜tool▁sep｜>`),
  after: '<｜tool▁call▁end｜>',
  between: '',
  close: '<｜tool▁calls▁end｜>',
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
    open: '',
    before: (name) => text(`<function=${name}>`),
    after: '</function>',
    between: '',
    close: '',
  },
);

/** Command R7B and its successors: an array of actions. */
export const COMMAND_ACTION = jsonStyle(
  { begins: ['<|START_ACTION|>'], ends: ['<|END_ACTION|>'] },
  {
    open: '<|START_ACTION|>[\n    ',
    before: (name) =>
      sequence(
        text('{"tool_call_id": "'),
        repeat({ kind: 'class', ranges: [[0x30, 0x39]] }, 1, 3),
        text(`", "tool_name": "${name}", "parameters": `),
      ),
    after: '}',
    between: ',\n    ',
    close: '\n]<|END_ACTION|>',
  },
);
/** Command R+: an array in a block of code. */
export const COMMAND_PLUS = jsonStyle(
  { begins: ['Action:\n```json', 'Action: ```json'], ends: ['```'] },
  {
    open: 'Action:\n```json\n[\n    ',
    before: named('', 'tool_name', 'parameters'),
    after: '}',
    between: ',\n    ',
    close: '\n]```',
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
  { open: 'functools[', before: named(), after: '}', between: ', ', close: ']' },
);

/** MiniMax M1: objects, one a line, between tags. */
export const TOOL_CALLS_LINES = jsonStyle(
  { begins: ['<tool_calls>'], ends: ['</tool_calls>'] },
  {
    open: '<tool_calls>\n',
    before: named(),
    after: '}',
    between: '\n',
    close: '\n</tool_calls>',
  },
);

/** Apertus: an array of objects whose only key is the name. */
export const APERTUS = jsonStyle(
  { begins: ['<|tools_prefix|>'], ends: ['<|tools_suffix|>'], isMap: true },
  {
    open: '<|tools_prefix|>[',
    before: (name) => text(`{"${name}": `),
    after: '}',
    between: ', ',
    close: ']<|tools_suffix|>',
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
    open: sequence(optional(text('<|begin|>assistant')), text('<|tool_calls|>')),
    before: (name) =>
      sequence(
        text('<|tool_call:begin|>'),
        repeat(
          {
            kind: 'class',
            ranges: [
              [0x30, 0x39],
              [0x61, 0x7a],
            ],
          },
          10,
          10,
        ),
        text(`<|tool_call:name|>${name}<|tool_call:args|>`),
      ),
    after: '<|tool_call:end|>',
    between: '',
    close: '',
  },
);

/** GigaChat: an object after a mark. */
export const GIGACHAT = jsonStyle(
  { begins: ['<|function_call|>'], items: ['<|function_call|>'] },
  {
    open: '',
    before: named('<|function_call|>'),
    after: '}',
    between: '',
    close: '',
    isSingle: true,
  },
);
