/** Which names a template speaks of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesIn } from '../../src/chat/template-names.js';

test('names stand in a template\u2019s code and as keys, not in its texts', () => {
  const names = namesIn(
    "Dear thinking one, {{ message['name'] }} {% if enable_thinking is false %}{{ 'low mood' }}{% endif %}{# notes #}",
  );
  for (const name of ['message', 'name', 'enable_thinking']) assert.ok(names.has(name), name);
  for (const name of ['thinking', 'Dear', 'low', 'mood', 'notes']) {
    assert.ok(!names.has(name), name);
  }
});
