/** Past calls as a family writes them are calls that its listener reads. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import { callWriterOf } from '../../src/dialect/write-calls.js';
import { hear, TOOLS } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

const CALLS = [
  {
    name: 'get_weather',
    arguments: { city: '京都 "x"\n', days: 2, exact: true, where: { a: [null, false, 'b'] } },
  },
  { name: 'clock', arguments: {} },
];
const write = (name: string) => callWriterOf(name)(CALLS, (mark) => mark);

describe('Past calls', () => {
  for (const name of ['lfm', 'granite', 'phi', 'toolcall', 'hermes', 'plain']) {
    test(`in the writing of ${name} are heard again`, () => {
      const template = TEMPLATES[name] ?? '';
      assert.equal(dialectOf(template).name, name);
      const heard = hear(dialectOf(template), write(name), { tools: TOOLS });
      assert.equal(heard.content, '');
      const calls = heard.calls.map((call) => ({
        name: call.name,
        arguments: JSON.parse(call.arguments),
      }));
      assert.deepEqual(calls, CALLS);
    });
  }

  test('have every mark of the family, and nothing else, handed to whoever hides it', () => {
    const marks: string[] = [];
    const text = callWriterOf('lfm')(CALLS, (mark) => {
      marks.push(mark);
      return '';
    });
    assert.deepEqual(marks, ['<|tool_call_start|>', '<|tool_call_end|>']);
    assert.match(text, /^\[get_weather\(.*\), clock\(\)\]$/s);
  });

  test('of a family whose writing is not known are plain JSON', () => {
    assert.equal(write('unheard-of'), write('plain'));
  });

  test('with arguments that are no object are written as they were', () => {
    const slip = [{ name: 'f', arguments: 'up' }];
    const said = (name: string) => callWriterOf(name)(slip, () => '');
    assert.equal(said('lfm'), '[f("up")]');
    assert.equal(said('plain'), '{"name": "f", "arguments": "up"}');
  });
});
