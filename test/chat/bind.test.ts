/** What an answer is bound to, by requests; the programs are read by the tests' own plain matcher. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bindingOf } from '../../src/chat/bind.js';
import type { AnswerForm, ChatRequest, Tool } from '../../src/chat/message.js';
import { dialectOf } from '../../src/dialect/detect.js';
import { HoshikageError } from '../../src/errors.js';
import { accepts } from '../helpers/grammar-matcher.js';

const HERMES = dialectOf('{{ tools }}<tool_call></tool_call>');
const THINKING = dialectOf('{{ tools }}<tool_call></tool_call><think></think>');
const tool = (more: Partial<Tool> = {}): Tool => ({
  ...{ name: 'look', description: null, strict: false },
  parameters: { type: 'object', properties: { n: { enum: [1, 2] } }, required: ['n'] },
  ...more,
});
const call = (n: number) => `<tool_call>\n{"name": "look", "arguments": {"n": ${n}}}\n</tool_call>`;

function request(more: Partial<ChatRequest> = {}): ChatRequest {
  return {
    ...{ model: 'm', messages: [], sampling: {}, choices: 1, tools: [], stop: [] },
    ...{ toolChoice: { kind: 'auto' }, parallelToolCalls: true, truncates: false },
    ...{ cachePrompt: true, templateVariables: {} },
    ...more,
  };
}

function bound(more: Partial<ChatRequest>, dialect = HERMES): (text: string) => unknown {
  const program = bindingOf(request(more), dialect, dialect === THINKING ? 'possible' : 'none');
  assert.ok(program);
  return (text) => accepts(program, text) === true;
}

const schema: AnswerForm = { kind: 'json_schema', schema: { enum: ['a', 'b'] } };

describe('An answer', () => {
  test('is free where nothing binds it', () => {
    assert.equal(bindingOf(request(), HERMES, 'none'), undefined);
    const none = { tools: [tool()], toolChoice: { kind: 'none' } } as const;
    assert.equal(bindingOf(request(none), HERMES, 'none'), undefined);
  });

  test('has the form that is asked for, and reasoning is free before it', () => {
    const plain = bound({ form: schema });
    assert.deepEqual(['"a"', '"c"', 'a'].map(plain), [true, false, false]);
    const thinking = bound({ form: schema }, THINKING);
    assert.equal(thinking('<think>"c" or not?</think>\n\n"b"'), true);
    assert.equal(thinking('<think>hm</think>\n\n"c"'), false);
    assert.equal(thinking('"b"'), true);
    assert.equal(bound({ form: { kind: 'json_object' } })('{"x": [1, null]}'), true);
    assert.equal(bound({ form: { kind: 'json_object' } })('[1]'), false);
  });

  test('in JSON may begin with a little white space, one by a grammar as the grammar says', () => {
    const plain = bound({ form: schema });
    assert.deepEqual(['\n"a"', ' "a"', ' x'].map(plain), [true, true, false]);
    const grammar = bound({ form: { kind: 'grammar', text: 'root ::= "x"' } });
    assert.deepEqual(['x', ' x'].map(grammar), [true, false]);
    const shown = (trims: boolean) => {
      const listener = HERMES.listen({ tools: [], thinking: 'none', trims });
      const runs = ['\n', ' {', '"a": " b" }\n'];
      const said = runs.flatMap((text) => [...listener.push({ text, control: false })]);
      return [...said, ...listener.end()].map((one) => ('text' in one ? one.text : '')).join('');
    };
    assert.deepEqual([shown(true), shown(false)], ['{"a": " b" }\n', '\n {"a": " b" }\n']);
  });

  test('with tools is text or calls, and what begins as a call is one', () => {
    const free = bound({ tools: [tool()] });
    assert.equal(free('Good morning.'), true);
    assert.equal(free(call(1)), true);
    assert.equal(free(`I look.\n${call(2)}`), true);
    assert.equal(free(call(3)), false);
    assert.equal(free('<tool_call>hello'), false);
  });

  test('with tools and a form is one of the form, or calls', () => {
    const both = bound({ tools: [tool()], form: schema });
    assert.deepEqual(['"a"', call(1), 'Good morning.'].map(both), [true, true, false]);
  });

  test('with a forced call is nothing else, and one call only where that is asked for', () => {
    const forced = bound({ tools: [tool()], toolChoice: { kind: 'required' } });
    assert.deepEqual(['', 'Yes.', call(1), `${call(1)}\n${call(2)}`].map(forced), [
      false,
      false,
      true,
      true,
    ]);
    const single = bound({
      ...{ tools: [tool(), tool({ name: 'listen' })], parallelToolCalls: false },
      toolChoice: { kind: 'named', name: 'look' },
    });
    assert.deepEqual([call(1), `${call(1)}\n${call(2)}`].map(single), [true, false]);
    assert.equal(single(call(1).replace('look', 'listen')), false);
  });

  test('by a grammar of the client may be beside calls, whatever its rules are called', () => {
    const text = 'root ::= json-value calls\njson-value ::= "x"\ncalls ::= "y"';
    const both = bound({ tools: [tool({ parameters: null })], form: { kind: 'grammar', text } });
    assert.equal(both('xy'), true);
    assert.equal(both('x'), false);
    assert.equal(both('<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'), true);
  });

  test('bound twice alike is bound by the same program', () => {
    const of = () => bindingOf(request({ form: schema }), HERMES, 'none');
    assert.equal(of(), of());
    assert.notEqual(bindingOf(request({ form: schema }), THINKING, 'possible'), of());
  });
});

describe('What cannot be bound', () => {
  function refusal(more: Partial<ChatRequest>): HoshikageError {
    try {
      bindingOf(request(more), HERMES, 'none');
    } catch (thrown) {
      assert.ok(thrown instanceof HoshikageError);
      return thrown;
    }
    return assert.fail('was bound');
  }

  test('is refused by its place', () => {
    const form: AnswerForm = {
      kind: 'json_schema',
      schema: { properties: { a: { not: { const: 1 } } } },
    };
    const { code, details } = refusal({ form });
    assert.deepEqual(
      [code, details.param],
      ['schema_unsupported', 'response_format.json_schema.schema'],
    );
    assert.equal(details.pointer, '/properties/a/not');
    const broken = refusal({ form: { kind: 'grammar', text: 'root ::= (' } });
    assert.deepEqual([broken.code, broken.details.param], ['grammar_invalid', 'grammar']);
  });

  test('of a tool is refused where the tool is strict, else left to the model', () => {
    const parameters = {
      type: 'object',
      properties: { a: { type: 'string', not: { const: 'y' } } },
    };
    const { code, details } = refusal({
      tools: [tool(), tool({ name: 'b', parameters, strict: true })],
    });
    assert.deepEqual([code, details.param], ['schema_unsupported', 'tools[1].function.parameters']);
    const loose = bound({ tools: [tool({ parameters })], toolChoice: { kind: 'required' } });
    assert.equal(
      loose('<tool_call>\n{"name": "look", "arguments": {"a": "x"}}\n</tool_call>'),
      true,
    );
  });
});
