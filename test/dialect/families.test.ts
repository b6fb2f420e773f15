/**
 * One answer of each family as a client sees it: alone, after reasoning, after content, twice, cut, and
 * of a tool that is not there.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import { hear, TOOLS } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

interface Example {
  /** A call of get_weather, as the family writes it. */
  readonly call: string;
  readonly arguments: unknown;
  /** Two calls, the second of clock. */
  readonly two?: string;
  /** Reasoning before it, and its text. */
  readonly thought?: readonly [written: string, reasoning: string];
  /** What stands before an answer in words. */
  readonly lead?: string;
  readonly control?: RegExp;
  readonly id?: string;
  /** Calls stand only at the beginning. */
  readonly isBare?: boolean;
}

const KYOTO = { city: '京都', days: 2 };
const TYPED = { city: '0123', days: 2, exact: true, where: { x: [1, null] } };
const THOUGHT = ['<think>\nLook "up".\n</think>\n\n', 'Look "up".'] as const;
const KYOTO_JSON = '{"city": "京都", "days": 2}';

const EXAMPLES: Readonly<Record<string, Example>> = {
  'qwen-coder': {
    call: '<tool_call>\n<function=get_weather>\n<parameter=city>\n0123\n</parameter>\n<parameter=days>\n2\n</parameter>\n<parameter=exact>\nTrue\n</parameter>\n<parameter=where>\n{"x": [1, null]}\n</parameter>\n</function>\n</tool_call>',
    arguments: TYPED,
    two: '<tool_call>\n<function=get_weather>\n<parameter=city>\na\n"b"\n\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=clock>\n</function>\n</tool_call>',
    thought: THOUGHT,
  },
  glm: {
    call: '<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>0123</arg_value>\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n<arg_key>exact</arg_key>\n<arg_value>true</arg_value>\n<arg_key>where</arg_key>\n<arg_value>{"x": [1, null]}</arg_value>\n</tool_call>',
    arguments: TYPED,
    two: '<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>x</arg_value>\n</tool_call>\n<tool_call>clock</tool_call>',
    control: /<\/?(?:tool_call|arg_key|arg_value)>/g,
    thought: ['\n<think>Look "up".</think>\n', 'Look "up".'],
  },
  hunyuan: {
    call: '<tool_calls:opensource>\n<tool_call:opensource>get_weather<tool_sep:opensource>\n<arg_key:opensource>city</arg_key:opensource>\n<arg_value:opensource>京都</arg_value:opensource>\n<arg_key:opensource>days</arg_key:opensource>\n<arg_value:opensource>2</arg_value:opensource>\n</tool_call:opensource>\n</tool_calls:opensource>',
    arguments: KYOTO,
    thought: ['<think:opensource>Look "up".</think:opensource>', 'Look "up".'],
    control: /<\/?\w+:opensource>/g,
  },
  minimax: {
    call: '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">0123</parameter>\n<parameter name="days">2</parameter>\n<parameter name="exact">true</parameter>\n<parameter name="where">{"x": [1, null]}</parameter>\n</invoke>\n</minimax:tool_call>',
    arguments: TYPED,
    two: '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">x</parameter>\n</invoke>\n<invoke name="clock">\n</invoke>\n</minimax:tool_call>',
    thought: THOUGHT,
    control: /<\/?minimax:tool_call>/g,
  },
  minicpm: {
    call: '<function name="get_weather"><param name="city"><![CDATA[a <b>]]></param><param name="days">2</param></function>',
    arguments: { city: 'a <b>', days: 2 },
    thought: THOUGHT,
  },
  seed: {
    call: '<seed:tool_call>\n<function=get_weather>\n<parameter=city>京都</parameter>\n<parameter=days>2</parameter>\n</function>\n</seed:tool_call>',
    arguments: KYOTO,
    thought: ['<seed:think>Look "up".</seed:think>', 'Look "up".'],
  },
  kimi: {
    call: `<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>${KYOTO_JSON}<|tool_call_end|><|tool_calls_section_end|>`,
    arguments: KYOTO,
    two: `<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>${KYOTO_JSON}<|tool_call_end|><|tool_call_begin|>functions.clock:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>`,
    thought: ['<think>Look "up".</think>', 'Look "up".'],
    control: /<\|[a-z_]+\|>/g,
    id: 'functions.get_weather:0',
  },
  llama: {
    call: '{"name": "get_weather", "parameters": {"city": "京都", "days": 2}}',
    arguments: KYOTO,
    two: '{"name": "get_weather", "parameters": {"city": "x"}}; {"name": "clock", "parameters": {}}',
    isBare: true,
  },
  plain: {
    call: `{"name": "get_weather", "arguments": ${KYOTO_JSON}}`,
    arguments: KYOTO,
    two: '[{"name": "get_weather", "arguments": {"city": "x"}}, {"name": "clock", "arguments": null}]',
    isBare: true,
  },
  'mistral-array': {
    call: `[TOOL_CALLS][{"name": "get_weather", "arguments": ${KYOTO_JSON}, "id": "abcdefghi"}]`,
    arguments: KYOTO,
    two: '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "x"}}, {"name": "clock", "arguments": {}}]',
    control: /\[TOOL_CALLS\]/g,
  },
  mistral: {
    call: `[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]${KYOTO_JSON}`,
    arguments: KYOTO,
    two: `[TOOL_CALLS]get_weather[ARGS]${KYOTO_JSON}[TOOL_CALLS]clock[ARGS]{}`,
    thought: ['[THINK]Look "up".[/THINK]', 'Look "up".'],
    control: /\[\/?[A-Z_]+\]/g,
    id: 'abcdefghi',
  },
  lfm: {
    call: `<|tool_call_start|>[get_weather(city="0123", days=2, exact=True, where={'x': [1, None]})]<|tool_call_end|>`,
    arguments: TYPED,
    two: `<|tool_call_start|>[get_weather(city='it's "x"\\n'), clock()]<|tool_call_end|>`,
    thought: ['<think>Look "up".</think>', 'Look "up".'],
    control: /<\|tool_call_(?:start|end)\|>/g,
  },
  gemma: {
    call: '<|tool_call>call:get_weather{city:<|"|>0123<|"|>,days:2,exact:true,where:{x:[1,null]}}<tool_call|>',
    arguments: TYPED,
    two: '<|tool_call>call:get_weather{city:<|"|>a "b"<|"|>}<tool_call|><|tool_call>call:clock{}<tool_call|>',
    thought: ['<|channel>thought\nLook "up".\n<channel|>', 'Look "up".'],
    control: /<\|tool_call>|<tool_call\|>|<\|"\|>|<\|channel>|<channel\|>/g,
  },
  'function-gemma': {
    call: '<start_function_call>call:get_weather{city:<escape>京都<escape>,days:2}<end_function_call>',
    arguments: KYOTO,
    two: '<start_function_call>call:get_weather{city:<escape>x<escape>}<end_function_call><start_function_call>call:clock{}<end_function_call>',
    control: /<(?:start|end)_function_call>|<escape>/g,
  },
  'deepseek-r1': {
    call: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n${KYOTO_JSON}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    arguments: KYOTO,
    two: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n${KYOTO_JSON}\n\`\`\`<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>clock\n\`\`\`json\n{}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    thought: THOUGHT,
    control: /<｜[^｜]+｜>/g,
  },
  'deepseek-v3.1': {
    call: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>${KYOTO_JSON}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    arguments: KYOTO,
    control: /<｜[^｜]+｜>/g,
  },
  'deepseek-v3.2': {
    call: '<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">0123</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>\n<｜DSML｜parameter name="exact" string="false">true</｜DSML｜parameter>\n<｜DSML｜parameter name="where" string="false">{"x": [1, null]}</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    arguments: TYPED,
    control: /｜DSML｜/g,
  },
  harmony: {
    call: `<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>${KYOTO_JSON}<|call|>`,
    arguments: KYOTO,
    two: `<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>${KYOTO_JSON}<|call|><|start|>assistant to=functions.clock<|channel|>commentary json<|message|>{}<|call|>`,
    thought: ['<|channel|>analysis<|message|>Look "up".<|end|><|start|>assistant', 'Look "up".'],
    lead: '<|channel|>final<|message|>',
    control: /<\|[a-z]+\|>/g,
    isBare: true,
  },
  granite: {
    call: `<|tool_call|>[{"name": "get_weather", "arguments": ${KYOTO_JSON}}]`,
    arguments: KYOTO,
    control: /<\|tool_call\|>/g,
  },
  'command-r': {
    call: `<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": ${KYOTO_JSON}}\n]<|END_ACTION|>`,
    arguments: KYOTO,
    thought: ['<|START_THINKING|>Look "up".<|END_THINKING|>', 'Look "up".'],
    control: /<\|[A-Z_]+\|>/g,
  },
  'function-tag': { call: `<function=get_weather>${KYOTO_JSON}</function>`, arguments: KYOTO },
  'tool-calls': {
    call: `<tool_calls>[{"name": "get_weather", "arguments": ${KYOTO_JSON}}]</tool_calls>`,
    arguments: KYOTO,
    thought: ['<thinking>Look "up".</thinking>', 'Look "up".'],
  },
  'tool-calls-lines': {
    call: `<tool_calls>\n{"name": "get_weather", "arguments": ${KYOTO_JSON}}\n</tool_calls>`,
    arguments: KYOTO,
    two: '<tool_calls>\n{"name": "get_weather", "arguments": {"city": "x"}}\n{"name": "clock", "arguments": {}}\n</tool_calls>',
  },
  apertus: {
    call: `<|tools_prefix|>[{"get_weather": ${KYOTO_JSON}}]<|tools_suffix|>`,
    arguments: KYOTO,
    two: '<|tools_prefix|>[{"get_weather": {"city": "x"}}, {"clock": {}}]<|tools_suffix|>',
    control: /<\|tools_\w+\|>/g,
  },
  functionary: {
    call: `get_weather\n${KYOTO_JSON}`,
    arguments: KYOTO,
    two: `all\n>>>get_weather\n${KYOTO_JSON}>>>clock\n{}`,
    isBare: true,
  },
  solar: {
    call: `<|tool_calls|><|tool_call:begin|>a1<|tool_call:name|>get_weather<|tool_call:args|>${KYOTO_JSON}<|tool_call:end|>`,
    arguments: KYOTO,
    thought: ['<|think|>Look "up".<|end|><|begin|>assistant', 'Look "up".'],
    lead: '<|content|>',
    control: /<\|[a-z_:]+\|>/g,
    id: 'a1',
  },
};

