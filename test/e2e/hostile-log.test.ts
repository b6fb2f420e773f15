/** What a body says is not for the log, however it is refused, and an error repeats little of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attack, besiegedModel, besiegedServer } from '../helpers/siege.js';
import { until } from '../helpers/waiting.js';
import { chatBody } from '../helpers/wire.js';

const CHAT = '/v1/chat/completions';
const SECRET = 'himitsu-no-hanashi';

const chatting = (more: object) => chatBody('besieged', SECRET, { max_tokens: 2, ...more });
const schema = (of: unknown) => ({
  response_format: { type: 'json_schema', json_schema: { name: 's', schema: of } },
});
const messages = (...all: readonly object[]) => ({ messages: all });

/** Each says the secret in a value of its own, where it is wrong, or beside what is wrong. */
const BODIES: Readonly<Record<string, object>> = {
  'that is answered': chatting({}),
  'with a wrong number': chatting({ temperature: 7 }),
  'with a wrong role': chatting(messages({ role: SECRET, content: 'x' })),
  'with a wrong content': chatting(messages({ role: 'user', content: [{ type: SECRET }] })),
  'with a stop string that is too long': chatting({ stop: SECRET.repeat(100) }),
  'with a wrong sampler': chatting({ samplers: [SECRET] }),
  'with a grammar that is none': chatting({ grammar: `root ::= "${SECRET}` }),
  'with a grammar without a rule': chatting({ grammar: `root ::= ${SECRET}` }),
  'with a type that is none': chatting(schema({ type: SECRET })),
  'with a format that is none': chatting(schema({ type: 'string', format: SECRET })),
  'with a pattern that is none': chatting(schema({ type: 'string', pattern: `((${SECRET}` })),
  'with a reference to nothing': chatting(schema({ $ref: `#/${SECRET}` })),
  'with a tool that is not there': chatting({
    tool_choice: { type: 'function', function: { name: SECRET } },
  }),
  'with too long a talk': chatting(messages({ role: 'user', content: SECRET.repeat(10_000) })),
  'that its template refuses': {
    ...chatting({}),
    model: 'raises',
  },
};

test('No text of a body is in the log at its usual level', async (t) => {
  const file = await besiegedModel();
  const template = '{{ raise_exception(messages[0].content) }}';
  const server = await besiegedServer(t, { models: { raises: { file, chat_template: template } } });
  for (const [name, body] of Object.entries(BODIES)) {
    await attack(server, CHAT, JSON.stringify(body));
    // No JSON either, and cut in the middle of the secret.
    const { code } = await attack(server, CHAT, `{"a":"${SECRET}","b":${SECRET}`);
    assert.equal(code, 'invalid_json', name);
  }
  const lines = () => server.output().match(/ path=\/v1\/chat\/completions/g)?.length ?? 0;
  await until('lines of the log', () => lines() >= 2 * Object.keys(BODIES).length);
  assert.doesNotMatch(server.output(), new RegExp(SECRET));
});
