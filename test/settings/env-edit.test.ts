/** One setting changed in the text of a .env file: what else is in there stays as it is. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parse } from 'dotenv';
import fc from 'fast-check';
import { inProject } from '../../scripts/root.js';
import { holdsSecret, withoutSetting, withSetting } from '../../src/settings/env-edit.js';
import { SETTINGS } from '../../src/settings.js';

describe('a setting in a .env file', () => {
  it('takes the place of the line that counts, and a remark behind it stays', () => {
    const text = '# mine\nPORT=1\nHOST=::1\nexport  PORT = 2  # the last one counts\n\nX=y\n';
    assert.equal(
      withSetting(text, 'PORT', '3'),
      '# mine\nPORT=1\nHOST=::1\nexport  PORT=3  # the last one counts\n\nX=y\n',
    );
  });

  it('goes below its commented example, else to the end', () => {
    assert.equal(withSetting('#PORT=3030\n#HOST=\n', 'PORT', '1'), '#PORT=3030\nPORT=1\n#HOST=\n');
    assert.equal(withSetting('# PORT=3030\n', 'PORT', '1'), '# PORT=3030\nPORT=1\n');
    assert.equal(withSetting('A=b', 'PORT', '1'), 'A=b\nPORT=1\n');
    assert.equal(withSetting('', 'PORT', '1'), 'PORT=1\n');
  });

  it('keeps the line ends of the file, and its byte order mark', () => {
    assert.equal(withSetting('A=b\r\nPORT=1\r\n', 'PORT', '2'), 'A=b\r\nPORT=2\r\n');
    assert.equal(withSetting('\uFEFFA=b\r\n', 'PORT', '2'), '\uFEFFA=b\r\nPORT=2\r\n');
    const mixed = '# one\n#PORT=1\r\nA=b\nHOST=::1\r\nX=y';
    const set = withSetting(mixed, 'PORT', '2');
    assert.equal(set, '# one\n#PORT=1\r\nPORT=2\r\nA=b\nHOST=::1\r\nX=y\r\n');
    assert.equal(withSetting(mixed, 'A', '2'), mixed.replace('A=b', 'A=2'));
    assert.equal(withoutSetting(mixed, 'A'), mixed.replace('A=b\n', ''));
  });

  it('takes the place of a value of several lines, and is not found within one', () => {
    const text = 'API_KEY="a\nPORT=9\nb"\nPORT=1\n';
    assert.equal(withSetting(text, 'PORT', '2'), 'API_KEY="a\nPORT=9\nb"\nPORT=2\n');
    assert.equal(withSetting(text, 'API_KEY', 'k'), 'API_KEY=k\nPORT=1\n');
  });

  it('is in quotes where it must be', () => {
    assert.equal(withSetting('', 'A', 'two words'), "A='two words'\n");
    assert.equal(withSetting('', 'A', 'a#b'), "A='a#b'\n");
    assert.equal(withSetting('', 'A', "it's"), 'A="it\'s"\n');
    assert.equal(withSetting('', 'A', ''), 'A=\n');
    assert.throws(() => withSetting('', 'A', '\'"`\n#'), { code: 'setting_unwritable' });
  });

  it('goes with every line that sets it, so that none counts afterwards', () => {
    const text = 'PORT=1\n# PORT=0\nHOST=::1\nPORT="2\n3"\n';
    assert.equal(withoutSetting(text, 'PORT'), '# PORT=0\nHOST=::1\n');
    assert.equal(withoutSetting('HOST=::1\n', 'PORT'), 'HOST=::1\n');
  });

  it('is written into the shipped example and taken out again without a trace', () => {
    const example = readFileSync(inProject('.env.example'), 'utf8');
    for (const { key } of SETTINGS) {
      const set = withSetting(example, key, '1');
      assert.deepEqual(parse(set), { ...parse(example), [key]: '1' });
      assert.equal(withoutSetting(set, key), example, key);
    }
  });

  it('is read as it was set from any file, or the file is refused', () => {
    const line = fc.oneof(
      fc.constantFrom(
        '',
        '# remark',
        'PORT=1',
        "HOST='x",
        'A="b',
        'c"',
        'export B=`',
        'stray',
        'C: d #e',
      ),
      fc.string({ maxLength: 12 }),
    );
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 8 }),
        fc.constantFrom('\n', '\r\n'),
        fc.string({ maxLength: 8 }).map((text) => text.trim()),
        (lines, end, value) => {
          const text = lines.join(end);
          let after: string;
          try {
            after = withSetting(text, 'PORT', value);
          } catch (error) {
            assert.equal((error as { code?: string }).code, 'setting_unwritable');
            return;
          }
          const { PORT: _, ...others } = parse(text);
          assert.deepEqual(parse(after), { ...others, PORT: value });
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is a secret only where it is there and not empty', () => {
    assert.equal(holdsSecret('API_KEY=k\n'), true);
    assert.equal(holdsSecret('API_KEY=\n#API_KEY=k\nPORT=1\n'), false);
  });
});