for (const [name, example] of Object.entries(EXAMPLES)) {
  const { call, control, isBare = false } = example;
  const hearing = control === undefined ? {} : { control };
  const dialect = dialectOf(TEMPLATES[name] ?? '');

  describe(`An answer of ${name}`, () => {
    test('is known by its template', () => {
      assert.equal(dialect.name, name);
    });

    test('a call is read, with arguments of their types', () => {
      for (const one of [hear(dialect, call, hearing), hear(dialect, call)]) {
        assert.equal(one.content, '');
        assert.equal(one.calls.length, 1);
        assert.equal(one.calls[0]?.name, 'get_weather');
        assert.equal(one.calls[0]?.complete, true);
        assert.equal(one.calls[0]?.id, example.id ?? null);
        assert.deepEqual(JSON.parse(one.calls[0]?.arguments ?? ''), example.arguments);
      }
    });

    if (!isBare) {
      test('text before a call is content', () => {
        const heard = hear(dialect, `  I'll look.\n\n${call}\n`, hearing);
        assert.equal(heard.content, "  I'll look.");
        assert.equal(heard.calls.length, 1);
      });
    }

    const { two, thought } = example;
    if (two !== undefined) {
      test('two calls are two calls', () => {
        const heard = hear(dialect, two, hearing);
        assert.deepEqual(
          heard.calls.map(({ name: tool, complete }) => [tool, complete]),
          [
            ['get_weather', true],
            ['clock', true],
          ],
        );
        assert.equal(heard.calls[1]?.arguments, '{}');
        assert.equal(heard.content, '');
      });
    }
    if (thought !== undefined) {
      test('reasoning comes before a call, or before an answer', () => {
        const [written, reasoning] = thought;
        const heard = hear(dialect, written + call, { ...hearing, thinking: 'possible' });
        assert.deepEqual([heard.reasoning, heard.content], [reasoning, '']);
        assert.equal(heard.calls.length, 1);
        const answered = hear(dialect, `${written}${example.lead ?? ''}Rain.\n`, {
          ...hearing,
          thinking: 'possible',
          tools: [],
        });
        assert.deepEqual([answered.reasoning, answered.content], [reasoning, 'Rain.\n']);
      });
    }

    test('a call of a tool that is not there comes out as text', () => {
      const heard = hear(dialect, call.replaceAll('get_weather', 'rm_rf'), hearing);
      assert.deepEqual(heard.calls, []);
      assert.match(heard.content, /rm_rf/);
    });

    test('a cut call is not complete, and begins as its arguments would', () => {
      const end = Math.max(call.indexOf('京'), call.indexOf('12'), call.indexOf('<b>')) + 1;
      const heard = hear(dialect, call.slice(0, end), hearing);
      assert.equal(heard.content, '');
      assert.equal(heard.calls[0]?.complete, false);
      assert.ok(heard.calls[0]?.raw.includes('get_weather'));
      assert.ok(JSON.stringify(example.arguments).startsWith(tight(heard.calls[0]?.arguments)));
    });

    test('without tools nothing is taken for a call', () => {
      const heard = hear(dialect, call, { tools: [] });
      assert.deepEqual(heard.calls, []);
      assert.match(heard.content, /京|0123|<b>/);
    });
  });
}

describe('After the tag that Llama writes before what is to run', () => {
  const llama = dialectOf(TEMPLATES.llama ?? '');

  for (const call of [
    '{"name": "get_weather", "parameters": {"city": "x"}}',
    'get_weather.call(city="x")',
    'get_weather(city="x")',
  ]) {
    test(`${call} is a call`, () => {
      const heard = hear(llama, `Look: <|python_tag|>${call}`, { control: /<\|python_tag\|>/g });
      assert.equal(heard.content, 'Look:');
      assert.equal(heard.calls[0]?.arguments, '{"city": "x"}');
    });
  }

  test('a program is content', () => {
    const heard = hear(llama, '<|python_tag|>print(1 + 1)', { control: /<\|python_tag\|>/g });
    assert.equal(heard.content, 'print(1 + 1)');
  });
});

const tight = (json = ''): string => json.replaceAll(/([:,]) /g, '$1');

test('every family has a dialect of its own name', () => {
  for (const [name, template] of Object.entries(TEMPLATES)) {
    assert.equal(dialectOf(template).name, name);
  }
  assert.equal(TOOLS.length, 2);
});
