/**
 * Templates made to hurt. A template comes with a downloaded file or from the map: it may ask for
 * anything, gets 400 template_failed for what it must not have, and holds nobody up.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { suiteOwner } from '../helpers/owner.js';
import { assertUnharmed, attack, besiegedModel, besiegedServer } from '../helpers/siege.js';
import { chatBody } from '../helpers/wire.js';

const CHAT = '/v1/chat/completions';
const ROWS = '{% for a in range(10000) %}';
const END = '{% endfor %}';

/** What must fail, whatever the message. */
const HOSTILE: Readonly<Record<string, string>> = {
  loops: `${ROWS.repeat(4)}{% set x = 1 %}${END.repeat(4)}`,
  'loops-silently': `${ROWS.repeat(3)}${END.repeat(3)}x`,
  doubles: `{% set ns = namespace(s='ab') %}${ROWS}{% set ns.s = ns.s + ns.s %}${END}{{ ns.s }}`,
  multiplies: "{{ 'abc' * 1000000000 }}",
  pads: "{{ '%1000000000d' | format(1) }}{{ 'a' | center(1000000000) }}{{ 'a' | indent(1000000000) }}",
  replaces: `{% set ns = namespace(s='aaaa') %}${ROWS}{% set ns.s = ns.s | replace('a', 'aaaa') %}${END}`,
  recurses: '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
  'recurses-twice': '{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}',
  'ranges-far': '{{ range(1000000000) | length }}',
  nests: `{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`,
  'nests-lists': `{{ ${'['.repeat(20_000)}${']'.repeat(20_000)} }}`,
  'never-closes': '{% for a in messages %}{% if a %}',
  'is-no-template': '{{ }} {% %} {{ 1 + }}',
  raises: "{{ raise_exception('no') }}",
  includes: "{% include '/etc/passwd' %}",
  imports: "{% import 'os' as os %}{{ os.environ }}",
  calls: '{{ messages.constructor.constructor("return process")().exit() }}',
  'calls-text': '{{ "".constructor.constructor("return process")().exit() }}',
  'calls-range': '{{ range.constructor("return process")().exit() }}',
  'calls-raise': '{{ raise_exception.__proto__.constructor("return process")().exit() }}',
  'calls-class': '{{ "".__class__.__mro__[1].__subclasses__()[0]() }}',
  'calls-globals': '{{ namespace.__init__.__globals__["os"].popen("id").read() }}',
};

/** What may be asked, and is answered by nothing: those who look get no name that JavaScript knows. */
const HARMLESS: Readonly<Record<string, string>> = {
  'looks-inherited': '{{ messages[0].constructor }}{{ messages[0].toString }}{{ messages.length }}',
  'looks-proto': '{{ messages[0].__proto__ }}{{ messages[0]["__proto__"] }}{{ "".__class__ }}',
  'looks-for-names': '{{ process }}{{ globalThis }}{{ require }}{{ this }}{{ self }}',
  'sets-proto': '{% set ns = namespace() %}{% set ns.__proto__ = 1 %}{{ ns.x }}',
};
const SHOWN = "{% for m in messages %}{{ m.content }}{% endfor %}{{ 'x' }}";

describe('A template in the map', () => {
  const owner = suiteOwner();

  test('that is hostile is refused, and the next model is answered by', {
    timeout: 170_000,
  }, async () => {
    const file = await besiegedModel();
    const entries = Object.entries(HOSTILE).map(
      ([name, template]) => [name, { file, chat_template: template }] as const,
    );
    const server = await besiegedServer(owner, { models: Object.fromEntries(entries) });
    for (const name of Object.keys(HOSTILE)) {
      const body = JSON.stringify(chatBody(name, 'x', { max_tokens: 2 }));
      const { status, code } = await attack(server, CHAT, body);
      assert.deepEqual([status, code], [400, 'template_failed'], name);
      const counted = await attack(server, `${CHAT}/input_tokens`, body);
      assert.deepEqual([counted.status, counted.code], [400, 'template_failed'], name);
    }
    await assertUnharmed(server);
  });

  test('that looks where nothing is finds nothing there', async () => {
    const file = await besiegedModel();
    const models = Object.fromEntries(
      Object.entries({ ...HARMLESS, shows: SHOWN }).map(([name, template]) => [
        name,
        { file, chat_template: `${template}${name === 'shows' ? '' : 'x'}` },
      ]),
    );
    const other = await besiegedServer(owner, { models });
    const tokensOf = async (name: string) => {
      const body = JSON.stringify(chatBody(name, ''));
      const { status, text } = await attack(other, `${CHAT}/input_tokens`, body);
      return status === 200 ? (JSON.parse(text) as { input_tokens: number }).input_tokens : status;
    };
    const nothing = await tokensOf('shows');
    for (const name of Object.keys(HARMLESS)) {
      const found = await tokensOf(name);
      assert.ok(found === nothing || found === 400, `${name}: ${found} tokens, not ${nothing}`);
    }
    await assertUnharmed(other);
  });
});

describe('Variables of a template', () => {
  const owner = suiteOwner();

  test('cannot take the place of what a template is given, nor reach what it is not', async () => {
    const file = await besiegedModel();
    const template = `{{ messages[0].content }}{{ v }}{{ messages.constructor }}{{ range(1) | length }}`;
    const models = { takes: { file, chat_template: template } };
    const server = await besiegedServer(owner, { models });
    const own = ['messages', 'tools', 'bos_token', 'eos_token', 'add_generation_prompt'];
    for (const name of [...own, 'documents']) {
      const body = chatBody('takes', 'x', { chat_template_kwargs: { [name]: 'mine' } });
      const { status, param } = await attack(server, CHAT, JSON.stringify(body));
      assert.deepEqual([status, param], [400, 'chat_template_kwargs']);
    }
    for (const name of ['range', 'namespace', 'raise_exception', 'true', 'loop', '__proto__']) {
      for (const value of ['mine', { constructor: 'mine' }, [['mine']]]) {
        const kwargs = JSON.parse(`{${JSON.stringify(name)}:${JSON.stringify(value)}}`);
        const body = chatBody('takes', 'x', { chat_template_kwargs: kwargs, max_tokens: 2 });
        assert.equal((await attack(server, CHAT, JSON.stringify(body))).status, 200);
      }
    }
    await assertUnharmed(server);
  });
});
