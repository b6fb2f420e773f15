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
  sequence,
  text,
  until,
} from '../grammar/expression.js';
import { type CallStyle, listOf, SPACE } from './binding.js';
import type { Tool } from './dialect.js';
import { anyArray, anyObject, PYTHON_NOTATION } from './literal-grammar.js';
import { anyOrderOf, type Member, type MemberLayout, membersOf, separated } from './members.js';
import {
  bareText,
  FLAG,
  isAnything,
  isFlag,
  isUnlimited,
  jsonOf,
  refuseLimits,
  valuesOf,
  writable,
} from './parameter-grammar.js';
import { isText, type Parameter } from './parameters.js';
import { strayEnds, type TaggedMarks, taggedCalls } from './tagged-calls.js';

/** A style by its marks; `isShared`: all calls stand in one section, else each has its own. */
function taggedStyle(marks: TaggedMarks, isShared: boolean): CallStyle {
  const { section } = marks;
  const around = (calls: Expression): Expression =>
    section === null
      ? calls
      : sequence(text(section.open), SPACE, calls, SPACE, text(section.close));
  return {
    syntax: taggedCalls(marks),
    bind(rules: RuleSet, tools: readonly Tool[], parallel: boolean): Expression {
      const most = anyOrderOf(tools.length);
      const bound = tools.map((tool) => new TaggedTool(rules, marks, tool).call(most));
      const call = rules.add('call', () => choice(...bound));
      if (isShared) return around(listOf(call, SPACE, parallel));
      if (marks.isForgetful !== true || section === null)
        return listOf(around(call), SPACE, parallel);
      return listOf(sequence(optional(sequence(text(section.open), SPACE)), call), SPACE, parallel);
    },
  };
}

/** The grammar of one tool's calls. */
class TaggedTool {
  readonly #rules: RuleSet;
  readonly #marks: TaggedMarks;
  readonly #tool: Tool;
  readonly #parameters: readonly Parameter[];
  /** What no text may hold: the ends of values. */
  readonly #ends: readonly string[];

