import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compile, limitsFor, render, strftime } from '../../src/chat/jinja.js';

function run(source: string, variables: Record<string, unknown> = {}): string {
  return render(compile(source), variables, limitsFor(1, 100));
}

describe('jinja: what templates may use', () => {
  it('renders variables, loops and conditions', () => {
    const source =
      '{% for m in messages %}{% if m.role == "user" %}<{{ m.content }}>{% endif %}{% endfor %}';
    assert.equal(
      run(source, { messages: [{ role: 'user', content: '星' }, { role: 'x' }] }),
      '<星>',
    );
  });

  it('trims blocks as chat templates expect', () => {
    assert.equal(run('{% if true %}\n  {% if true %}\na\n{% endif %}\n{% endif %}'), 'a\n');
  });

  it('gives the date to strftime_now, as Python would write it', () => {
    const now = new Date(2026, 6, 5, 15, 4, 9);
    assert.equal(strftime('%d %b %Y', now), '05 Jul 2026');
    assert.equal(strftime('%A %B %-d, %I:%M:%S %p %j %%', now), 'Sunday July 5, 03:04:09 PM 186 %');
    assert.equal(run("{{ strftime_now('%Y') }}"), String(new Date().getFullYear()));
  });

  it('counts with range as Python does', () => {
    assert.equal(run('{% for i in range(3) %}{{ i }}{% endfor %}'), '012');
    assert.equal(run('{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}'), '531');
  });

  it('lets no variable take the place of a global', () => {
    assert.equal(run('{{ true }}{{ range(2)|length }}', { true: 'no', range: 'no' }), 'True2');
  });
});

describe('jinja: limits around a template', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['a range that is too long', '{{ range(100000000)|length }}', /range\(\) is limited/],
    ['a range that never ends', '{{ range(0, 5, 0)|length }}', /range\(\) arg 3/],
    [
      'too many steps',
      '{% for i in range(9000) %}{{ 1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1 }}{% endfor %}',
      /too many steps/,
    ],
    [
      'a value that grows without end',
      "{% set ns=namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      /too long/,
    ],
    ['a macro that calls itself', '{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(0) }}', /./],
    ['its own error', "{{ raise_exception('no system role') }}", /no system role/],
    ['a syntax error', '{{ 1 ', /./],
    ['a source that is too long', ' '.repeat(300_000), /too long/],
  ];
  for (const [what, source, message] of cases) {
    it(`ends ${what} in an error`, () => assert.throws(() => run(source), message));
  }

  it('gives a long conversation more steps', () => {
    const source = '{% for m in messages %}{{ m.a + m.a + m.a + m.a + m.a + m.a }}{% endfor %}';
    const messages = Array.from({ length: 20_000 }, () => ({ a: 'x' }));
    const text = render(compile(source), { messages }, limitsFor(messages.length, 20_000));
    assert.equal(text.length, 120_000);
  });
});
