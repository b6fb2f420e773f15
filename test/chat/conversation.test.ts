/** A conversation in the form that a template reads. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  asItIs,
  isPlain,
  type TemplateMessage,
  toTemplate,
  withoutThinking,
} from '../../src/chat/conversation.js';
import type { ChatMessage } from '../../src/chat/message.js';
import type { TemplateFacts } from '../../src/chat/template-facts.js';
import type { Tool } from '../../src/dialect/dialect.js';

const look: Tool = {
  ...{ name: 'look', description: 'Looks up.', strict: false },
  parameters: { type: 'object', properties: { at: { type: 'string' } } },
};
const talk: readonly ChatMessage[] = [
  { role: 'user', content: 'Look!' },
  {
    role: 'assistant',
    content: '',
    tool_calls: [
      { id: 'call_12', type: 'function', function: { name: 'look', arguments: '{"at":"空"}' } },
    ],
  },
  { role: 'tool', content: '星', tool_call_id: 'call_12' },
];
const knowing = "{{ tools }}{{ message.tool_calls }}{% if message.role == 'tool' %}{% endif %}";

/** What a template does that does everything well. */
const WELL: TemplateFacts = {
  ...{ systems: 'anywhere', alternates: false, userAfterResult: true, tools: 'tools' },
  ...{ needsTools: false, results: 'text', developer: false },
  calls: { arguments: 'object', emptyContent: '', besideText: true, parallel: true },
  ...{ reasoning: 'reasoning_content', reasoningBesideText: true },
};
/** One that prints what is said, whoever says it, and knows no more. */
const BARE: TemplateFacts = { ...WELL, tools: 'words', calls: null, results: null };

interface Given {
  readonly messages?: readonly ChatMessage[];
  readonly tools?: readonly Tool[];
  readonly template?: string;
}

function adapt(
  given: Given,
  facts: Partial<TemplateFacts> = {},
  inWords = facts.tools === 'words',
) {
  const { messages = talk, tools = [], template = knowing } = given;
  const mark = (text: string) => `«${text}»`;
  const adapted = toTemplate(
    { messages, tools, template },
    { ...WELL, ...facts },
    { mark, inWords },
  );
  return { ...adapted.conversation, altered: adapted.altered };
}

/** The calls of a message, as a template would see them. */
function callsOf(message: TemplateMessage | undefined) {
  // Made by toTemplate from the calls above.
  const calls = message?.tool_calls as
    | { id?: string; function: { arguments: unknown } }[]
    | undefined;
  return calls ?? [];
}

const firstCall = (message: TemplateMessage | undefined) => callsOf(message)[0];

