/**
 * The call styles whose parameters stand between tags, as data, and their grammar. Pure, any thread;
 * it must never hold more of a template than its marks.
 */
import {
  choice,
  type Expression,
  free,
  optional,
  type RuleSet,
  repeat,
  sequence,
  text,
  until,
} from '../grammar/expression.js';
import { type CallStyle, listOf } from './binding.js';
import type { Tool } from './dialect.js';
import {
  boundedText,
  FLAG,
  isFlag,
  jsonOf,
  refuseLimits,
  valuesOf,
  writable,
} from './parameter-grammar.js';
import { isText, type Parameter } from './parameters.js';
import { type TaggedMarks, taggedCalls } from './tagged-calls.js';

/** How such calls are laid out. */
interface Layout {
  /** All calls stand in one section; else each has its own. */
  readonly isShared: boolean;
  /** What stands between elements: a line break, none, or either. */
  readonly line: Expression;
}

/** A style by its marks. */
function taggedStyle(marks: TaggedMarks, layout: Layout): CallStyle {
  const { line, isShared } = layout;
  const around = (calls: Expression): Expression =>
    marks.section === null
      ? calls
      : sequence(text(marks.section.open), line, calls, line, text(marks.section.close));
  return {
    syntax: taggedCalls(marks),
    bind(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
      const calls = choice(...tools.map((tool) => bindCall(rules, marks, layout, tool)));
      return isShared
        ? around(listOf(calls, line, parallel))
        : listOf(around(calls), line, parallel);
    },
  };
}

function bindCall(rules: RuleSet, marks: TaggedMarks, layout: Layout, tool: Tool): Expression {
  const ends = marks.keyEnds.map((end) => end.text);
  const parameters = writable(tool, ends).map((parameter) => {
    const written = rules.add(`parameter-${tool.name}`, () =>
      bindParameter(rules, marks, layout, tool, parameter),
    );
    return parameter.isRequired ? written : optional(written);
  });
  const head = `${marks.open}${tool.name}${marks.nameEnd ?? ''}`;
  return sequence(text(head), layout.line, ...parameters, text(marks.close));
}

function bindParameter(
  rules: RuleSet,
  marks: TaggedMarks,
  layout: Layout,
  tool: Tool,
  parameter: Parameter,
): Expression {
  const isBare = isText(parameter.kinds);
  const keyEnd = marks.keyEnds.find((end) => end.isText === null || end.isText === isBare);
  const pad = marks.isPadded ? '\n' : '';
  const key = text(`${marks.key}${parameter.name}${keyEnd?.text ?? ''}`);
  const value = marks.value === '' ? text(pad) : sequence(layout.line, text(marks.value + pad));
  const end = text(pad + marks.valueEnd);
  const write = (written: Expression): Expression => sequence(key, value, written, layout.line);
  if (isFlag(parameter)) return write(sequence(FLAG, end));
  if (!isBare) return write(sequence(jsonOf(parameter, tool, rules), end));
  const values = valuesOf(parameter, marks.valueEnd);
  if (values !== null) return write(sequence(choice(...values.map(text)), end));
  const bounded = boundedText(parameter);
  if (bounded !== null) return write(sequence(bounded, end));
  if (tool.strict) refuseLimits(parameter);
  const { quotes } = marks;
  if (quotes === null) return write(until(marks.valueEnd));
  const quoted = sequence(text(quotes.open), until(quotes.close + marks.valueEnd));
  return write(choice(sequence(free('<'), end), quoted));
}

const TAG_END = [{ text: '>', isText: null }];
const QUOTED_END = [{ text: '">', isText: null }];
/** Templates differ in where they break lines; readers take either. */
const LOOSE: Layout = { isShared: false, line: repeat(text('\n'), 0, 2) };
const SHARED: Layout = { ...LOOSE, isShared: true };

/** Qwen3-Coder, Qwen3.5, Nemotron 3, Step 3.5: values on lines of their own. */
export const QWEN_CODER = taggedStyle(
  {
    section: { open: '<tool_call>', close: '</tool_call>' },
    open: '<function=',
    nameEnd: '>',
    close: '</function>',
    key: '<parameter=',
    keyEnds: TAG_END,
    value: '',
    valueEnd: '</parameter>',
    quotes: null,
    isPadded: true,
  },
  LOOSE,
);

/** Seed-OSS: the same with other tags around, and values within their line. */
export const SEED = taggedStyle(
  {
    section: { open: '<seed:tool_call>', close: '</seed:tool_call>' },
    open: '<function=',
    nameEnd: '>',
    close: '</function>',
    key: '<parameter=',
    keyEnds: TAG_END,
    value: '',
    valueEnd: '</parameter>',
    quotes: null,
    isPadded: false,
  },
  LOOSE,
);

const GLM_MARKS: TaggedMarks = {
  section: null,
  open: '<tool_call>',
  nameEnd: null,
  close: '</tool_call>',
  key: '<arg_key>',
  keyEnds: [{ text: '</arg_key>', isText: null }],
  value: '<arg_value>',
  valueEnd: '</arg_value>',
  quotes: null,
  isPadded: false,
};
/** GLM 4.5 to 4.7, Spark, Laguna, Ling: names and values each between tags. */
export const GLM = taggedStyle(GLM_MARKS, LOOSE);
/** Hy3: as GLM, all calls in one section, each tag with a suffix. */
export const HUNYUAN = taggedStyle(
  {
    ...GLM_MARKS,
    section: { open: '<tool_calls:opensource>', close: '</tool_calls:opensource>' },
    open: '<tool_call:opensource>',
    nameEnd: '<tool_sep:opensource>',
    close: '</tool_call:opensource>',
    key: '<arg_key:opensource>',
    keyEnds: [{ text: '</arg_key:opensource>', isText: null }],
    value: '<arg_value:opensource>',
    valueEnd: '</arg_value:opensource>',
  },
  SHARED,
);

/** MiniMax M2: all calls in one section, names as attributes. */
export const MINIMAX = taggedStyle(
  {
    section: { open: '<minimax:tool_call>', close: '</minimax:tool_call>' },
    open: '<invoke name="',
    nameEnd: '">',
    close: '</invoke>',
    key: '<parameter name="',
    keyEnds: QUOTED_END,
    value: '',
    valueEnd: '</parameter>',
    quotes: null,
    isPadded: false,
  },
  SHARED,
);

/** DeepSeek from V3.2 on: as MiniMax, each tag with a prefix, and whether a value is text. */
function dsmlStyle(section: string): CallStyle {
  return taggedStyle(
    {
      section: { open: `<｜DSML｜${section}>`, close: `</｜DSML｜${section}>` },
      open: '<｜DSML｜invoke name="',
      nameEnd: '">',
      close: '</｜DSML｜invoke>',
      key: '<｜DSML｜parameter name="',
      keyEnds: [
        { text: '" string="true">', isText: true },
        { text: '" string="false">', isText: false },
      ],
      value: '',
      valueEnd: '</｜DSML｜parameter>',
      quotes: null,
      isPadded: false,
    },
    SHARED,
  );
}
export const DEEPSEEK_V32 = dsmlStyle('function_calls');
export const DEEPSEEK_V4 = dsmlStyle('tool_calls');

/** MiniCPM5: names as attributes, nothing around. */
export const MINICPM = taggedStyle(
  {
    section: null,
    open: '<function name="',
    nameEnd: '">',
    close: '</function>',
    key: '<param name="',
    keyEnds: QUOTED_END,
    value: '',
    valueEnd: '</param>',
    quotes: { open: '<![CDATA[', close: ']]>' },
    isPadded: false,
  },
  LOOSE,
);
