/** The conversations that `test-templates` renders: what requests bring, and what templates stumble on. */

/** A conversation by its name; the variables are plain JSON. */
export type Case = readonly [string, Readonly<Record<string, unknown>>];

const user = (content: unknown) => ({ role: 'user', content });
const assistant = (content: unknown, more: object = {}) => ({
  role: 'assistant',
  content,
  ...more,
});
const SYSTEM = { role: 'system', content: 'You are a lamp.\nAnswer briefly.' };

const call = (id: string, name: string, args: unknown) => ({
  id,
  type: 'function',
  function: { name, arguments: args },
});
const result = (id: string, name: string, content: unknown) => ({
  role: 'tool',
  tool_call_id: id,
  name,
  content,
});
const tool = (name: string, parameters: object, more: object = {}) => ({
  type: 'function',
  function: { name, description: `Calls ${name}.`, parameters, ...more },
});

const WEATHER = tool('get_weather', {
  type: 'object',
  properties: {
    city: { type: 'string', description: 'The city, e.g. "Kyoto" <here> & there' },
    unit: { type: 'string', enum: ['celsius', 'fahrenheit'], default: 'celsius' },
  },
  required: ['city'],
});
const NESTED = tool(
  'plan_trip',
  {
    type: 'object',
    properties: {
      stops: {
        type: 'array',
        description: 'Where to go',
        minItems: 1,
        items: {
          type: 'object',
          properties: {
            place: { type: 'string' },
            nights: { type: 'integer', minimum: 1, maximum: 30 },
            rate: { type: 'number', minimum: 0.5 },
            rooms: { type: 'array', items: { type: 'string', enum: ['single', 'double'] } },
          },
          required: ['place', 'nights'],
        },
      },
      options: {
        type: 'object',
        properties: {
          quiet: { type: 'boolean', default: false },
          note: { type: ['string', 'null'] },
        },
        additionalProperties: false,
      },
      budget: { anyOf: [{ type: 'number' }, { type: 'null' }], default: null },
      flags: { type: 'array', items: { type: 'boolean' }, default: [true, false] },
    },
    required: ['stops'],
    additionalProperties: false,
  },
  { strict: true, return: { type: 'object', properties: { ok: { type: 'boolean' } } } },
);
const BARE = tool('ping', { type: 'object', properties: {} });
const TOOLS = [WEATHER, NESTED, BARE];

const NESTED_ARGUMENTS = {
  stops: [
    { place: '京都', nights: 2, rate: 1.5, rooms: ['single'] },
    { place: "L'Aquila", nights: 1, rooms: [] },
  ],
  options: { quiet: true, note: null },
  budget: 1200.75,
  flags: [true, false],
};

const called = (args: unknown, after: readonly unknown[] = []) => [
  user('Weather in Kyoto?'),
  assistant('', { tool_calls: [call('call00001', 'get_weather', args)] }),
  result('call00001', 'get_weather', '{"temperature": 21, "sunny": true}'),
  ...after,
];

const nested = (args: unknown) => [
  SYSTEM,
  user('Plan it.'),
  assistant(null, { tool_calls: [call('abcdefghi', 'plan_trip', args)] }),
  result('abcdefghi', 'plan_trip', '{"ok": true}'),
  assistant('Done.'),
  user('Thanks!'),
];

const PARALLEL = [
  user('Kyoto and Oslo, please.'),
  assistant('Let me look.', {
    tool_calls: [
      call('call00001', 'get_weather', { city: 'Kyoto' }),
      call('call00002', 'get_weather', { city: 'Oslo', unit: 'celsius' }),
      call('call00003', 'ping', {}),
    ],
  }),
  result('call00001', 'get_weather', 'sunny'),
  result('call00002', 'get_weather', '{"temperature": -3.5}'),
  result('call00003', 'ping', ''),
];

const THOUGHTS = [
  user('What is 2+2?'),
  assistant('4', { reasoning_content: 'Two and two\nmake four.' }),
  user('And 3+3?'),
  assistant('<think>\nhm\n</think>\n\n6'),
  user('Sure?'),
];

const STRANGE = [
  { role: 'system', content: '日本語で答えてください。' },
  user('星影🌠は "きれい" ですか? <b>&amp;</b> \'yes\' \\n {{ x }} {% y %}'),
  assistant('はい、👩‍🚀 <i>"とても"</i> & \u00e9\u2028\u00a0 '),
  user('  ありがとう\t\n\n'),
];

const TALK = [user('Hello'), assistant('Hi there.'), user('How are you?')];
const parts = (...texts: readonly string[]) => texts.map((text) => ({ type: 'text', text }));

