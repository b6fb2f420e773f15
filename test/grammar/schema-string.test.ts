/** Strings of JSON Schema: lengths, patterns, formats, and several of them at once. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { accepts, seeded, walk } from '../helpers/grammar-matcher.js';
import { ajv, binds, compiled, writes } from '../helpers/schema-binding.js';

describe('strings', () => {
  test('are counted in code points', () => {
    binds({ type: 'string', minLength: 2, maxLength: 3 }, ['ab', '😀😀😀', '\n"\\'], ['a', 'abcd']);
    const pair = '\\ud83d\\ude00';
    writes({ type: 'string', maxLength: 1 }, ['"\\u00e9"', '"\\n"', `"${pair}"`], ['"\\n\\n"']);
    writes({ type: 'string', minLength: 2 }, [`"${pair}a"`], [`"${pair}"`]);
    binds({ type: 'string', minLength: 100_000 }, [], ['a']);
  });

  test('may have to match a pattern', () => {
    const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
      ['^[a-c]+$', ['a', 'abc'], ['', 'd', 'xa']],
      ['b', ['b', 'abc', 'xxb'], ['', 'ac']],
      ['^a', ['a', 'abc'], ['ba']],
      ['a$', ['a', 'cba'], ['ab']],
      ['^a|b$', ['ax', 'xb'], ['xa', 'bx']],
      ['^(?:ab|c(?<n>d)?)*$', ['', 'abcd', 'c'], ['d', 'abd']],
      ['^\\d{2,3}?-\\w+$', ['12-a_Z'], ['1-a', '12-é', '1234-a']],
      ['^\\s\\S\\D\\W$', [' ab-', '\u3000ab\n'], ['aab-']],
      ['^.$', ['a', '😀', '"'], ['\n', '']],
      ['^[^\\s"a-y]$', ['z', '\\', 'あ'], ['"', ' ', 'b']],
      ['^["\\\\\\n\\u0001]$', ['"', '\\', '\n', '\u0001'], ['n']],
      ['^\\u3042\\x41\\t\\/\\.$', ['あA\t/.'], []],
      ['^[\\w.-]+@[\\d-]$', ['a.b-c@-'], ['@1']],
      ['^(a+)+$', ['aaa'], ['', 'b']],
      ['(a+)+$', ['ba'], ['ab']],
      ['^$', [''], ['a']],
    ];
    for (const [pattern, good, bad] of cases) {
      const schema = { type: 'string', pattern };
      const valid = new RegExp(pattern, 'u');
      for (const text of bad) assert.ok(!valid.test(text), `${text} is a bad ${pattern}`);
      const program = compiled(schema);
      for (const text of good) {
        assert.ok(valid.test(text), `${text} is a good ${pattern}`);
        assert.equal(accepts(program, JSON.stringify(text)), true, `${text}: ${pattern}`);
      }
      for (const text of bad)
        assert.notEqual(accepts(program, JSON.stringify(text)), true, pattern);
      for (let seed = 0; seed < 20; seed++) {
        const text: unknown = JSON.parse(walk(program, seeded(seed)));
        assert.ok(typeof text === 'string' && valid.test(text), `${text}: ${pattern}`);
      }
    }
  });

  test('may have to match a pattern of a given length', () => {
    binds(
      { type: 'string', pattern: '^[A-Z][a-z]*$', minLength: 2, maxLength: 4 },
      ['Ab', 'Abcd'],
      ['A', 'Abcde'],
    );
    binds({ type: 'string', pattern: '^a{2}$', maxLength: 5 }, ['aa'], []);
    binds({ type: 'string', pattern: '\\S', minLength: 1 }, ['a'], ['', ' ']);
  });

  test('may have several conditions at once', () => {
    binds(
      { type: 'string', pattern: '^(?:ab|c)*$', minLength: 2, maxLength: 4 },
      ['ab', 'cc', 'abab', 'cabc'],
      ['c', '', 'ababc', 'ba'],
    );
    binds(
      { type: 'string', allOf: [{ pattern: '[0-9]' }, { pattern: '^\\w{2,4}$' }] },
      ['a1', '1bcd'],
      ['ab', '1'],
    );
    binds(
      { type: 'string', format: 'date', pattern: '^2024-' },
      ['2024-02-29'],
      ['2023-01-01', '2024-02-30'],
    );
    binds({ type: 'string', format: 'email', maxLength: 12 }, ['a@bcd.ef'], ['abcdef@ghi.jkl']);
    binds({ type: 'string', pattern: 'é"', maxLength: 3 }, ['é"', 'xé"'], ['éxx']);
  });

  test('of zod have both a format and a pattern', () => {
    const kinds = {
      email: z.email(),
      uuid: z.uuid(),
      uuidv4: z.uuidv4(),
      datetime: z.iso.datetime(),
      offset: z.iso.datetime({ offset: true }),
      date: z.iso.date(),
      time: z.iso.time(),
      ipv4: z.ipv4(),
      ipv6: z.ipv6(),
      url: z.url(),
      nanoid: z.nanoid(),
      shortEmail: z.email().max(60),
      longEmail: z.email().min(3).max(255),
      starts: z.string().startsWith('a.b').max(9),
    };
    for (const [name, kind] of Object.entries(kinds)) {
      const program = compiled(z.toJSONSchema(kind));
      for (let seed = 0; seed < 30; seed++) {
        const sentence = walk(program, seeded(seed));
        assert.ok(kind.safeParse(JSON.parse(sentence)).success, `${name}: ${sentence}`);
      }
    }
  });

  test('may have a format', () => {
    const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
      [
        'date',
        ['2024-02-29', '2000-02-29', '1999-12-31'],
        ['2023-02-29', '1900-02-29', '2024-04-31', '2024-13-01'],
      ],
      ['time', ['23:59:59Z', '00:00:00.123+09:00'], ['24:00:00Z', '10:60:00Z', '10:00:00']],
      ['date-time', ['2024-01-31T12:00:00Z'], ['2024-01-31', '2024-01-32T12:00:00Z']],
      ['uuid', ['123e4567-e89b-12d3-a456-426614174000'], ['123e4567e89b12d3a456426614174000']],
      ['email', ['a.b+c@example.co.jp', 'x@y-z.org'], ['a@b', 'a..b@c.de', '@c.de']],
      ['hostname', ['localhost', 'a-b.example.com'], ['-a', 'a_b', 'a..b']],
      ['ipv4', ['0.0.0.0', '255.249.199.10'], ['256.0.0.1', '1.2.3', '01.2.3.4']],
      ['ipv6', ['::', '::1', 'fe80::1:2', '1:2:3:4:5:6:7:8'], ['1:2:3', ':::', '1::2::3', 'g::']],
      ['uri', ['https://example.com/a%20b?q=1#x', 'ftp://h:21'], ['example.com', 'http://a b']],
    ];
    for (const [format, good, bad] of cases) {
      binds({ type: 'string', format }, good, bad);
      const program = compiled({ type: 'string', format });
      const validate = ajv.compile({ type: 'string', format });
      for (let seed = 0; seed < 100; seed++) {
        const sentence = walk(program, seeded(seed));
        assert.ok(validate(JSON.parse(sentence)), `${format}: ${sentence}`);
      }
    }
    binds({ type: 'string', format: 'password', maxLength: 2 }, ['ab'], ['abc']);
  });
});
