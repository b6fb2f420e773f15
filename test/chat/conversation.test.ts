/** A conversation in the form that a template reads. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  argumentsFormOf,
  type TemplateMessage,
  toTemplate,
  withoutThinking,
} from '../../src/chat/conversation.js';
import type { ChatMessage } from '../../src/chat/message.js';
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

/** The first call of a message, as a template would see it. */
function firstCall(message: TemplateMessage | undefined) {
  const calls = message?.tool_calls;
  // Made by toTemplate from the calls above.
  return (calls as { id?: string; function: { arguments: unknown } }[] | undefined)?.[0];
}

describe('A template that knows tools', () => {
  test('gets them as OpenAI has them, and calls with their arguments as an object', () => {
    const { messages, tools } = toTemplate({ messages: talk, tools: [look] }, knowing);
    const { name, description, parameters } = look;
    assert.deepEqual(tools, [{ type: 'function', function: { name, description, parameters } }]);
    assert.deepEqual(messages[1]?.tool_calls, [
      { id: 'call_12', type: 'function', function: { name: 'look', arguments: { at: '空' } } },
    ]);
  });

  test('gets the name of the function with its result', () => {
    const { messages } = toTemplate({ messages: talk, tools: [look] }, knowing);
    assert.deepEqual(messages[2], {
      ...{ role: 'tool', content: '星', name: 'look', tool_call_id: 'call_12' },
    });
  });

  test('gets the arguments as text where it writes them as text', () => {
    const writing = `${knowing}{{ '<call>' + call['function']['arguments'] + '</call>' }}`;
    assert.equal(argumentsFormOf(writing), 'text');
    assert.equal(argumentsFormOf(`${knowing}{{ call.arguments | tojson }}`), 'object');
    const { messages } = toTemplate({ messages: talk, tools: [] }, writing);
    const call = firstCall(messages[1]);
    assert.equal(call?.function.arguments, '{"at":"空"}');
  });

  test('gets arguments that are no JSON as they are', () => {
    const [user, assistant] = talk;
    assert.ok(user && assistant);
    const calls = [{ type: 'function', function: { name: 'look', arguments: 'up' } }] as const;
    const all = toTemplate({ messages: [{ ...assistant, tool_calls: calls }], tools: [] }, knowing);
    const call = firstCall(all.messages[0]);
    assert.equal(call?.function.arguments, 'up');
  });

  test('that takes ids of nine letters only gets such, the same for a call and its result', () => {
    const strict = `${knowing}{% if call.id|length != 9 %}{{ raise_exception('') }}{% endif %}`;
    const { messages } = toTemplate({ messages: talk, tools: [] }, strict);
    const call = firstCall(messages[1]);
    assert.match(call?.id ?? '', /^[A-Za-z0-9]{9}$/);
    assert.equal(messages[2]?.tool_call_id, call?.id);
    const own = toTemplate(
      { messages: [{ role: 'tool', content: '', tool_call_id: 'Abcdefgh9' }], tools: [] },
      strict,
    );
    assert.equal(own.messages[0]?.tool_call_id, 'Abcdefgh9');
  });
});

describe('A template that does not know tools', () => {
  const plain = '{% for message in messages %}{{ message.content }}{% endfor %}';

  test('has them, and how to call them, in its system message', () => {
    const { messages, tools } = toTemplate({ messages: talk, tools: [look] }, plain);
    assert.equal(tools, null);
    assert.equal(messages[0]?.role, 'system');
    assert.match(String(messages[0]?.content), /"name":"look".*"arguments"/s);
    const led = [{ role: 'system', content: 'Be kind.' } as const, ...talk];
    const joined = toTemplate({ messages: led, tools: [look] }, plain);
    assert.match(String(joined.messages[0]?.content), /^Be kind\.\n\n.*look/s);
    assert.equal(joined.messages.length, led.length);
  });

  test('has calls and results in words that it can say', () => {
    const { messages } = toTemplate({ messages: talk, tools: [] }, plain);
    assert.deepEqual(messages[1], {
      role: 'assistant',
      content: '{"name":"look","arguments":{"at":"空"}}',
    });
    assert.deepEqual(messages[2], { role: 'user', content: 'Result of look:\n星' });
  });
});

test('a model that is not to think is told so in the words that its template knows', () => {
  assert.deepEqual(withoutThinking('{% if enable_thinking %}<think>{% endif %}'), {
    enable_thinking: false,
  });
  const both = '{% if not thinking %}{% elif x and enable_thinking is false %}{% endif %}';
  assert.deepEqual(withoutThinking(both), { enable_thinking: false, thinking: false });
  assert.deepEqual(withoutThinking('{% set thinking = 1 %}'), {});
});

test('Arguments that are nested beyond all reason are handed over as the text that they are', () => {
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
    const known = toTemplate({ messages: asked, tools: [] }, knowing, 'object');
    assert.equal(firstCall(known.messages[0])?.function.arguments === deep, isText);
    // A template without a word for calls gets them in words, whatever they are.
    const [said] = toTemplate({ messages: asked, tools: [] }, 'plain').messages;
    assert.ok(String(said?.content).length >= deep.length);
  }
});
