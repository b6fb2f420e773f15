/**
 * Strings as the libraries of clients ask for them every day: formats, and patterns as they are published
 * or copied, each against an independent validator.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { z } from 'zod';
import { seeded, walk } from '../helpers/grammar-matcher.js';
import { binds, compiled, obeys, writes } from '../helpers/schema-binding.js';

describe('strings', () => {
  test('of an enum are those that obey what stands beside it', () => {
    binds({ enum: ['a', 'ab', 'abc', 1], pattern: '^ab' }, ['ab', 'abc', 1], ['a']);
    binds({ enum: ['2024-01-01', 'today'], format: 'date' }, ['2024-01-01'], ['today']);
    binds({ enum: ['a', 'ab'], minLength: 2, pattern: 'a' }, ['ab'], ['a']);
    binds({ const: 'x@example.com', format: 'email' }, ['x@example.com'], []);
  });

  test('have formats of the specification; other names say nothing', () => {
    binds(
      { type: 'string', format: 'duration' },
      ['P1D', 'PT1H30M', 'P3W', 'P1Y2M3DT4H5M6S'],
      ['P', 'PT', '1D', 'P1S'],
    );
    binds(
      { type: 'string', format: 'uri-reference' },
      ['/a/b?c', '../x', '#top', '', 'https://a.b'],
      ['a b', '<'],
    );
    binds({ type: 'string', format: 'json-pointer' }, ['', '/a/b~0'], ['a', '/~2']);
    binds(
      { type: 'string', format: 'regex' },
      ['^[a-z]+$', '\\d{3}-(a|b)*', '.*'],
      ['(', '[', '*'],
    );
    const loose = new Ajv2020({ strict: false, validateFormats: false });
    for (const format of ['phone', 'decimal', 'file-path', 'json-string', 'color', 'binary']) {
      const schema = { type: 'string', format, maxLength: 3 };
      assert.ok(loose.validate(schema, 'abc'));
      writes(schema, ['"abc"'], ['"abcd"']);
    }
    assert.throws(() => compiled({ type: 'string', format: 'iri' }), /\/format/);
  });

  test('are URIs as they are met', () => {
    const good = [
      'https://user:pw@example.com:8080/a(b)/@c:d;e=1,2?x=/y?z&q=%E3%81%82#/top?1',
      'mailto:someone@example.com?subject=Hi',
      'urn:isbn:0451450523',
      'http://[::1]:3000/',
      'tel:+81-3-1234-5678',
      'file:a/b',
    ];
    binds({ type: 'string', format: 'uri' }, good, ['//a.b', 'a', 'http://a b', 'http://[', ':a']);
    const limited = { type: 'string', format: 'uri', minLength: 1, maxLength: 2083 };
    binds(limited, good, ['http://a b']);
    for (const maxLength of [2083, 1024, 500, 255, 128, 100, 80, 60, 10])
      obeys({ ...limited, maxLength });
    binds(
      { type: 'string', format: 'uri', maxLength: 20 },
      ['http://a.b/c'],
      [`http://a.b/${'c'.repeat(20)}`],
    );
    obeys({ type: 'string', format: 'uri-reference' }, 200);
    obeys({ type: 'string', format: 'uri' }, 200);
    obeys({ type: 'string', format: 'regex' }, 200);
  });

  test('have patterns with lookahead at the beginning', () => {
    const password = '^(?=.*[a-z])(?=.*[A-Z])(?=.*\\d)[\\w!]{4,}$';
    binds({ type: 'string', pattern: password }, ['aB3!', 'xxxY0'], ['aB!!', 'abc1', 'aB3']);
    binds({ type: 'string', pattern: password, maxLength: 5 }, ['aB3!'], ['aB3!xx']);
    binds({ type: 'string', pattern: '^(?!admin$)[a-z]+$' }, ['admins', 'a'], ['admin']);
    binds({ type: 'string', pattern: '^(?!.*\\.\\.)[a.]*$' }, ['a.a', ''], ['a..a']);
    binds({ type: 'string', pattern: '^(?!-)(?=.{2}$)[a-]+$' }, ['a-', 'aa'], ['-a', 'aaa']);
    binds({ enum: ['admin', 'root'], pattern: '^(?!admin$)' }, ['root'], ['admin']);
  });

  test('have patterns as they are copied from one project to the next, with lengths and formats', () => {
    const strong = '^(?=.*[a-z])(?=.*[A-Z])(?=.*\\d)(?=.*[@$!%*?&])[A-Za-z\\d@$!%*?&]';
    const patterns: readonly (readonly [string, object])[] = [
      [`${strong}{8,64}$`, {}],
      [`${strong}{8,}$`, { minLength: 8, maxLength: 128 }],
      ['^(?!\\s*$).+', { maxLength: 200 }],
      ['^(?!.*--)[a-z0-9-]{3,63}$', {}],
      ['^https?://[^\\s/$.?#].[^\\s]*$', { maxLength: 2000 }],
      ['^v?\\d+\\.\\d+\\.\\d+(?:-[\\w.]+)?$', { maxLength: 50 }],
      ['^\\S+@\\S+\\.\\S+$', { maxLength: 254 }],
      ['^\\S+@\\S+\\.\\S+$', { format: 'email', maxLength: 254 }],
      ['^https?://', { format: 'uri' }],
      ['^https://', { format: 'uri', minLength: 1, maxLength: 2048 }],
      ['Z$', { format: 'date-time' }],
      ['^[0-9a-f-]+$', { format: 'uuid', minLength: 36, maxLength: 36 }],
    ];
    for (const [pattern, beside] of patterns) obeys({ type: 'string', pattern, ...beside }, 12);
  });

  test('have patterns with anchors in a group, word boundaries and properties', () => {
    binds({ type: 'string', pattern: '(^a$)|(^b+$)' }, ['a', 'bb'], ['ab', 'aa']);
    binds({ type: 'string', pattern: '(?:^a|(b$))' }, ['ax', 'xb'], ['xa', 'bx']);
    binds({ type: 'string', pattern: '\\bcat\\b' }, ['cat', 'a cat!'], ['cats', 'concat']);
    binds({ type: 'string', pattern: '^\\b\\w+\\b$' }, ['cat'], ['a b', '']);
    binds({ type: 'string', pattern: '^\\p{Lu}\\p{L}*$' }, ['Été', 'Ω'], ['été', 'A1']);
    binds({ type: 'string', pattern: '^[\\p{Script=Hiragana}ー]+$' }, ['あー'], ['ア', '']);
    binds({ type: 'string', pattern: '^[^\\p{L}]\\P{N}$' }, ['1a', '😀b'], ['a1', '11', 'ab']);
    // The hundreds of ranges of a property are in a program once.
    const length = (pattern: string) => compiled({ type: 'string', pattern }).length;
    assert.ok(length('\\p{L}'.repeat(100)) < 2 * length('\\p{L}'));
  });

  test('have the patterns of zod of all its years', () => {
    const email =
      "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$";
    const published = { type: 'string', format: 'email', pattern: email };
    binds(published, ['a.b@example.com'], ['.a@b.cd', 'a..b@c.de']);
    binds({ ...published, minLength: 1, maxLength: 255 }, ['a.b@example.com'], ['a@b']);
    const kinds = {
      duration: z.iso.duration(),
      emoji: z.emoji(),
      hostname: z.hostname(),
      cuid: z.cuid(),
      cuid2: z.cuid2(),
      ulid: z.ulid(),
      base64: z.base64(),
      base64url: z.base64url(),
      e164: z.e164(),
      cidrv4: z.cidrv4(),
      hex: z.hex(),
      mac: z.mac(),
      url: z.url(),
      lower: z.string().lowercase(),
      ends: z.string().endsWith('x'),
      template: z.templateLiteral(['a-', z.int(), 'px']),
      html: z.email({ pattern: z.regexes.html5Email }),
      float: z.float32(),
      cents: z.number().min(0.01).lt(99.5),
      record: z.record(z.string().regex(/^a/), z.int()),
    };
    for (const [name, kind] of Object.entries(kinds)) {
      const program = compiled(z.toJSONSchema(kind));
      for (let seed = 0; seed < 25; seed++) {
        const sentence = walk(program, seeded(seed));
        assert.ok(kind.safeParse(JSON.parse(sentence)).success, `${name}: ${sentence}`);
      }
    }
  });

  test('have the pattern of a Decimal of pydantic', () => {
    const begin = '^(?!^[-+.]*$)[+-]?0*';
    const sized = '(?:\\d{0,3}|(?=[\\d.]{1,6}0*$)\\d{0,3}\\.\\d{0,2}0*$)';
    const digits = '(?:\\d{0,5}|(?=[\\d.]{1,6}0*$)\\d*\\.\\d*0*$)';
    const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
      ['\\d*\\.?\\d*$', ['0', '-12.50', '3'], ['', '.', '-', '1.2.3']],
      ['\\d*\\.?\\d{0,2}0*$', ['1.25', '100'], ['1.', '1.255']],
      [sized, ['999.99', '0.5'], ['1000', '1.999']],
      [digits, ['12345', '123.45'], ['123456', '1234.55']],
    ];
    for (const [rest, good, bad] of cases) {
      const schema = { type: 'string', pattern: begin + rest };
      binds(schema, good, bad);
      obeys(schema);
      binds({ anyOf: [{ type: 'number' }, schema] }, [1.5, ...good], bad);
    }
  });
});