describe('A template that knows tools', () => {
  test('gets them as OpenAI has them, and calls with their arguments as an object', () => {
    const { messages, tools } = adapt({ tools: [look] });
    const { name, description, parameters } = look;
    assert.deepEqual(tools, [{ type: 'function', function: { name, description, parameters } }]);
    assert.deepEqual(messages[1]?.tool_calls, [
      { id: 'call_12', type: 'function', function: { name: 'look', arguments: { at: '空' } } },
    ]);
  });

  test('gets a schema that says nothing of properties with none, as templates look for them', () => {
    const bare = { ...look, parameters: { type: 'object', additionalProperties: false } };
    for (const tool of [bare, { ...look, parameters: null }]) {
      const [one] = adapt({ tools: [tool] }).tools ?? [];
      const { name, description } = look;
      const parameters = { type: 'object', properties: {}, ...tool.parameters };
      assert.deepEqual(one?.function, { name, description, parameters });
    }
  });

  test('gets the name of the function with its result', () => {
    assert.deepEqual(adapt({ tools: [look] }).messages[2], {
      ...{ role: 'tool', content: '星', name: 'look', tool_call_id: 'call_12' },
    });
  });

  test('gets the arguments as text where it writes them as text', () => {
    const calls = {
      arguments: 'text',
      emptyContent: null,
      besideText: true,
      parallel: true,
    } as const;
    const { messages } = adapt({}, { calls });
    assert.equal(firstCall(messages[1])?.function.arguments, '{"at":"空"}');
    assert.equal(messages[1]?.content, null);
  });

  test('gets no arguments as an empty object, and a call whose arguments are no JSON in words', () => {
    const [, assistant] = talk;
    assert.ok(assistant);
    const calling = (text: string) => {
      const calls = [{ type: 'function', function: { name: 'look', arguments: text } }] as const;
      return adapt({ messages: [{ ...assistant, tool_calls: calls }] }).messages[0];
    };
    assert.deepEqual(firstCall(calling(''))?.function.arguments, {});
    const cut = calling('{"at": "th');
    assert.equal(cut?.tool_calls, undefined);
    assert.match(String(cut?.content), /look.*\{\\?"at/);
  });

  test('gets an id for every call and its result, also where a client sends none', () => {
    const call = { type: 'function', function: { name: 'look', arguments: '{}' } } as const;
    const listen = { type: 'function', function: { name: 'listen', arguments: '{}' } } as const;
    const { messages } = adapt({
      messages: [
        { role: 'assistant', content: '', tool_calls: [call, listen] },
        { role: 'tool', content: 'a' },
        { role: 'tool', content: 'b' },
      ],
    });
    const ids = callsOf(messages[0]).map(({ id }) => id);
    assert.equal(new Set(ids).size, 2);
    assert.deepEqual(
      messages.slice(1).map((message) => [message.tool_call_id, message.name]),
      [
        [ids[0], 'look'],
        [ids[1], 'listen'],
      ],
    );
  });

  test('gets the name of the last call with an id, where a client counts anew in every turn', () => {
    const turn = (name: string): readonly ChatMessage[] => [
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'c0', type: 'function', function: { name, arguments: '{}' } }],
      },
      { role: 'tool', content: 'r', tool_call_id: 'c0' },
    ];
    const { messages } = adapt({ messages: [...turn('look'), ...turn('listen')] });
    assert.deepEqual([messages[1]?.name, messages[3]?.name], ['look', 'listen']);
  });

  test('that takes ids of nine letters only gets such, the same for a call and its result', () => {
    const template = `${knowing}{% if call.id|length != 9 %}{{ raise_exception('') }}{% endif %}`;
    const { messages } = adapt({ template });
    const call = firstCall(messages[1]);
    assert.match(call?.id ?? '', /^[A-Za-z0-9]{9}$/);
    assert.equal(messages[2]?.tool_call_id, call?.id);
    const result: ChatMessage = { role: 'tool', content: '', tool_call_id: 'Abcdefgh9' };
    assert.equal(adapt({ messages: [result], template }).messages[0]?.tool_call_id, 'Abcdefgh9');
  });

  test('gets a result as what it says where it would make JSON of the text, if that loses nothing', () => {
    const result = (content: string) =>
      adapt({ messages: [{ role: 'tool', content }] }, { results: 'object' }).messages[0]?.content;
    assert.deepEqual(result('{ "at": [1, "a b"] }'), { at: [1, 'a b'] });
    for (const text of [
      'clear',
      '{"id": 12345678901234567890}',
      '{"a": 1.0}',
      '{"a": 1, "a": 2}',
    ]) {
      assert.equal(result(text), text);
    }
  });

  test('gets thoughts by the name that it knows, with what was said beside a call where it takes one', () => {
    const [, call] = talk;
    assert.ok(call);
    const thought: ChatMessage = { ...call, content: 'So.', reasoning_content: 'Hm.' };
    const facts = { reasoning: 'thinking' } as const;
    const [kept] = adapt({ messages: [thought] }, facts).messages;
    assert.deepEqual(
      [kept?.content, kept?.thinking, kept?.reasoning_content],
      ['So.', 'Hm.', undefined],
    );
    const [one] = adapt({ messages: [thought] }, { ...facts, reasoningBesideText: false }).messages;
    assert.deepEqual([one?.content, one?.thinking], ['', 'Hm.\n\nSo.']);
  });

  test('gets words and call apart where it would lose the call', () => {
    const calls = {
      arguments: 'object',
      emptyContent: null,
      besideText: false,
      parallel: true,
    } as const;
    const [, call] = talk;
    assert.ok(call);
    const { messages } = adapt({ messages: [{ ...call, content: 'So.' }] }, { calls });
    assert.deepEqual(messages[0], { role: 'assistant', content: 'So.' });
    assert.equal(messages[1]?.content, null);
    assert.ok(firstCall(messages[1]));
  });

  test('gets several calls one by one where it takes no more, each with its result', () => {
    const calls = {
      arguments: 'object',
      emptyContent: '',
      besideText: true,
      parallel: false,
    } as const;
    const call = (id: string) =>
      ({ id, type: 'function', function: { name: id, arguments: '{}' } }) as const;
    const messages: ChatMessage[] = [
      { role: 'assistant', content: 'So.', tool_calls: [call('a'), call('b')] },
      { role: 'tool', content: 'of b', tool_call_id: 'b' },
      { role: 'tool', content: 'of a', tool_call_id: 'a' },
      { role: 'user', content: 'And?' },
    ];
    const all = adapt({ messages }, { calls });
    const contents = all.messages.map(({ content }) => content);
    assert.deepEqual(contents, ['So.', 'of a', '', 'of b', 'And?']);
    assert.deepEqual([firstCall(all.messages[0])?.id, firstCall(all.messages[2])?.id], ['a', 'b']);
    assert.equal(all.altered, false);
  });
});

