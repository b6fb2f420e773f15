/**
 * Small templates whose texts were recorded from Python's Jinja2 with Hugging Face's settings:
 * `npm run test:templates -- --record test/chat/jinja-cases.json` records them anew.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { inProject } from '../../scripts/root.js';
import { compile, limitsFor, render } from '../../src/chat/jinja.js';

interface Recorded {
  readonly variables: Readonly<Record<string, unknown>>;
  /** By what they show: a template, and Python's text or null where Python raises. */
  readonly cases: Readonly<Record<string, readonly (readonly [string, string | null])[]>>;
}

const file = inProject('test/chat/jinja-cases.json');
const { cases, variables }: Recorded = JSON.parse(readFileSync(file, 'utf8'));
const NOW = new Date(2026, 6, 5, 15, 4, 9);

function run(source: string, values = variables): string {
  return render(compile(source), values, limitsFor(1, 1000), NOW);
}

describe('jinja: what Python writes', () => {
  for (const [title, rows] of Object.entries(cases)) {
    it(title, () => {
      for (const [source, text] of rows) {
        if (text === null) assert.throws(() => run(source), Error, source);
        else assert.equal(run(source), text, source);
      }
    });
  }

  it('gives a raised message to who asked', () => {
    assert.throws(() => run("{{ raise_exception('no ' ~ 1) }}"), /^Error: no 1$/);
  });

  it('gives the time in the words of strftime', () => {
    assert.equal(run("{{ strftime_now('%d %b %Y, %H:%M') }}"), '05 Jul 2026, 15:04');
  });
});

describe('jinja: beyond Hugging Face', () => {
  it('lets a list of the template grow and shrink', () => {
    const source =
      '{% set a = [1] %}{% set _ = a.append(2) %}{{ a }}{{ a.pop(0) }}{{ a }}{{ a.pop() }}{{ a }}';
    assert.equal(run(source), '[1, 2]1[2]2[]');
    assert.throws(() => run('{{ [].pop() }}'), /out of range/);
    assert.throws(() => run('{{ [1].pop(-2) }}'), /out of range/);
    assert.throws(() => run('{{ [].extend([1]) }}'), /unsafe/);
  });

  it('reads JSON', () => {
    assert.equal(run('{{ \'{"a": [true, null, 1]}\'|from_json }}'), "{'a': [True, None, 1]}");
    assert.throws(() => run("{{ '{'|from_json }}"));
  });

  it('does not know 1.0 from 1 in a request, which JSON.parse has made one', () => {
    const values = JSON.parse('{"x": 1.0}');
    assert.equal(run('{{ x }} {{ x|tojson }} {{ 1.0 }}', values), '1 1 1.0');
  });

  it('refuses an integer that it could not write exactly', () => {
    assert.throws(() => run('{{ 2 ** 53 }}'), /too large/);
  });
});
