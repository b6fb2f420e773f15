/** Templates that mean harm: each ends in an Error, or in text that shows they reached nothing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compile, limitsFor, render } from '../../src/chat/jinja.js';

function run(source: string, variables: Record<string, unknown> = {}): string {
  return render(compile(source), variables, limitsFor(1, 100));
}

/** Doubles a nested list 60 times, which would print as 2^60 items. */
const TREE =
  '{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}';

const BOMBS: Readonly<Record<string, readonly [RegExp, readonly string[]]>> = {
  'a value that would fill the memory': [
    /too long|copied too much|too big/,
    [
      "{{ 'a' * 10**9 }}",
      '{{ [1] * 10**9 }}',
      "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
      "{{ 'a'.center(10**12) }}",
      "{{ 'a'.zfill(10**9) }}",
      "{{ '\t'.expandtabs(10**9) }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '%*d' % (10**9, 1) }}",
      "{{ '%.1000000000f' % 1.5 }}",
      "{{ 'a\n'|indent(10**9) }}",
      '{{ [1]|tojson(indent=10**9) }}',
      "{{ ('a' * 1000).join(range(100000)|map('string')) }}",
      '{% for i in range(1000) %}{% set x = range(100000)|list %}{% endfor %}',
      "{% for i in range(100) %}{% set x = ('ab' * 500000)|list %}{% endfor %}",
      "{% for i in range(100) %}{% set x = ('ab' * 500000).split('b') %}{% endfor %}",
      `{% for i in range(2000) %}${'x'.repeat(2000)}{% endfor %}`,
    ],
  ],
  'an endless loop': [
    /too many steps|range\(\) is limited/,
    [
      '{% set a = [1] %}{% for x in a %}{% set _ = a.append(1) %}{% endfor %}',
      '{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}',
      '{{ range(100001)|length }}',
    ],
  ],
  'a value that prints as more than there is': [
    /too many steps|too long/,
    [`${TREE}{{ ns.x }}`, `${TREE}{{ ns.x|tojson }}`, `${TREE}{{ ns.x == ns.y }}`],
  ],
  'what calls or holds itself': [
    /nested too deeply/,
    [
      '{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}',
      '{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}',
      '{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}',
      '{% set a = [] %}{% set _ = a.append(a) %}{{ a }}',
      '{% set ns = namespace(x=[]) %}{% for i in range(9000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}',
    ],
  ],
  'a source that nests without end': [
    /nested too deeply|too long/,
    [
      `{{ ${'('.repeat(100_000)}`,
      `{{ ${'['.repeat(100_000)}`,
      `{{ ${'not '.repeat(60_000)}1 }}`,
      `{{ ${'-'.repeat(100_000)}1 }}`,
      '{% if true %}'.repeat(19_000),
      `{{ 1${'+1'.repeat(100_000)} }}`,
      `{{ a${'.b'.repeat(100_000)} }}`,
      `{{ a${'|e'.repeat(100_000)} }}`,
      `{{ 1${' if 1 else 1'.repeat(20_000)} }}`,
      '{{'.repeat(120_000),
    ],
  ],
};

describe('jinja: hostile templates', () => {
  for (const [what, [words, sources]] of Object.entries(BOMBS)) {
    it(`ends ${what} in an error`, () => {
      for (const source of sources) assert.throws(() => run(source), words, source.slice(0, 80));
    });
  }

  it('reads a source of 256 KB, however it is made', () => {
    assert.equal(run('a'.repeat(256 * 1024)).length, 256 * 1024);
    assert.equal(run('{{ 1 }}'.repeat(37_000)).length, 37_000);
    assert.equal(run(`{% if 0 %}${'{% elif 0 %}'.repeat(20_000)}{% endif %}`), '');
    assert.equal(run(`{{ 1${'~1'.repeat(100_000)} }}`).length, 100_001);
    for (const open of ['{#', '{% raw %}', "{{ '", '{{ 1_1_1_']) {
      assert.throws(() => run(open + 'a'.repeat(200_000)), Error, open);
    }
  });

  it('reaches no constructor and no prototype', () => {
    const names = ['constructor', '__proto__', 'prototype', 'toString', 'hasOwnProperty', 'length'];
    const values = ["''", '{}', '[]', '(1,)', 'range', 'namespace()', 'x', '1', 'none', 'true'];
    for (const value of values) {
      for (const name of names) {
        const reach = `{{ ${value}.${name} }}{{ ${value}['${name}'] }}{{ [${value}]|map(attribute='${name}')|first }}`;
        assert.equal(run(reach.replaceAll('1.', '(1).'), { x: { a: 1 } }), '', reach);
        assert.throws(() => run(`{{ (${value}).${name}() }}`, { x: {} }));
      }
    }
    for (const name of names) assert.equal(run(`{{ ${name} is defined }}`), 'False', name);
  });

  it('reaches none by formatting, filters or tests', () => {
    assert.throws(() => run("{{ '{0.constructor}'.format('') }}"));
    assert.throws(() => run("{{ '{0[__proto__]}'.format({}) }}"));
    assert.throws(() => run('{{ 1|constructor }}'), /No filter/);
    assert.throws(() => run('{{ 1 is toString }}'), /No test/);
    assert.throws(() => run("{{ [1]|map('constructor')|list }}"), /No filter/);
  });

  it('leaves prototypes alone where keys are named like them', () => {
    const variables = JSON.parse('{"__proto__": {"polluted": 1}, "x": {"__proto__": {"y": 2}}}');
    const source =
      "{% set ns = namespace() %}{% set ns.__proto__ = 1 %}{{ {'__proto__': 3} }}{{ x }}{{ {}.polluted }}";
    assert.equal(run(source, variables), "{'__proto__': 3}{'__proto__': {'y': 2}}");
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  });

  it('gives a template nothing of another render', () => {
    const program = compile(
      '{{ seen is defined }}{% set seen = 1 %}{% set _ = x.append(1) %}{{ x }}',
    );
    const variables = { x: [0] };
    for (let round = 0; round < 2; round++) {
      assert.equal(render(program, variables, limitsFor(1, 100)), 'False[0, 1]');
    }
    assert.deepEqual(variables, { x: [0] });
  });
});
