/**
 * Which way of writing a model has, by the text of its chat template: the marks that stand in it. Pure,
 * any thread; it must never run a template.
 */
import type { CallStyle } from './binding.js';
import type { Dialect } from './dialect.js';
import { makeDialect, orBare, type Reasoning } from './family.js';
import { FUNCTIONARY } from './functionary.js';
import { HARMONY } from './harmony.js';
import * as json from './json-styles.js';
import * as literal from './literal-styles.js';
import * as tagged from './tagged-styles.js';

/** The first row whose marks all stand in the template is the one. */
interface CallRow {
  readonly name: string;
  readonly marks: readonly (string | RegExp)[];
  /** Null: the family writes calls in a way that is not known here. */
  readonly style: CallStyle | null;
}

/** Special before general: a mark of one family may be a part of another's. */
const CALLS: readonly CallRow[] = [
  { name: 'gemma', marks: ['<|tool_call>call:'], style: literal.GEMMA },
  {
    name: 'function-gemma',
    marks: ['<start_function_call>', '<escape>'],
    style: literal.FUNCTION_GEMMA,
  },
  { name: 'kimi', marks: ['<|tool_calls_section_begin|>'], style: json.KIMI },
  {
    name: 'deepseek-v4',
    marks: ['｜DSML｜', "dsml_token + 'tool_calls>"],
    style: tagged.DEEPSEEK_V4,
  },
  { name: 'deepseek-v4', marks: ['<｜DSML｜tool_calls>'], style: tagged.DEEPSEEK_V4 },
  { name: 'deepseek-v3.2', marks: ['｜DSML｜'], style: tagged.DEEPSEEK_V32 },
  { name: 'deepseek-r1', marks: ['<｜tool▁calls▁begin｜>', '```json'], style: json.DEEPSEEK_R1 },
  { name: 'deepseek-v3.1', marks: ['<｜tool▁calls▁begin｜>'], style: json.DEEPSEEK_V31 },
  { name: 'lfm', marks: ['<|tool_call_start|>'], style: literal.PYTHON },
  { name: 'lfm', marks: ['<|tool_list_start|>'], style: literal.PYTHON },
  { name: 'lfm', marks: ['List of tools: [', '<|im_start|>'], style: literal.PYTHON },
  { name: 'minimax-m3', marks: [']<]minimax[>['], style: null },
  { name: 'minimax', marks: ['<minimax:tool_call>'], style: tagged.MINIMAX },
  { name: 'seed', marks: ['<seed:tool_call>'], style: tagged.SEED },
  { name: 'glm', marks: ['<tool_call>', '<arg_key>'], style: tagged.GLM },
  { name: 'hunyuan', marks: ['<arg_key{}>', ':opensource'], style: tagged.HUNYUAN },
  { name: 'qwen-coder', marks: ['<function=', '<parameter='], style: tagged.QWEN_CODER },
  { name: 'minicpm', marks: ['<function name="', '<param name="'], style: tagged.MINICPM },
  { name: 'command-r', marks: ['<|START_ACTION|>'], style: json.COMMAND_ACTION },
  { name: 'command-r-plus', marks: ['Action:', '"tool_name"'], style: json.COMMAND_PLUS },
  { name: 'apertus', marks: ['<|tools_prefix|>'], style: json.APERTUS },
  { name: 'solar', marks: ['<|tool_call:begin|>'], style: json.SOLAR },
  { name: 'mistral', marks: ['[TOOL_CALLS]', '[ARGS]'], style: json.MISTRAL },
  { name: 'mistral-array', marks: ['[TOOL_CALLS]'], style: json.MISTRAL_ARRAY },
  { name: 'toolcall', marks: ['<TOOLCALL>'], style: json.TOOLCALL },
  { name: 'tool-calls', marks: ['<tool_calls>['], style: json.TOOL_CALLS },
  { name: 'tool-calls-lines', marks: ['<tool_calls>'], style: json.TOOL_CALLS_LINES },
  { name: 'hermes', marks: ['<tool_call>'], style: json.HERMES },
  { name: 'phi', marks: ['<|tool_call|>', '<|/tool_call|>'], style: json.PHI },
  { name: 'phi', marks: ['<|tool|>', '<|/tool|>'], style: json.PHI },
  { name: 'granite', marks: ['<|tool_call|>'], style: json.GRANITE },
  { name: 'gigachat', marks: ['<|function_call|>'], style: json.GIGACHAT },
  { name: 'firefunction', marks: ['functools['], style: json.FUNCTOOLS },
  { name: 'function-tag', marks: ['<function='], style: json.FUNCTION_TAG },
  {
    name: 'llama',
    marks: [/<\|(?:start_header_id|header_start)\|>/, '"parameters": '],
    style: literal.LLAMA,
  },
];