const BASE = {
  bos_token: '<s>',
  eos_token: '</s>',
  tools: null,
  documents: null,
  add_generation_prompt: true,
};

const make = (name: string, messages: readonly unknown[], more: object = {}): Case => [
  name,
  { ...BASE, messages, ...more },
];
const asText = (value: unknown) => JSON.stringify(value);
const tools = { tools: TOOLS };

/** Every conversation. */
export const CASES: readonly Case[] = [
  make('plain', [user('Hello')]),
  make('multi-turn', TALK),
  make('system', [SYSTEM, ...TALK]),
  make('developer', [{ role: 'developer', content: 'Be kind.' }, user('Hello')]),
  make('no generation prompt', [SYSTEM, ...TALK, assistant('Fine.')], {
    add_generation_prompt: false,
  }),
  make('ends with assistant', [user('Hello'), assistant('Well')]),
  make('thinking unset', THOUGHTS),
  make('thinking on', THOUGHTS, { enable_thinking: true, thinking: true }),
  make('thinking off', THOUGHTS, { enable_thinking: false, thinking: false }),
  make('thinking effort', [SYSTEM, ...THOUGHTS], {
    reasoning_effort: 'high',
    enable_thinking: true,
  }),
  make('no bos', TALK, { bos_token: '', eos_token: '' }),
  make('tools', [user('Weather?')], { tools: [WEATHER] }),
  make('tools and system', [SYSTEM, user('Weather?')], tools),
  make('nested tools, thinking off', [user('Go')], { ...tools, enable_thinking: false }),
  make('no tools', [SYSTEM, user('Hello')], { tools: [] }),
  make('call, object', called({ city: 'Kyoto' }), tools),
  make('call, text', called('{"city": "Kyoto"}'), tools),
  make('call, no arguments', called({}), tools),
  make(
    'call, booleans',
    called({ city: 'A', deep: true, wide: false, none: null, n: 0, f: 0.1 }),
    tools,
  ),
  make(
    'call, answered',
    called({ city: '京都 "x" <y>' }, [assistant('21 °C.'), user('Ok')]),
    tools,
  ),
  make('call, ended', called({ city: 'Kyoto' }, [assistant('21 °C.')]), {
    ...tools,
    add_generation_prompt: false,
  }),
  make('call without tools', called({ city: 'Kyoto' })),
  make(
    'call, result object',
    [
      ...called({ city: 'Kyoto' }).slice(0, 2),
      result('call00001', 'get_weather', { temperature: 21.5, sunny: true, note: null }),
    ],
    tools,
  ),
  make(
    'call, result parts',
    [...called({ city: 'Kyoto' }).slice(0, 2), result('call00001', 'get_weather', parts('a', 'b'))],
    tools,
  ),
  make('nested call, object', nested(NESTED_ARGUMENTS), tools),
  make('nested call, text', nested(asText(NESTED_ARGUMENTS)), tools),
  make('parallel calls', PARALLEL, tools),
  make('parallel calls, answered', [...PARALLEL, assistant('Both.'), user('Thanks')], tools),
  make('parallel calls, system', [SYSTEM, ...PARALLEL], tools),
  make(
    'calls with thoughts',
    [
      user('Go'),
      assistant('', {
        reasoning_content: 'I need the weather.',
        tool_calls: [call('call00001', 'get_weather', { city: 'Oslo' })],
      }),
      result('call00001', 'get_weather', 'snow'),
    ],
    { ...tools, enable_thinking: true },
  ),
  make('two rounds of calls', [...called({ city: 'A' }, called({ city: 'B' }).slice(1))], tools),
  make('null content', [user('Hello'), assistant(null), user('Again')]),
  make('missing content', [user('Hello'), { role: 'assistant' }, user('Again')]),
  make('empty content', [user(''), assistant(''), user('')]),
  make('parts', [SYSTEM, user(parts('Hello', ' world')), assistant(parts('Hi')), user(parts('x'))]),
  make('image part', [user([{ type: 'image' }, { type: 'text', text: 'What is it?' }])]),
  make('strange text', STRANGE),
  make('strange text in tools', [...STRANGE, user('go')], {
    tools: [
      tool('星', {
        type: 'object',
        properties: { 影: { type: 'string', description: '"<🌠>"\n' } },
      }),
    ],
  }),
  make('documents', TALK, { documents: [{ title: 'A "b"', text: 'One & two.', doc_id: 1 }] }),
  make('unknown role', [user('Hello'), { role: 'critic', content: 'Bad.' }, user('x')]),
  make('two users', [user('a'), user('b')]),
  make('system in the middle', [user('a'), assistant('b'), SYSTEM, user('c')]),
];
