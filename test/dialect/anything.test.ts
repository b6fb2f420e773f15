/**
 * Answers that are nearly right: sentences of each grammar with pieces cut out, doubled or moved. What is
 * no call must come out as it was written, and arguments must be the beginning of JSON.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dialectOf } from '../../src/dialect/detect.js';
import { JsonScanner } from '../../src/dialect/json-scan.js';
import { RuleSet } from '../../src/grammar/expression.js';
import { SentenceWriter, seeded } from '../helpers/expression-sentences.js';
import { hear, TOOLS } from '../helpers/hearing.js';
import { TEMPLATES } from './templates.js';

const ANSWERS = 120;

/** One or two pieces of a text cut out, doubled or moved. */
function spoil(text: string, random: () => number): string {
  let spoilt = text;
  for (let count = 1 + Math.floor(random() * 2); count > 0; count--) {
    const from = Math.floor(random() * spoilt.length);
    const to = from + Math.floor(random() * 12);
    const piece = spoilt.slice(from, to);
    const rest = spoilt.slice(0, from) + spoilt.slice(to);
    const place = Math.floor(random() * rest.length);
    const kind = Math.floor(random() * 3);
    if (kind === 0) spoilt = rest;
    if (kind === 1) spoilt = spoilt.slice(0, to) + piece + spoilt.slice(to);
    if (kind === 2) spoilt = rest.slice(0, place) + piece + rest.slice(place);
  }
  return spoilt;
}

function isBeginningOfJson(text: string): boolean {
  const scanner = new JsonScanner();
  return [...text].every((char) => scanner.feed(char) !== 'bad');
}

const solid = (text: string): string => text.replaceAll(/\s/g, '');

for (const [name, template] of Object.entries(TEMPLATES)) {
  describe(`${name}, spoilt`, () => {
    const dialect = dialectOf(template);
    const rules = new RuleSet();
    const output = dialect.bindCalls(rules, {
      ...{ tools: TOOLS, choice: 'auto', parallel: true, thinking: 'none' },
    });
    const writer = new SentenceWriter(rules.rules, 99);
    const random = seeded(name.length);
    const answers = Array.from({ length: ANSWERS }, () => spoilt(writer.write(output)));

    function spoilt(text: string): string {
      return spoil(text, random);
    }

    test('arguments are the beginning of JSON, and all of it where a call is complete', () => {
      for (const answer of answers) {
        for (const call of hear(dialect, answer).calls) {
          assert.ok(TOOLS.some((tool) => tool.name === call.name));
          assert.ok(isBeginningOfJson(call.arguments), `${call.arguments} of ${answer}`);
          if (call.complete) assert.equal(typeof JSON.parse(call.arguments), 'object');
        }
      }
    });

    test('nothing is lost but what belongs to a call', () => {
      for (const answer of answers) {
        const { calls, content } = hear(dialect, answer);
        const raw = calls.map((call) => call.raw).join('');
        // Their headers say nothing by themselves.
        const hasHeads = ['harmony', 'functionary', 'command-r', 'solar'].includes(name);
        if (calls.length === 0 && !hasHeads) assert.equal(content, answer);
        const kept = content.length + raw.length;
        assert.ok(kept <= answer.length, `${content} and ${raw} of ${answer}`);
        const all = solid(answer);
        let place = 0;
        for (const char of solid(content)) {
          place = all.indexOf(char, place);
          assert.ok(place >= 0, `${content} is not in ${answer}`);
          place++;
        }
      }
    });
  });
}