interface ReasoningRow {
  readonly marks: readonly (string | RegExp)[];
  readonly reasoning: Reasoning;
}

const tags = (open: string, close: string, end = `\n${close}\n\n`): ReasoningRow => ({
  marks: [open, close],
  reasoning: { open, close, end },
});

const REASONINGS: readonly ReasoningRow[] = [
  {
    marks: ['<|channel>thought', '<channel|>'],
    reasoning: { open: '<|channel>thought', close: '<channel|>', end: '\n<channel|>' },
  },
  tags('<seed:think>', '</seed:think>'),
  tags('<mm:think>', '</mm:think>'),
  tags('[THINK]', '[/THINK]', '[/THINK]'),
  {
    marks: ['<|START_THINKING|>', '<|END_THINKING|>'],
    reasoning: {
      open: '<|START_THINKING|>',
      close: '<|END_THINKING|>',
      end: '<|END_THINKING|>',
      leads: ['<|START_RESPONSE|>'],
      trail: '<|END_RESPONSE|>',
    },
  },
  {
    marks: ['<|begin|>assistant', '<|think|>'],
    reasoning: {
      open: '<|think|>',
      close: '<|end|>',
      end: '<|end|>',
      leads: ['<|begin|>assistant<|content|>', '<|content|>'],
    },
  },
  {
    marks: ['[BEGIN FINAL RESPONSE]', 'Here are my reasoning steps:'],
    reasoning: {
      open: 'Here are my reasoning steps:',
      close: '[BEGIN FINAL RESPONSE]',
      end: '\n[BEGIN FINAL RESPONSE]\n',
    },
  },
  {
    marks: ['<think>', '<response>'],
    reasoning: {
      open: '<think>',
      close: '</think>',
      end: '</think>',
      leads: ['<response>'],
      trail: '</response>',
    },
  },
  {
    marks: ['<think{}>', ':opensource'],
    reasoning: {
      open: '<think:opensource>',
      close: '</think:opensource>',
      end: '</think:opensource>',
    },
  },
  {
    marks: ["open_tag('think'", '<|open|>'],
    reasoning: {
      open: '<|open|>think<|sep|>',
      close: '<|close|>think<|sep|>',
      end: '<|close|>think<|sep|><|open|>response<|sep|>',
      leads: ['<|open|>response<|sep|>'],
      trail: '<|close|>response<|sep|>',
    },
  },
  tags('<think>', '</think>'),
  tags('<thinking>', '</thinking>'),
  tags('<thought>', '</thought>'),
  tags('<reasoning>', '</reasoning>'),
  // Some templates only take past reasoning away.
  {
    marks: ['</think>'],
    reasoning: { open: '<think>', close: '</think>', end: '\n</think>\n\n' },
  },
];

const isIn =
  (template: string) =>
  (mark: string | RegExp): boolean =>
    typeof mark === 'string' ? template.includes(mark) : mark.test(template);

/**
 * The dialect of a model with this chat template. `toolsInWords`: it was told of its tools, and to call
 * them in plain JSON, in words, which is read beside the family's own way.
 */
export function dialectOf(
  template: string,
  { toolsInWords = false }: { readonly toolsInWords?: boolean } = {},
): Dialect {
  const holds = isIn(template);
  if (['<|channel|>', '<|message|>', 'analysis', 'final'].every(holds)) return HARMONY;
  if (['>>>all', 'recipient'].every(holds)) return FUNCTIONARY;
  const row = CALLS.find(({ marks }) => marks.every(holds));
  const reasoning = REASONINGS.find(({ marks }) => marks.every(holds));
  const name = row?.name ?? 'plain';
  const style = row?.style ?? json.PLAIN;
  return makeDialect(
    toolsInWords ? `${name}-in-words` : name,
    reasoning?.reasoning ?? null,
    toolsInWords ? orBare(style, json.PLAIN) : style,
    row !== undefined && row.style !== null,
  );
}