describe('A template that looks for tools elsewhere gets them', () => {
  const { name, description, parameters } = look;

  test('in the variable that it names', () => {
    const { tools, more } = adapt({ tools: [look] }, { tools: 'xml_tools' });
    assert.deepEqual([tools, more], [null, { xml_tools: [{ name, description, parameters }] }]);
    assert.deepEqual(adapt({}, { tools: 'xml_tools' }).more, {});
  });

  test('as JSON text of the system message, which is there for it', () => {
    const { messages } = adapt({ tools: [look] }, { tools: 'system' });
    assert.deepEqual([messages[0]?.role, messages[0]?.content], ['system', '']);
    assert.deepEqual(JSON.parse(String(messages[0]?.tools)), [{ name, description, parameters }]);
  });

  test('empty where it cannot do without', () => {
    assert.deepEqual(adapt({}, { needsTools: true }).tools, []);
    const words = adapt({ tools: [look] }, { needsTools: true }, true);
    assert.deepEqual(words.tools, []);
    assert.match(String(words.messages[0]?.content), /look/);
  });
});

describe('A template that does not know tools', () => {
  const template = '{% for message in messages %}{{ message.content }}{% endfor %}';

  test('has them, and how to call them, in its system message', () => {
    const { messages, tools } = adapt({ tools: [look], template }, BARE);
    assert.equal(tools, null);
    assert.equal(messages[0]?.role, 'system');
    assert.match(String(messages[0]?.content), /"name":"look".*"arguments"/s);
    const led = [{ role: 'system', content: 'Be kind.' } as const, ...talk];
    const joined = adapt({ messages: led, tools: [look], template }, BARE);
    assert.match(String(joined.messages[0]?.content), /^Be kind\.\n\n.*look/s);
    assert.equal(joined.messages.length, led.length);
  });

  test('has calls and results in words that it can say', () => {
    const { messages } = adapt({ template }, BARE);
    assert.deepEqual(messages[1], {
      role: 'assistant',
      content: '{"name": "look", "arguments": {"at":"空"}}',
    });
    assert.deepEqual(messages[2], { role: 'user', content: 'Result of look:\n星' });
  });

  test('has both as its family writes them where its family has a way, and prints any role', () => {
    const family = `{{ '<|tool_list_start|>' }}{{ tools }}${template}`;
    const facts = { calls: null, results: 'text' } as const;
    const { messages } = adapt({ template: family }, facts);
    assert.deepEqual(messages[1], {
      role: 'assistant',
      content: '«<|tool_call_start|>»[look(at="空")]«<|tool_call_end|>»',
    });
    assert.deepEqual([messages[2]?.role, messages[2]?.content], ['tool', '星']);
    const plain = adapt({ template }, facts);
    assert.equal(plain.messages[2]?.role, 'user');
  });
});