  constructor(rules: RuleSet, marks: TaggedMarks, tool: Tool) {
    this.#rules = rules;
    this.#marks = marks;
    this.#tool = tool;
    this.#parameters = writable(
      tool,
      marks.keyEnds.map((end) => end.text),
    );
    const names = this.#parameters.map(({ name }) => name);
    this.#ends = [marks.valueEnd, ...strayEnds(marks, names)];
  }

  /** A call. Codes: schema_unsupported for a strict tool. */
  call(most: number): Expression {
    const { open, nameEnd } = this.#marks;
    const members = this.#parameters.map(
      (parameter): Member => ({
        ...{ name: parameter.name, isRequired: parameter.isRequired },
        written: this.#rules.add(`parameter-${this.#tool.name}`, () => this.#written(parameter)),
      }),
    );
    const inside = membersOf(this.#rules, members, this.#layout(), most);
    return sequence(text(`${open}${this.#tool.name}${nameEnd ?? ''}`), SPACE, inside);
  }

  #layout(): MemberLayout {
    const { close, section, valueEnd, isForgetful } = this.#marks;
    if (isForgetful !== true || section === null)
      return { ...separated(text('')), last: text(close), none: text(close) };
    const none = this.#rules.shared('call-end', () =>
      sequence(text(close), optional(sequence(SPACE, text(section.close)))),
    );
    const end = sequence(optional(text('\n')), text(valueEnd), SPACE);
    return {
      none,
      last: this.#rules.shared('last-end', () =>
        choice(sequence(end, none), text(`\n${close}\n${section.close}`)),
      ),
      between: this.#rules.shared('value-end', () => choice(end, text('\n'))),
      isSorted: false,
    };
  }

  /** A parameter; its end stands in the layout where it may be forgotten. */
  #written(parameter: Parameter): Expression {
    const { kinds, schema } = parameter;
    const { strict } = this.#tool;
    const mayBeText = kinds === null || kinds.has('string');
    if (!mayBeText) return this.#json(parameter);
    const isWordOrNull =
      kinds !== null && [...kinds].every((one) => one === 'string' || one === 'null');
    const values = isWordOrNull ? valuesOf(parameter, this.#marks.valueEnd) : null;
    if (values !== null && !values.texts.some((value) => this.#isAstray(value))) {
      const all = values.hasNull ? [...values.texts, 'null'] : values.texts;
      return this.#closed(parameter, choice(...all.map(text)), true);
    }
    if (isText(kinds)) {
      const held = bareText(parameter, strict, this.#marks.isPadded);
      if (held !== null) return this.#closed(parameter, held, true);
      if (strict) refuseLimits(parameter);
      return this.#text(parameter);
    }
    const isListed = typeof schema === 'object' && schema !== null && 'enum' in schema;
    if (isListed) return this.#json(parameter);
    const isHeld = !(isWordOrNull && isUnlimited(schema)) && !isAnything(schema);
    if (strict && isHeld) return this.#json(parameter);
    // Where tags say what is text, JSON has tags of its own.
    const isSaid = this.#marks.keyEnds.some((end) => end.isText !== null);
    return isSaid ? choice(this.#text(parameter), this.#json(parameter)) : this.#text(parameter);
  }

  /** Padding alone must not be taken for a value, nor a value for the end of another. */
  #isAstray(value: string): boolean {
    return (
      (this.#marks.isPadded && /^\n|\n$/.test(value)) ||
      this.#ends.some((end) => `${value}\n`.includes(end.trimStart()))
    );
  }

  #json(parameter: Parameter): Expression {
    const { kinds } = parameter;
    const { strict } = this.#tool;
    if (isFlag(parameter)) return this.#closed(parameter, FLAG, false);
    const options = [jsonOf(parameter, this.#tool, this.#rules)];
    if (kinds?.has('null')) options.push(text('None'));
    // Templates that print values as Python does teach models to write them so.
    if (!strict && kinds?.has('array')) options.push(anyArray(this.#rules, PYTHON_NOTATION));
    if (!strict && kinds?.has('object')) options.push(anyObject(this.#rules, PYTHON_NOTATION));
    return this.#closed(parameter, choice(...options), false);
  }

  #text(parameter: Parameter): Expression {
    const { quotes, valueEnd, isForgetful } = this.#marks;
    if (isForgetful === true) return sequence(this.#key(parameter, true), free(...this.#ends));
    const bare = until(valueEnd);
    if (quotes === null) return sequence(this.#key(parameter, true), bare, SPACE);
    const quoted = sequence(text(quotes.open), until(quotes.close + valueEnd));
    const plain = sequence(free('<'), text(valueEnd));
    return sequence(this.#key(parameter, true), choice(plain, quoted), SPACE);
  }

  /** A value that ends by itself. */
  #closed(parameter: Parameter, value: Expression, isText: boolean): Expression {
    const { isPadded, valueEnd, isForgetful } = this.#marks;
    const pad = isPadded ? optional(text('\n')) : text('');
    const end = isForgetful === true ? [] : [pad, text(valueEnd), SPACE];
    return sequence(this.#key(parameter, isText), pad, value, ...end);
  }

  #key({ name }: Parameter, isText: boolean): Expression {
    const { key, keyEnds, value } = this.#marks;
    const end = keyEnds.find((one) => one.isText === null || one.isText === isText)?.text ?? '';
    return sequence(
      this.#rules.shared('key', () => text(key)),
      text(name),
      this.#rules.shared(`key-end ${isText}`, () =>
        value === '' ? text(end) : sequence(text(end), SPACE, text(value)),
      ),
    );
  }
}

const TAG_END = [{ text: '>', isText: null }];
const QUOTED_END = [{ text: '">', isText: null }];

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
    isForgetful: true,
  },
  false,
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
  false,
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
export const GLM = taggedStyle(GLM_MARKS, false);
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
  true,
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
  true,
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
    true,
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
  false,
);
