/** The most common way of writing: reasoning and calls between tags, calls as JSON. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import { hear } from '../helpers/hearing.js';

const dialect = dialectOf(
  'x <tool_call>\n{"name": …, "arguments": …}\n</tool_call> <think> … </think>',
);
const CALL =
  '<tool_call>\n{"name": "get_weather", "arguments": {"city": "京都", "days": 2}}\n</tool_call>';
const ARGUMENTS = '{"city": "京都", "days": 2}';

describe('Reading calls between tags', () => {
  test('a call becomes its name and its arguments, and nothing is shown', () => {
    const heard = hear(dialect, CALL);
    assert.equal(heard.content, '');
    assert.equal(heard.calls.length, 1);
    assert.equal(heard.calls[0]?.name, 'get_weather');
    assert.equal(heard.calls[0]?.arguments, ARGUMENTS);
    assert.equal(heard.calls[0]?.complete, true);
  });

  test('tags may be control tokens', () => {
    const heard = hear(dialect, CALL, { control: /<\/?tool_call>/g });
    assert.equal(heard.content, '');
    assert.equal(heard.calls[0]?.arguments, ARGUMENTS);
  });

  test('text before a call is content, without the line between them', () => {
    const heard = hear(dialect, `Let me look.\n${CALL}`);
    assert.equal(heard.content, 'Let me look.');
    assert.equal(heard.calls.length, 1);
  });

  test('two calls in an answer are two calls', () => {
    const second = '<tool_call>\n{"name": "clock", "arguments": {}}\n</tool_call>';
    const heard = hear(dialect, `${CALL}\n${second}\n`);
    assert.deepEqual(
      heard.calls.map(({ name }) => name),
      ['get_weather', 'clock'],
    );
    assert.equal(heard.content, '');
  });

  test('reasoning, content and a call come out as such', () => {
    const heard = hear(dialect, `<think>\nRain?\n</think>\n\nOne moment.\n\n${CALL}`, {
      thinking: 'possible',
    });
    assert.equal(heard.reasoning, 'Rain?');
    assert.equal(heard.content, 'One moment.');
    assert.equal(heard.calls.length, 1);
  });

  test('arguments may come before the name, or as a string', () => {
    const before = hear(
      dialect,
      '<tool_call>{"arguments": {"city": "Oslo"}, "name": "get_weather"}</tool_call>',
    );
    assert.equal(before.calls[0]?.arguments, '{"city": "Oslo"}');
    const quoted = hear(
      dialect,
      '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}</tool_call>',
    );
    assert.equal(quoted.calls[0]?.arguments, '{"city": "Oslo"}');
  });

  test('a brace too many, or a tag that is missing, does no harm', () => {
    const call = '<tool_call>{"name": "clock", "arguments": {}}';
    for (const text of [`${call}}\n</tool_call>`, call, `${call}\n${call}</tool_call>`]) {
      const heard = hear(dialect, text);
      assert.equal(heard.content, '');
      assert.ok(heard.calls.length > 0 && heard.calls.every((one) => one.complete));
    }
  });

  test('calls within other objects are found', () => {
    for (const json of [
      '{"type": "function", "function": {"name": "clock", "arguments": {}}}',
      '{"tool_calls": [{"name": "clock", "arguments": {}}]}',
      '[{"id": "a1", "function": {"name": "clock", "parameters": null}}]',
    ]) {
      const heard = hear(dialect, `<tool_call>${json}</tool_call>`);
      assert.deepEqual([heard.content, heard.calls[0]?.arguments], ['', '{}']);
      const plain = hear(dialectOf(''), json);
      assert.deepEqual([plain.content, plain.calls[0]?.arguments], ['', '{}']);
    }
  });

  test('a line break within a string is mended, so that arguments are JSON', () => {
    const heard = hear(
      dialect,
      '<tool_call>{"name": "get_weather", "arguments": {"city": "a\nb"}}</tool_call>',
    );
    assert.deepEqual(JSON.parse(heard.calls[0]?.arguments ?? ''), { city: 'a\nb' });
  });
});

describe('What cannot be read as a call', () => {
  for (const [what, text] of [
    ['a tool that is not there', '<tool_call>\n{"name": "rm", "arguments": {}}\n</tool_call>'],
    ['no JSON', '<tool_call>\nget_weather(city)\n</tool_call>'],
    ['a tag that never ends', 'a <tool_call>\n{"name": "get_wea'],
    ['a tag alone', '  <tool_call>'],
    ['half a tag', 'see <tool_'],
  ] as const) {
    test(`${what} comes out as it was written`, () => {
      const heard = hear(dialect, text);
      assert.equal(heard.content, text);
      assert.deepEqual(heard.calls, []);
    });
  }

  test('a call that is cut in its arguments is not complete, and has its text', () => {
    const text = CALL.slice(0, -20);
    const heard = hear(dialect, `Now\n${text}`);
    assert.equal(heard.content, 'Now');
    assert.equal(heard.calls[0]?.complete, false);
    assert.equal(heard.calls[0]?.raw, `\n${text}`);
  });

  test('a call after one that was none is still read', () => {
    const bad = '<tool_call>{"name": "rm"}</tool_call>';
    const heard = hear(dialect, `${bad}\n${CALL}`);
    assert.equal(heard.content, bad);
    assert.equal(heard.calls.length, 1);
  });
});

describe('Plain answers', () => {
  for (const text of [
    '  two spaces  \n',
    '\n\n',
    'a < b\n <tool',
    '',
    '{"name": "clock"}',
    'x</think>y',
  ]) {
    test(`${JSON.stringify(text)} comes through as it is`, () => {
      for (const thinking of ['none', 'possible'] as const) {
        const heard = hear(dialect, text, { thinking });
        assert.equal(heard.content, text);
        assert.deepEqual(heard.calls, []);
        assert.equal(heard.reasoning, '');
      }
    });
  }

  test('calls are not looked for without tools', () => {
    assert.equal(hear(dialect, CALL, { tools: [] }).content, CALL);
  });
});