describe('A template that is particular about turns', () => {
  const say = (role: ChatMessage['role'], content: string): ChatMessage => ({ role, content });
  const contents = (given: Given, facts: Partial<TemplateFacts>) => {
    const { messages, altered } = adapt(given, facts);
    return [messages.map(({ role, content }) => `${role}: ${content}`), altered] as const;
  };

  test('without a system turn has what is ours in the first user turn', () => {
    const { messages, altered } = adapt({ tools: [look] }, { ...BARE, systems: 'none' });
    assert.equal(messages[0]?.role, 'user');
    assert.match(String(messages[0]?.content), /look.*\n\nLook!$/s);
    assert.equal(altered, false);
  });

  test("without a system turn has the client's there too, and it is said", () => {
    const messages = [say('system', 'Be kind.'), say('user', 'Hi')];
    assert.deepEqual(contents({ messages }, { systems: 'none' }), [['user: Be kind.\n\nHi'], true]);
    const alone = [say('system', 'Be kind.')];
    assert.deepEqual(contents({ messages: alone }, { systems: 'none' }), [
      ['user: Be kind.'],
      true,
    ]);
  });

  test('with the first system message only has a later one where it was said', () => {
    const messages = [
      ...[say('system', 'Be kind.'), say('developer', 'Be brief.'), say('user', 'Hi')],
      ...[say('assistant', 'Ho'), say('system', 'Be loud.'), say('user', 'Hi')],
    ];
    const all = [
      'system: Be kind.\n\nBe brief.',
      'user: Hi',
      'assistant: Ho',
      'user: Be loud.\n\nHi',
    ];
    assert.deepEqual(contents({ messages }, { systems: 'first' }), [all, true]);
    assert.equal(contents({ messages }, {})[1], false);
  });

  test('that alternate has neighbours in one turn', () => {
    const messages = [
      say('user', 'a'),
      say('user', 'b'),
      say('assistant', 'c'),
      say('assistant', 'd'),
    ];
    const all = ['user: a\n\nb', 'assistant: c\n\nd'];
    assert.deepEqual(contents({ messages }, { alternates: true }), [all, true]);
    const ours = contents(
      { messages: [...talk, say('user', 'So?')] },
      { ...BARE, alternates: true },
    );
    assert.deepEqual(ours[0]?.at(-1), 'user: Result of look:\n星\n\nSo?');
    assert.equal(ours[1], false);
  });

  test('has an answer between a result and what the user says to it', () => {
    const messages = [...talk, say('user', 'So?')];
    const [all, altered] = contents({ messages }, { alternates: true, userAfterResult: false });
    assert.deepEqual(all.slice(-3), ['tool: 星', 'assistant: OK.', 'user: So?']);
    assert.equal(altered, true);
  });
});

test('a plain conversation is handed over as it is', () => {
  const messages: readonly ChatMessage[] = [{ role: 'developer', content: 'x' }];
  assert.equal(isPlain({ messages, tools: [] }), true);
  assert.equal(isPlain({ messages, tools: [look] }), false);
  assert.equal(isPlain({ messages: talk, tools: [] }), false);
  assert.deepEqual(asItIs({ messages, template: '' }).messages, [{ role: 'system', content: 'x' }]);
  assert.equal(asItIs({ messages, template: "'developer'" }).messages[0]?.role, 'developer');
});

test('a model that is not to think is told so in the words that its template knows', () => {
  assert.deepEqual(withoutThinking('{% if enable_thinking %}<think>{% endif %}'), {
    enable_thinking: false,
  });
  const both = '{% if not thinking %}{% elif x and enable_thinking is false %}{% endif %}';
  assert.deepEqual(withoutThinking(both), { enable_thinking: false, thinking: false });
  assert.deepEqual(withoutThinking('{% set thinking = 1 %}'), {});
});

test('Arguments that are nested beyond all reason are told in words', () => {
  for (const [depth, isText] of [
    [64, false],
    [65, true],
    [100_000, true],
  ] as const) {
    const deep = `${'{"a":'.repeat(depth)}"[{\\"]"${'}'.repeat(depth)}`;
    const asked: readonly ChatMessage[] = [
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ type: 'function', function: { name: 'look', arguments: deep } }],
      },
    ];
    const known = adapt({ messages: asked });
    assert.equal(firstCall(known.messages[0]) === undefined, isText);
    // A template without a word for calls gets them in words, whatever they are.
    const [said] = adapt({ messages: asked, template: 'plain' }, BARE).messages;
    assert.ok(String(said?.content).length >= deep.length);
  }
});
