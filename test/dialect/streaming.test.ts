/** When things are said: as soon as they are certain, and not before. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import type { Listener, Said, Thinking } from '../../src/dialect/dialect.js';
import { TOOLS } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

const listen = (name: string, thinking: Thinking = 'none'): Listener =>
  dialectOf(TEMPLATES[name] ?? '').listen({ tools: TOOLS, thinking });

const push = (listener: Listener, text: string, control = false): readonly Said[] =>
  listener.push({ text, control });

describe('Text as it streams', () => {
  test('words come out at once', () => {
    const listener = listen('hermes');
    assert.deepEqual(push(listener, 'Hello'), [{ type: 'content', text: 'Hello', from: 0 }]);
    assert.deepEqual(push(listener, ' world'), [{ type: 'content', text: ' world', from: 5 }]);
  });

  test('what may become a mark is held back until it is none', () => {
    const listener = listen('hermes');
    assert.deepEqual(push(listener, 'a <tool'), [{ type: 'content', text: 'a', from: 0 }]);
    assert.deepEqual(push(listener, 'box>'), [{ type: 'content', text: ' <toolbox>', from: 1 }]);
  });

  test('an answer in JSON that is no call does not wait for its end', () => {
    const listener = listen('plain');
    assert.deepEqual(push(listener, '{"na'), []);
    const [said] = push(listener, 'tion": "');
    assert.deepEqual(said, { type: 'content', text: '{"nation": "', from: 0 });
    const other = listen('plain');
    assert.deepEqual(push(other, '{"name": "Mari'), []);
    assert.equal(push(other, 'a"').length, 1);
  });

  test('text that was never a mark comes out when the answer ends', () => {
    const listener = listen('hermes');
    push(listener, 'a <tool');
    assert.deepEqual(listener.end(), [{ type: 'content', text: ' <tool', from: 1 }]);
  });
});

describe('Calls as they stream', () => {
  test('a call is said with its name, and its arguments as they come', () => {
    const listener = listen('hermes');
    assert.deepEqual(push(listener, '<tool_call>\n{"name": "clo'), []);
    assert.deepEqual(push(listener, 'ck"'), [{ type: 'call', name: 'clock', id: null }]);
    assert.deepEqual(push(listener, ', "arguments": {"a": "x'), [
      { type: 'arguments', text: '{"a": "x' },
    ]);
    assert.deepEqual(push(listener, 'y"}'), [{ type: 'arguments', text: 'y"}' }]);
    const said = push(listener, '}\n</tool_call>');
    assert.deepEqual(said, [
      {
        type: 'called',
        raw: '<tool_call>\n{"name": "clock", "arguments": {"a": "xy"}}',
        complete: true,
      },
    ]);
    assert.deepEqual(listener.end(), []);
  });

  test('text between tags is said as it comes, other values when they are whole', () => {
    const listener = listen('qwen-coder');
    push(listener, '<tool_call>\n<function=get_weather>\n');
    assert.deepEqual(push(listener, '<parameter=city>\nKyo'), [
      { type: 'arguments', text: '{"city": "Kyo' },
    ]);
    assert.deepEqual(push(listener, 'to\n'), [{ type: 'arguments', text: 'to' }]);
    assert.deepEqual(push(listener, '</parameter>\n'), [{ type: 'arguments', text: '"' }]);
    assert.deepEqual(push(listener, '<parameter=days>\n1'), [
      { type: 'arguments', text: ', "days": ' },
    ]);
    assert.deepEqual(push(listener, '2\n</parameter>'), [{ type: 'arguments', text: '12' }]);
  });

  test('arguments are always the beginning of JSON, also where they break off', () => {
    const listener = listen('hermes');
    push(listener, '<tool_call>{"name": "clock", "arguments": {"a": 1');
    const said = push(listener, ' 2}}</tool_call> and so on');
    assert.deepEqual(said, [
      { type: 'arguments', text: ' ' },
      {
        type: 'called',
        raw: '<tool_call>{"name": "clock", "arguments": {"a": 1 ',
        complete: false,
      },
      { type: 'content', text: '2}}</tool_call> and so on', from: 50 },
    ]);
  });
});

describe('Reasoning as it streams', () => {
  test('the listener knows when the model thinks', () => {
    const listener = listen('hermes', 'open');
    assert.equal(listener.isReasoning, true);
    assert.deepEqual(push(listener, 'So'), [{ type: 'reasoning', text: 'So', from: 0 }]);
    assert.equal(listener.isReasoning, true);
    push(listener, '\n</think>');
    assert.equal(listener.isReasoning, false);
    assert.deepEqual(push(listener, '\n\nYes'), [{ type: 'content', text: 'Yes', from: 13 }]);
  });

  test('it may begin with the answer', () => {
    const listener = listen('hermes', 'possible');
    assert.equal(listener.isReasoning, false);
    push(listener, '<think>', true);
    assert.equal(listener.isReasoning, true);
  });

  test('it is not looked for after the beginning', () => {
    const listener = listen('hermes', 'possible');
    const [said] = push(listener, 'Write <think> here');
    assert.deepEqual(said, { type: 'content', text: 'Write <think> here', from: 0 });
    assert.equal(listener.isReasoning, false);
  });

  test('in harmony each message says what it is', () => {
    const listener = listen('harmony', 'possible');
    push(listener, '<|channel|>', true);
    push(listener, 'analysis');
    push(listener, '<|message|>', true);
    assert.equal(listener.isReasoning, true);
    assert.deepEqual(push(listener, 'Hm'), [{ type: 'reasoning', text: 'Hm', from: 30 }]);
    push(listener, '<|end|>', true);
    assert.equal(listener.isReasoning, false);
    push(listener, '<|start|>', true);
    push(listener, 'assistant');
    push(listener, '<|channel|>', true);
    push(listener, 'final');
    push(listener, '<|message|>', true);
    assert.deepEqual(push(listener, 'Yes '), [{ type: 'content', text: 'Yes ', from: 84 }]);
  });

  test('reasoning that is cut off is reasoning to its end', () => {
    const listener = listen('hermes', 'open');
    push(listener, 'So \n');
    assert.deepEqual(listener.end(), [{ type: 'reasoning', text: ' \n', from: 2 }]);
  });
});
